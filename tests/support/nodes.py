"""Node and Pod objects as real clusters serve them: plain dicts, with the labels that the vendors' daemons write."""

from collections.abc import Mapping
from typing import Any
from zlib import crc32

Object = dict[str, Any]
MACHINES = {
    "NVIDIA-H100-80GB-HBM3": "DGXH100",
    "NVIDIA-L40S": "PowerEdge-R760xa",
    "NVIDIA-A100-SXM4-80GB": "DGXA100920-23687-2530-000",
}


def node(
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    allocatable: Mapping[str, str] | None = None,
    taints: list[Mapping[str, str]] | None = None,
    ready: bool = True,
    unschedulable: bool = False,
) -> Object:
    """Build a Node without GPUs, as a kubelet registers it."""
    capacity = {
        "cpu": "192",
        "ephemeral-storage": "1843269236Ki",
        "memory": "2113463296Ki",
        "pods": "110",
        **(allocatable or {}),
    }
    spec: Object = {"podCIDR": "10.244.1.0/24", **({"taints": [dict(taint) for taint in taints]} if taints else {})}
    if unschedulable:
        spec["unschedulable"] = True
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": f"00000000-0000-0000-0000-{crc32(name.encode()):012d}",
            "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
                "kubernetes.io/hostname": name,
                **(labels or {}),
            },
            "annotations": {"node.alpha.kubernetes.io/ttl": "0", **(annotations or {})},
        },
        "spec": spec,
        "status": {
            "capacity": dict(capacity),
            "allocatable": dict(capacity),
            "conditions": [
                {"type": "MemoryPressure", "status": "False", "lastHeartbeatTime": "2026-11-21T10:00:00Z"},
                {"type": "Ready", "status": "True" if ready else "False", "lastHeartbeatTime": "2026-11-21T10:00:00Z"},
            ],
        },
    }


def nvidia_labels(
    product: str, memory_mib: int, count: int, compute: str = "9.0", family: str = "hopper"
) -> dict[str, str]:
    """Build the labels of GPU Feature Discovery and the GPU operator."""
    major, _, minor = compute.partition(".")
    return {
        "nvidia.com/cuda.driver-version.full": "580.95.05",
        "nvidia.com/cuda.runtime-version.full": "13.0",
        "nvidia.com/gfd.timestamp": "1763719200",
        "nvidia.com/gpu.compute.major": major,
        "nvidia.com/gpu.compute.minor": minor,
        "nvidia.com/gpu.count": str(count),
        "nvidia.com/gpu.family": family,
        "nvidia.com/gpu.machine": MACHINES.get(product, "Standard-PC-Q35-ICH9-2009"),
        "nvidia.com/gpu.memory": str(memory_mib),
        "nvidia.com/gpu.mode": "compute",
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.product": product,
        "nvidia.com/gpu.replicas": "1",
        "nvidia.com/gpu.sharing-strategy": "none",
        "nvidia.com/mig.capable": "true" if compute in ("8.0", "9.0", "10.0") else "false",
        "nvidia.com/mig.strategy": "single",
        "nvidia.com/mps.capable": "false",
        "nvidia.com/vgpu.present": "false",
    }


def nvidia_node(
    name: str, product: str, memory_mib: int, count: int, compute: str = "9.0", family: str = "hopper", **more: Any
) -> Object:
    """Build a Node with NVIDIA GPUs."""
    labels = {**nvidia_labels(product, memory_mib, count, compute, family), **more.pop("labels", {})}
    return node(name, labels=labels, allocatable={"nvidia.com/gpu": str(count), **more.pop("allocatable", {})}, **more)


def h100_sxm_8(name: str, **more: Any) -> Object:
    """Eight H100 SXM behind NVSwitch."""
    return nvidia_node(name, "NVIDIA-H100-80GB-HBM3", 81559, 8, **more)


def h200_8(name: str, **more: Any) -> Object:
    """Eight H200 SXM behind NVSwitch."""
    return nvidia_node(name, "NVIDIA-H200", 143771, 8, **more)


def b200_8(name: str, **more: Any) -> Object:
    """Eight B200 behind NVSwitch."""
    return nvidia_node(name, "NVIDIA-B200", 183359, 8, "10.0", "blackwell", **more)


def a100_sxm_8(name: str, **more: Any) -> Object:
    """Eight A100 SXM of 80 GB behind NVSwitch."""
    return nvidia_node(name, "NVIDIA-A100-SXM4-80GB", 81920, 8, "8.0", "ampere", **more)


def l40s_4(name: str, **more: Any) -> Object:
    """Four L40S on PCIe."""
    return nvidia_node(name, "NVIDIA-L40S", 46068, 4, "8.9", "ada-lovelace", **more)


def l40s_8(name: str, **more: Any) -> Object:
    """Eight L40S on PCIe."""
    return nvidia_node(name, "NVIDIA-L40S", 46068, 8, "8.9", "ada-lovelace", **more)


def l4_1(name: str, **more: Any) -> Object:
    """One L4."""
    return nvidia_node(name, "NVIDIA-L4", 23034, 1, "8.9", "ada-lovelace", **more)


def t4_1(name: str, **more: Any) -> Object:
    """One T4."""
    return nvidia_node(name, "Tesla-T4", 15360, 1, "7.5", "turing", **more)


def gb200_4(name: str, clique: str = "a2221497-dbce-4964-8826-684c3694fd45.1", **more: Any) -> Object:
    """One tray of a GB200 rack: four GPUs in an NVLink domain that spans nodes."""
    labels = {"nvidia.com/gpu.clique": clique, "kubernetes.io/arch": "arm64", **more.pop("labels", {})}
    return nvidia_node(name, "NVIDIA-GB200", 189471, 4, "10.0", "blackwell", labels=labels, **more)


def mi300x_8(name: str, **more: Any) -> Object:
    """Eight MI300X, all joined by xGMI."""
    labels = {
        "amd.com/gpu.cu-count": "304",
        "amd.com/gpu.device-id": "74a1",
        "amd.com/gpu.family": "AI",
        "amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM",
        "amd.com/gpu.simd-count": "1216",
        "amd.com/gpu.vram": "192G",
        "feature.node.kubernetes.io/amd-gpu": "true",
        **more.pop("labels", {}),
    }
    return node(name, labels=labels, allocatable={"amd.com/gpu": "8", **more.pop("allocatable", {})}, **more)


def control_plane(name: str) -> Object:
    """A node without GPUs that takes no ordinary pods."""
    taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    return node(name, labels={"node-role.kubernetes.io/control-plane": ""}, taints=[taint])


def pod(
    name: str,
    node_name: str | None = None,
    gpus: int = 1,
    *,
    resource: str = "nvidia.com/gpu",
    namespace: str = "default",
    phase: str = "Running",
    labels: Mapping[str, str] | None = None,
    terminating: bool = False,
) -> Object:
    """Build a Pod with one container that asks for GPUs."""
    metadata: Object = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{namespace}-{name}",
        "labels": dict(labels or {}),
    }
    if terminating:
        metadata["deletionTimestamp"] = "2026-11-21T10:00:00Z"
    amount = {resource: str(gpus)} if gpus else {}
    container = {"name": "engine", "image": "engine", "resources": {"limits": dict(amount), "requests": dict(amount)}}
    spec: Object = {"containers": [container], **({"nodeName": node_name} if node_name else {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": phase}}
