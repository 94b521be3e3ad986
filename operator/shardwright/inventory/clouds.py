"""What clouds and other schedulers write on Nodes: GPU names where no feature discovery ran yet, and network locality.

Each source is one function or one row. Knows no product and no plan.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shardwright.inventory.instances import gpus_of_instance
from shardwright.inventory.raw import number

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
NFD_NVIDIA = "feature.node.kubernetes.io/pci-10de.present"

LOCALITY = (
    ("topology.k8s.aws/network-node-layer-1", "topology.k8s.aws/network-node-layer-2",
     "topology.k8s.aws/network-node-layer-3", "topology.k8s.aws/network-node-layer-4"),
    ("oci.oraclecloud.com/rdma.hpc_island_id", "oci.oraclecloud.com/rdma.network_block_id",
     "oci.oraclecloud.com/rdma.local_block_id", "oci.oraclecloud.com/rdma.host_id"),
    ("cloud.google.com/gce-topology-block", "cloud.google.com/gce-topology-subblock",
     "cloud.google.com/gce-topology-host"),
    ("backend.coreweave.cloud/fabric", "backend.coreweave.cloud/superpod", "backend.coreweave.cloud/leafgroup"),
    ("fabric.topograph.run/tier-2", "fabric.topograph.run/tier-1", "fabric.topograph.run/tier-0"),
    ("network.topology.nvidia.com/core", "network.topology.nvidia.com/spine", "network.topology.nvidia.com/leaf"),
    ("cloud.provider.com/topology-block", "cloud.provider.com/topology-rack"),
)  # fmt: skip
"""Per source, label keys from far to near. EKS: the last layer present is the nearest switch."""
FABRICS = (
    "oci.oraclecloud.com/rdma.cluster_id",
    "oci.oraclecloud.com/rdma.hpc_island_id",
    "backend.coreweave.cloud/fabric",
)
"""Labels whose value names a whole RDMA fabric: two values do not reach each other by it."""
NVLINK_DOMAINS = (
    "ds.coreweave.com/nvlink.domain",
    "topology.k8s.aws/ultraserver-id",
    "accelerator.topograph.run/domain",
)

_AKASH = re.compile(r"^akash\.network/capabilities\.gpu\.vendor\.nvidia\.model\.([a-z0-9]+)$")


@dataclass(frozen=True, slots=True)
class NamedGpus:
    """GPUs as somebody else than the vendor's feature discovery names them."""

    source: str
    product: str
    memory_mib: int | None = None
    count: int | None = None
    split: int = 1
    """Pods that may share one GPU."""


def gpu_facts(labels: Mapping[str, str], annotations: Mapping[str, str]) -> NamedGpus | None:
    """The first source that names the node's NVIDIA GPUs."""
    for source in (_karpenter, _gke, _akash, _instance_type):
        if found := source(labels):
            return found
    return _hami(annotations)


def intel_product(labels: Mapping[str, str]) -> str | None:
    """Gaudi has no product label; cloud instance types name it."""
    gaudis = {"gaudi2": "Gaudi2", "gaudi3": "Gaudi3"}
    instance = labels.get(INSTANCE_TYPE, "").lower()
    return next((product for word, product in gaudis.items() if word in instance), None)


def locality(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Where the node hangs in the network, far to near, by the first source that says anything."""
    for keys in LOCALITY:
        if found := tuple(labels[key] for key in keys if labels.get(key)):
            return found
    return ()


def first(labels: Mapping[str, str], keys: tuple[str, ...]) -> str | None:
    """The value of the first key that is there."""
    return next((labels[key] for key in keys if labels.get(key)), None)


def _karpenter(labels: Mapping[str, str]) -> NamedGpus | None:
    prefix = "karpenter.k8s.aws/instance-gpu-"
    name = labels.get(prefix + "name")
    if not name or labels.get(prefix + "manufacturer", "nvidia") != "nvidia":
        return None
    return NamedGpus(prefix + "name", name, number(labels.get(prefix + "memory")), number(labels.get(prefix + "count")))


def _gke(labels: Mapping[str, str]) -> NamedGpus | None:
    key = "cloud.google.com/gke-accelerator"
    name = labels.get(key)
    if not name:
        return None
    old = {"nvidia-tesla-a100": "A100-SXM4-40GB", "nvidia-a100-80gb": "A100-SXM4-80GB"}
    return NamedGpus(key, old.get(name, name), count=number(labels.get(key + "-count")))


def _akash(labels: Mapping[str, str]) -> NamedGpus | None:
    for key in sorted(labels):
        if model := _AKASH.match(key):
            return NamedGpus(key, model[1], count=number(labels[key]))
    return None


def _instance_type(labels: Mapping[str, str]) -> NamedGpus | None:
    instance = labels.get(INSTANCE_TYPE, "")
    found = gpus_of_instance(instance) if instance else None
    return NamedGpus(INSTANCE_TYPE, found) if found else None


def _hami(annotations: Mapping[str, str]) -> NamedGpus | None:
    """`uuid,split,memory MiB,cores,type,numa,healthy:` for each GPU, or the same as a JSON list of objects."""
    key = "hami.io/node-nvidia-register"
    value = annotations.get(key, "")
    if found := re.search(r'"type"\s*:\s*"([^"]{1,128})"', value):
        split, memory = (re.search(rf'"{field}"\s*:\s*(\d{{1,9}})', value) for field in ("count", "devmem"))
        return NamedGpus(key, found[1], int(memory[1]) if memory else None, split=int(split[1]) if split else 1)
    devices = [entry.split(",") for entry in value.split(":") if entry.count(",") >= 4]
    if not devices:
        return None
    return NamedGpus(key, devices[0][4].strip(), number(devices[0][2]), split=number(devices[0][1]) or 1)
