"""The names under which device plugins offer GPUs, once. Knows no labels and no quantities."""

import re

from shardwright.catalog.types import Vendor

WHOLE = {
    "nvidia.com/gpu": Vendor.NVIDIA,
    "amd.com/gpu": Vendor.AMD,
    "habana.ai/gaudi": Vendor.INTEL,
    "gpu.intel.com/xe": Vendor.INTEL,
    "gpu.intel.com/i915": Vendor.INTEL,
}
"""Resource of whole GPUs -> vendor, in the order in which they are looked at."""
CLAIMED = {
    "gpu.nvidia.com": "nvidia.com/gpu",
    "gpu.amd.com": "amd.com/gpu",
    "gpu.intel.com": "gpu.intel.com/xe",
}
"""DeviceClasses of GPUs that pods claim by attributes -> the resource by which taints of such nodes are named."""
SHARED_SUFFIX = ".shared"
"""The NVIDIA device plugin's default rename of time-shared GPUs."""
MIG_PREFIX = "nvidia.com/mig-"
"""MIG strategy `mixed`: one resource for each slice profile."""
EFA = "vpc.amazonaws.com/efa"
SHARED_RDMA = "rdma/"
"""Of the RDMA shared device plugin: each share holds all adapters of its pool. Some sites name single devices so."""
ATTACHED_RDMA = "networking.gke.io.networks/"
"""GKE's: a pod gets them by an annotation, which adds the request."""
_RDMA_DEVICE = re.compile(r"^(nvidia|mellanox|amd)\.com/[\w.-]*(hostdev|nic|rdma|roce)", re.IGNORECASE)
"""Names of RDMA devices are chosen by each site; these are the usual ones."""


def is_network_resource(name: str) -> bool:
    """Whether this resource tells something of the network between nodes."""
    return name == EFA or is_rdma_resource(name) or name.startswith(f"{ATTACHED_RDMA}rdma")


def is_rdma_resource(name: str) -> bool:
    """Whether a pod may ask for this resource to get network adapters that it may do RDMA with."""
    return name == EFA or name.startswith(SHARED_RDMA) or bool(_RDMA_DEVICE.match(name))


def is_gpu_resource(name: str) -> bool:
    """Whether holding this resource takes GPUs from others."""
    return name in WHOLE or name.startswith(MIG_PREFIX) or name.removesuffix(SHARED_SUFFIX) in WHOLE
