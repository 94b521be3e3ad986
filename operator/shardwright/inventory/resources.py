"""The names under which device plugins offer GPUs, once. Knows no labels and no quantities."""

from shardwright.catalog.types import Vendor

WHOLE = {
    "nvidia.com/gpu": Vendor.NVIDIA,
    "amd.com/gpu": Vendor.AMD,
    "habana.ai/gaudi": Vendor.INTEL,
    "gpu.intel.com/xe": Vendor.INTEL,
    "gpu.intel.com/i915": Vendor.INTEL,
}
"""Resource of whole GPUs -> vendor, in the order in which they are looked at."""
SHARED_SUFFIX = ".shared"
"""The NVIDIA device plugin's default rename of time-shared GPUs."""
MIG_PREFIX = "nvidia.com/mig-"
"""MIG strategy `mixed`: one resource for each slice profile."""
EFA = "vpc.amazonaws.com/efa"
RDMA_PREFIXES = ("rdma/", "nvidia.com/hostdev", "networking.gke.io.networks/rdma")
"""Names of RDMA devices are chosen by each site; these are the usual ones."""


def is_network_resource(name: str) -> bool:
    """Whether this resource tells something of the network between nodes."""
    return name == EFA or name.startswith(RDMA_PREFIXES)


def is_gpu_resource(name: str) -> bool:
    """Whether holding this resource takes GPUs from others."""
    return name in WHOLE or name.startswith(MIG_PREFIX) or name.removesuffix(SHARED_SUFFIX) in WHOLE
