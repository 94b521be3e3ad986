"""The shapes of the catalogue's rows."""

from dataclasses import dataclass
from enum import StrEnum


class Vendor(StrEnum):
    """Who made a GPU."""

    NVIDIA = "nvidia"
    AMD = "amd"
    INTEL = "intel"


class LinkKind(StrEnum):
    """How the GPUs of one node reach each other, fastest first."""

    NVSWITCH = "nvswitch"
    NVLINK_MESH = "nvlink-mesh"
    NVLINK_BRIDGE = "nvlink-bridge"
    XGMI = "xgmi"
    PCIE_SWITCH = "pcie-switch"
    PCIE = "pcie"
    NONE = "none"


class NetworkKind(StrEnum):
    """How nodes reach each other."""

    NVLINK = "nvlink"
    INFINIBAND = "infiniband"
    ROCE = "roce"
    EFA = "efa"
    TCP = "tcp"


@dataclass(frozen=True, slots=True)
class GpuProduct:
    """One GPU product. Bandwidths are bytes per second, rates are operations per second, all integers; 0 = it cannot."""

    name: str
    """Ours, short: `H100-SXM`, `L40S`, `MI300X`."""
    vendor: Vendor
    memory_bytes: int
    """Total as the engine's runtime reports it (a little under the label)."""
    compute_capability: tuple[int, int] | None
    """CUDA's; None for other vendors."""
    bf16_flops: int
    fp16_flops: int
    fp8_flops: int
    fp4_flops: int
    memory_bandwidth: int
    link: LinkKind
    link_bandwidth: int
    """Per GPU, one direction."""
    scale_up_domain: int
    """GPUs that one fast link joins."""
    source: str
