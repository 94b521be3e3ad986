"""A Node object becomes facts for planning, or a skipped node with its reason. Never raises, whatever the dict holds.

The same Node with another heartbeat gives equal facts. Knows no pod and no other node.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from shardwright.api.reasons import Reason
from shardwright.catalog.load import MIB, UNKNOWN_MEMORY_PERCENT, gpu_catalog
from shardwright.catalog.types import GpuMatch, GpuProduct, Vendor
from shardwright.inventory import clouds
from shardwright.inventory.annotations import Links, read_links
from shardwright.inventory.hardware import Hardware, read_hardware
from shardwright.inventory.links import node_links, node_network
from shardwright.inventory.raw import at, mapping, sequence, text, texts
from shardwright.inventory.resources import MIG_PREFIX
from shardwright.inventory.types import Islands, NodeFacts, PoolNode, PoolTraits, SkippedNode

VOLATILE_LABELS = frozenset({"nvidia.com/gfd.timestamp"})
"""Rewritten as time passes: no part of what a node is."""
IDENTITY_LABELS = (
    "nvidia.com/gpu.product", "amd.com/gpu.product-name", "gpu.intel.com/product", "nvidia.com/gpu.count",
    "nvidia.com/gpu.memory", "amd.com/gpu.device-id", "nvidia.com/gpu.machine", "node.kubernetes.io/instance-type",
    "karpenter.sh/nodepool", "eks.amazonaws.com/nodegroup", "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool", "cloud.google.com/gke-accelerator", "nvidia.com/gpu.clique",
    "topology.kubernetes.io/zone",
)  # fmt: skip
"""Labels that may single out a pool for the scheduler, best first."""
_LEAVING_TAINTS = frozenset({"ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "karpenter.sh/disruption"})
_CORDON_TAINT = "node.kubernetes.io/unschedulable"
_SAME_MEMORY_PERCENT = 2


class _Skip(Exception):  # noqa: N818
    """Carries the reason up from wherever the node turned out unusable."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


def read_node(node: Mapping[str, Any]) -> NodeFacts | SkippedNode:
    """Reduce a Node object to what planning depends on; hashable, small, and equal as long as nothing of that changed."""
    name = text(at(node, "metadata", "name"))
    try:
        return _facts(name, node)
    except _Skip as skip:
        return SkippedNode(name, skip.reason, skip.message)


def _facts(name: str, node: Mapping[str, Any]) -> NodeFacts:
    labels, annotations = texts(at(node, "metadata", "labels")), texts(at(node, "metadata", "annotations"))
    allocatable = mapping(at(node, "status", "allocatable"))
    hardware = read_hardware(labels, annotations, allocatable)
    _insist_on_gpus(hardware)
    _insist_on_state(node)
    resource, gpus = _devices(hardware)
    product, memory_bytes, notes = _product(hardware)
    links = read_links(annotations, _physical(hardware, gpus))
    traits, guesses = _traits(
        product, resource, gpus, memory_bytes, links, hardware.multi_gpu, _network_devices(allocatable)
    )
    return NodeFacts(
        node=PoolNode(
            name=name, gpus=gpus, free_gpus=gpus, labels=_lasting(labels), taints=_taints(node),
            fabric_domain=links.fabric_domain or clouds.first(labels, clouds.FABRICS),
            nvlink_domain=links.nvlink_domain or hardware.clique or clouds.first(labels, clouds.NVLINK_DOMAINS),
            locality=clouds.locality(labels),
        ),
        traits=traits,
        identity=_identity(labels),
        notes=(*notes, *guesses, *links.problems),
    )  # fmt: skip


def _insist_on_gpus(hardware: Hardware) -> None:
    """Refuse nodes that offer no GPUs, or such as cannot be told apart by count."""
    if hardware.vendor is None:
        raise _Skip(Reason.NO_GPU, "the node offers no GPU resource and carries no GPU label")
    if hardware.sharing:
        raise _Skip(Reason.TIME_SHARED, f"its GPUs are shared ({hardware.sharing.strategy}, {hardware.sharing.replicas} pods "
                    "to a GPU) without a border in memory, which no memory forecast survives; turn sharing off")  # fmt: skip
    if hardware.mig and hardware.mig.strategy == "mixed":
        profiles = ", ".join(profile for profile, _ in hardware.mig.profiles) or "unknown"
        raise _Skip(Reason.MIG_MIXED, f"MIG strategy mixed ({profiles}): slices of several sizes cannot be asked for by "
                    "count of one resource; use strategy single, or turn MIG off")  # fmt: skip
    if hardware.several_products:
        raise _Skip(Reason.MIXED_GPUS, f"labels name several devices: {', '.join(hardware.several_products)}")
    vendors = {name.partition("/")[0] for name, count in hardware.allocatable if count}
    if len(vendors) > 1:
        raise _Skip(Reason.MIXED_GPUS, f"it offers GPUs of several vendors: {', '.join(sorted(vendors))}")
    if hardware.resource is None:
        raise _Skip(Reason.LABELS_WITHOUT_DEVICES, f"its labels name {hardware.product_text or 'GPUs'}, but the node offers none as "
                    "allocatable; look at the device plugin's pod there")  # fmt: skip


