"""GPUs as dynamic resource allocation tells them: ResourceSlices offer devices, ResourceClaims hold them.

A driver is a row: what it calls things. Missing or ill-typed fields read as absent, never as an error. Knows no node.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shardwright.api import labels
from shardwright.catalog.types import Vendor
from shardwright.inventory.raw import at, mapping, quantity, sequence, text, texts

PCIE_ROOT = "resource.kubernetes.io/pcieRoot"
"""Kubernetes' own attribute: devices with one value hang under one PCIe root, and reach each other through switches."""
_VERSION = re.compile(r"^(\d{1,4})\.(\d{1,4})")


@dataclass(frozen=True, slots=True)
class Driver:
    """What one driver publishes."""

    vendor: Vendor
    device_class: str
    """The DeviceClass that its chart installs."""
    whole: str
    """Its word in the attribute `type` for a GPU that is not cut."""
    product: str
    """Its attribute with the product's name."""
    identity: str = ""
    """Its attribute that tells one GPU from another …"""
    parent: str = ""
    """… and the one by which a part of a GPU names the GPU."""


DRIVERS: Mapping[str, Driver] = {
    # kubernetes-sigs/dra-driver-nvidia-gpu: cmd/gpu-kubelet-plugin/{deviceinfo,mig}.go, templates/deviceclass-gpu.yaml
    "gpu.nvidia.com": Driver(Vendor.NVIDIA, "gpu.nvidia.com", "gpu", "productName", "uuid", "parentUUID"),
    # ROCm/k8s-gpu-dra-driver: cmd/gpu-kubeletplugin/{deviceinfo,types}.go, helm-charts-k8s/templates/deviceclass.yaml
    "gpu.amd.com": Driver(Vendor.AMD, "gpu.amd.com", "amdgpu", "productName", "pciAddr", "parentPciAddr"),
    # intel/intel-resource-drivers-for-kubernetes: cmd/kubelet-gpu-plugin/node_state.go, charts/…/device-class.yaml
    "gpu.intel.com": Driver(Vendor.INTEL, "gpu.intel.com", "gpu", "model"),
}
DeviceId = tuple[str, str, str]
"""Driver, its pool, and the device's name in it."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device of a slice."""

    driver: str
    name: str
    whole: bool
    """A GPU that is not cut, and that no taint keeps from being used."""
    product: str = ""
    memory_bytes: int = 0
    compute: tuple[int, int] | None = None
    pcie_root: str = ""
    identity: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """One ResourceSlice of a node."""

    driver: str
    pool: str
    generation: int
    node: str
    devices: tuple[Device, ...]


def read_slice(document: Mapping[str, Any]) -> Slice | None:
    """Read a slice of a known driver that belongs to one node; None for any other."""
    spec = mapping(document.get("spec"))
    driver, node = text(spec.get("driver")), text(spec.get("nodeName"))
    if driver not in DRIVERS or not node:
        return None
    generation = at(spec, "pool", "generation")
    return Slice(
        driver=driver,
        pool=text(at(spec, "pool", "name")),
        generation=generation if isinstance(generation, int) else 0,
        node=node,
        devices=tuple(_device(driver, mapping(device)) for device in sequence(spec.get("devices"))),
    )


def _device(driver: str, raw: Mapping[str, Any]) -> Device:
    row = DRIVERS[driver]
    said = {_bare(key, driver): value for key, value in mapping(raw.get("attributes")).items()}
    memory = quantity(at(raw, "capacity", "memory", "value") or at(raw, "capacity", f"{driver}/memory", "value"))
    compute = _VERSION.match(text(at(said, "cudaComputeCapability", "version")))
    repels = {text(at(taint, "effect")) for taint in sequence(raw.get("taints"))} & {"NoSchedule", "NoExecute"}
    return Device(
        driver=driver,
        name=text(raw.get("name")),
        whole=text(at(said, "type", "string")) == row.whole and not repels,
        product=text(at(said, row.product, "string"))[:128],
        memory_bytes=int(memory) if memory and memory > 0 else 0,
        compute=(int(compute[1]), int(compute[2])) if compute else None,
        pcie_root=text(at(said, PCIE_ROOT, "string")),
        identity=text(at(said, row.identity, "string")) if row.identity else "",
        parent=text(at(said, row.parent, "string")) if row.parent else "",
    )


def _bare(key: object, driver: str) -> str:
    """An attribute without a domain is the driver's own."""
    return str(key).removeprefix(f"{driver}/")


def read_claim(document: Mapping[str, Any]) -> tuple[DeviceId, ...]:
    """Devices of known drivers that a claim of others holds; our pods' own count with their pods."""
    marks = texts(at(document, "metadata", "labels"))
    if marks.get(labels.MANAGED_BY) == "shardwright" and labels.DEPLOYMENT in marks:
        return ()
    results = sequence(at(document, "status", "allocation", "devices", "results"))
    return tuple(
        sorted(
            (text(at(one, "driver")), text(at(one, "pool")), text(at(one, "device")))
            for one in results
            if text(at(one, "driver")) in DRIVERS and at(one, "adminAccess") is not True
        )
    )
