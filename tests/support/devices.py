"""ResourceSlices and ResourceClaims as drivers and the scheduler write them: plain dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Object = dict[str, Any]
PCIE_ROOT = "resource.kubernetes.io/pcieRoot"
_WORDS = {
    "gpu.nvidia.com": ("productName", "gpu"),
    "gpu.amd.com": ("productName", "amdgpu"),
    "gpu.intel.com": ("model", "gpu"),
}


def resource_slice(
    node: str, product: str, memory: str, count: int, *, driver: str = "gpu.nvidia.com", kind: str = "",
    roots: Sequence[str] = (), generation: int = 1, name: str = "",
) -> Object:  # fmt: skip
    """All GPUs of one node, `gpu-0`, `gpu-1`, …; `roots` are their PCIe roots."""
    named, whole = _WORDS[driver]
    devices = []
    for index in range(count):
        attributes = {"type": {"string": kind or whole}, named: {"string": product}}
        if driver == "gpu.nvidia.com":
            attributes |= {"uuid": {"string": f"GPU-{node}-{index}"}, "cudaComputeCapability": {"version": "9.0.0"}}
        if roots:
            attributes[PCIE_ROOT] = {"string": roots[index]}
        devices.append({"name": f"gpu-{index}", "attributes": attributes, "capacity": {"memory": {"value": memory}}})
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": name or f"{node}-{driver.replace('.', '-')}"},
        "spec": {
            "driver": driver,
            "nodeName": node,
            "pool": {"name": node, "generation": generation, "resourceSliceCount": 1},
            "devices": devices,
        },
    }


def device_class(driver: str = "gpu.nvidia.com") -> Object:
    """The class that a driver's chart installs."""
    _, whole = _WORDS[driver]
    expression = f"device.driver == '{driver}' && device.attributes['{driver}'].type == '{whole}'"
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": driver},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    }


def claim(name: str, node: str, *devices: str, labels: Mapping[str, str] | None = None) -> Object:
    """A claim to which the scheduler gave these devices."""
    results = [{"request": "gpus", "driver": "gpu.nvidia.com", "pool": node, "device": device} for device in devices]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "x", "labels": dict(labels or {})},
        "status": {"allocation": {"devices": {"results": results}}},
    }