def _insist_on_state(node: Mapping[str, Any]) -> None:
    """Refuse nodes that take no new pods. A list of nodes typed by hand has no conditions, and counts as ready."""
    taints = {text(at(taint, "key")) for taint in sequence(at(node, "spec", "taints"))}
    leaving = sorted(_LEAVING_TAINTS & taints)
    if at(node, "metadata", "deletionTimestamp") or leaving:
        raise _Skip(
            Reason.NODE_BEING_DELETED, f"tainted {leaving[0]}" if leaving else "the Node object is being deleted"
        )
    conditions = list(sequence(at(node, "status", "conditions")))
    ready = [text(at(condition, "status")) for condition in conditions if at(condition, "type") == "Ready"]
    if conditions and ready[-1:] != ["True"]:
        raise _Skip(Reason.NODE_NOT_READY, f"condition Ready is {ready[-1] if ready else 'missing'}")
    if at(node, "spec", "unschedulable") is True or _CORDON_TAINT in taints:
        raise _Skip(Reason.NODE_CORDONED, "the node is cordoned")


def _devices(hardware: Hardware) -> tuple[str, int]:
    """The resource to ask for, and how many of it a pod could get here."""
    resource = hardware.resource
    counts = dict(hardware.allocatable)
    if resource is None or any(name.startswith(MIG_PREFIX) and count for name, count in counts.items()):
        raise _Skip(Reason.MIG_MIXED, "MIG slices and whole GPUs stand side by side")
    return resource, counts[resource]


def _physical(hardware: Hardware, gpus: int) -> int:
    """GPUs of the board: a sick one is missing from allocatable and still has its index."""
    return max(gpus, hardware.label_count or 0) if hardware.mig is None else gpus


def _product(hardware: Hardware) -> tuple[GpuProduct, int, tuple[str, ...]]:
    """The catalogue's row, the memory of one device, and what was assumed."""
    if hardware.vendor is None or not (hardware.product_text or hardware.device_id):
        raise _Skip(Reason.DEVICES_WITHOUT_LABELS, "it offers GPUs but no label says which; is feature discovery running? "
                    "(NVIDIA: gpu-feature-discovery, AMD: node labeller)")  # fmt: skip
    match = _match(hardware)
    if match is None:
        raise _Skip(Reason.UNKNOWN_GPU, f"{hardware.product_text or hardware.device_id} is not in the catalogue, and its labels "
                    "do not tell memory and compute capability, so nothing can be planned on it")  # fmt: skip
    notes = match.assumptions
    if hardware.product_from and "/gpu.product" not in hardware.product_from:
        notes = (f"product {match.product.name} is read from {hardware.product_from}", *notes)
    if hardware.mig:
        product, memory = _slice(match.product, hardware)
        return product, memory, (*notes, "MIG slices: each replica takes exactly one")
    memory, guess = _memory(match.product, hardware.memory_mib)
    if hardware.vgpu:
        guess = (*guess, "vGPU: peer-to-peer links between GPUs may be missing")
    return match.product, memory, (*notes, *guess)


def _match(hardware: Hardware) -> GpuMatch | None:
    """By device id where there is no name, by name, or by labels alone."""
    catalog, vendor = gpu_catalog(), hardware.vendor or Vendor.NVIDIA
    if hardware.product_text is None:
        product = catalog.find_device(vendor, hardware.device_id or "")
        note = f"no product label: device id {hardware.device_id} is {product.name}" if product else ""
        found = GpuMatch(product, (note,)) if product else None
    else:
        found = catalog.find(hardware.product_text, memory_mib=hardware.memory_mib)
        found = found if found and found.product.vendor is vendor else None
    name = hardware.product_text or f"device {hardware.device_id}"
    return found or catalog.stand_in(vendor, hardware.memory_mib or 0, hardware.compute, name[:128])


