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
    ON_CHIP_ROCE = "on-chip-roce"
    """Gaudi's own Ethernet ports."""
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
    """One GPU product. Bandwidths are bytes a second, rates operations a second, all integers; 0 = it cannot."""

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
    family: str = ""
    """What people say when they do not say which: `H100`, `A100`."""
    form: str = ""
    """What tells the members of a family apart: `sxm`, `pcie`, `nvl`, `superchip`; empty where there is one."""
    labels: tuple[str, ...] = ()
    """Exact values of the node's product label."""
    label_memory_mib: int = 0
    """What the node's memory label says, MiB; 0 = not known."""
    memory_gib: int = 0
    """As sold."""
    architecture: str = ""
    """LLVM target of an AMD GPU, such as `gfx942`."""
    pcie_bandwidth: int = 0
    """Per GPU, one direction, to the rest of the node."""
    bridge_bandwidth: int = 0
    """Of an NVLink or xGMI bridge that can be fitted; 0 = none can."""
    bridge_gpus: int = 0
    """GPUs that such a bridge joins."""
    unified_memory: bool = False
    """Whether GPU and CPU share one memory, so that the total is not the engine's alone."""


@dataclass(frozen=True, slots=True)
class GpuMatch:
    """The answer to a label or a user's word."""

    product: GpuProduct
    assumptions: tuple[str, ...] = ()
    """What was taken for granted, one sentence each; empty when the text names exactly one product."""
    mig_profile: str | None = None
    """`1g.10gb` when the text ends in `-MIG-1g.10gb`; the product is then the whole card."""
    shared: bool = False
    """Whether the text ends in `-SHARED`: time-sliced or MPS."""