def _memory(product: GpuProduct, label_mib: int | None) -> tuple[int, tuple[str, ...]]:
    """Memory as the engine will see it: the catalogue's where the label agrees, else the label's less a reserve."""
    known = product.label_memory_mib or product.memory_gib * 1024
    if label_mib is None or not known or product.source == "node labels":
        return product.memory_bytes, () if label_mib else (
            f"no memory label: {product.memory_bytes // MIB} MiB from the catalogue",
        )
    if abs(label_mib - known) * 100 <= known * _SAME_MEMORY_PERCENT:
        return min(product.memory_bytes, label_mib * MIB), ()
    memory = label_mib * MIB * UNKNOWN_MEMORY_PERCENT // 100
    note = f"its memory label says {label_mib} MiB where {product.name} has {known}: taken as {memory // MIB} MiB"
    return memory, (note,)


def _slice(product: GpuProduct, hardware: Hardware) -> tuple[GpuProduct, int]:
    """One MIG slice as a product of its own: g sevenths of the compute, bandwidth by its share of the memory."""
    profile = (hardware.mig.profile if hardware.mig else None) or "1g"
    sevenths = min(int(profile.partition("g")[0]), 7)
    whole_mib = product.label_memory_mib or product.memory_gib * 1024
    mib = min(hardware.memory_mib or whole_mib * sevenths // 8, whole_mib)
    memory = mib * MIB * UNKNOWN_MEMORY_PERCENT // 100
    part = replace(
        product, name=f"{product.name}-MIG-{profile}", memory_bytes=memory, label_memory_mib=mib, scale_up_domain=1,
        bf16_flops=product.bf16_flops * sevenths // 7, fp16_flops=product.fp16_flops * sevenths // 7,
        fp8_flops=product.fp8_flops * sevenths // 7, fp4_flops=product.fp4_flops * sevenths // 7,
        memory_bandwidth=product.memory_bandwidth * mib // whole_mib,
    )  # fmt: skip
    return part, memory


@lru_cache(maxsize=4096)
def _traits(
    product: GpuProduct, resource: str, gpus: int, memory_bytes: int, said: Links, multi_gpu: bool,  # noqa: FBT001
    network_devices: tuple[tuple[str, str], ...],
) -> tuple[PoolTraits, tuple[str, ...]]:  # fmt: skip
    """Everything that nodes of one pool share; the cache makes alike nodes share one object, so that grouping is cheap."""
    links = node_links(said, product, gpus, multi_gpu=multi_gpu)
    network = node_network(said, dict(network_devices), gpus)
    islands, trimmed = _trim(links.islands, gpus)
    traits = PoolTraits(
        product=product, gpu_resource=resource, gpus_per_node=gpus, memory_bytes=memory_bytes, link=links.link,
        link_bandwidth=links.link_bandwidth, islands=islands, outer_islands=_trim(links.outer_islands, gpus)[0],
        cross_island_bandwidth=links.cross_island_bandwidth, network=network.kind, network_bandwidth=network.bandwidth,
        multi_gpu=multi_gpu, linked_by_annotation=links.annotated,
    )  # fmt: skip
    return traits, (*links.assumptions, *trimmed, *network.assumptions)


def _trim(islands: Islands, gpus: int) -> tuple[Islands, tuple[str, ...]]:
    """Islands of the GPUs that are left when one is sick; which one it is nobody tells, so the last are left out."""
    named = sum(map(len, islands))
    if named <= gpus:
        return islands, ()
    left = tuple(part for island in islands if (part := tuple(gpu for gpu in island if gpu < gpus)))
    return left, (
        f"{gpus} of {named} GPUs are allocatable: islands are taken as if the last {named - gpus} were missing",
    )


def _network_devices(allocatable: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """The resources that tell a network, as something hashable."""
    names = ("vpc.amazonaws.com/", "rdma/", "nvidia.com/hostdev", "networking.gke.io")
    return tuple(sorted((n, str(v)) for n, v in allocatable.items() if isinstance(n, str) and n.startswith(names)))


def _lasting(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(item for item in labels.items() if item[0] not in VOLATILE_LABELS))


def _identity(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((key, labels[key]) for key in IDENTITY_LABELS if key in labels)


def _taints(node: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Taints that keep a pod off, sorted."""
    found = {
        (text(at(taint, "key")), text(at(taint, "value")), text(at(taint, "effect")))
        for taint in sequence(at(node, "spec", "taints"))
    }
    return tuple(sorted(taint for taint in found if taint[0] and taint[2] in ("NoSchedule", "NoExecute")))
