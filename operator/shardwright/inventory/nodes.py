"""A Node object becomes facts for planning, or a skipped node with its reason. Never raises, whatever the dict holds.

The same Node with another heartbeat gives equal facts. Knows no pod and no other node.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from shardwright.api.reasons import Reason
from shardwright.catalog.types import NetworkKind
from shardwright.inventory import clouds
from shardwright.inventory.annotations import KEYS, LONGEST, Links, read_links
from shardwright.inventory.claims import Claimable, with_devices, with_roots
from shardwright.inventory.devices import Devices, devices_of
from shardwright.inventory.hardware import Hardware, read_hardware
from shardwright.inventory.host import Host, Offer, peer_to_peer, read_offer
from shardwright.inventory.links import NodeNetwork, node_links, node_network
from shardwright.inventory.raw import at, mapping, sequence, text, texts
from shardwright.inventory.refusals import UnusableNodeError, insist_on_gpus, insist_on_state, is_unreachable
from shardwright.inventory.resources import is_network_resource
from shardwright.inventory.slices import Device
from shardwright.inventory.types import ClaimAsk, Islands, NodeFacts, PoolNode, PoolTraits, SkippedNode

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
JOINED = "nodes of one NVLink domain reach each other by NVLink: each replica of several pods gets a ComputeDomain"
NOT_JOINED = (
    "its NVLink domain does not count: this cluster serves no ComputeDomain (resource.nvidia.com/v1beta1), by which "
    "pods would be let into it"
)


def read_node(
    node: Mapping[str, Any], devices: Sequence[Device] = (), *, compute_domains: bool = False
) -> NodeFacts | SkippedNode:
    """Reduce a Node to what planning depends on: hashable, small, and equal as long as nothing of that changed.

    `devices` are those that ResourceSlices offer on it; `compute_domains`: pods can be let into its NVLink domain.
    """
    name = text(at(node, "metadata", "name"))
    try:
        return _facts(name, node, devices, compute_domains)
    except UnusableNodeError as error:
        labels = () if error.reason is Reason.NO_GPU else _lasting(texts(at(node, "metadata", "labels")))
        return SkippedNode(name, error.reason, error.message, labels, unreachable=is_unreachable(node))


def _facts(name: str, node: Mapping[str, Any], offered: Sequence[Device], compute_domains: bool) -> NodeFacts:
    labels, annotations = texts(at(node, "metadata", "labels")), texts(at(node, "metadata", "annotations"))
    allocatable = mapping(at(node, "status", "allocatable"))
    hardware, claimable, claimed = with_devices(read_hardware(labels, annotations, allocatable), offered)
    insist_on_gpus(hardware)
    insist_on_state(node)
    devices, notes = devices_of(hardware)
    said = tuple((key, annotations[key][:LONGEST]) for key in KEYS if key in annotations)
    links, rooted = with_roots(_links(said, _physical(hardware, devices.count)), claimable, devices.product.link)
    nvlink_domain = links.nvlink_domain or hardware.clique or clouds.first(labels, clouds.NVLINK_DOMAINS)
    nvlink_domain = nvlink_domain if devices.multi_gpu else None
    joined = compute_domains and nvlink_domain is not None
    traits, guesses = _traits(devices, links, _network_resources(allocatable), claimable, joined)
    if nvlink_domain and not joined:
        guesses = (*guesses, NOT_JOINED)
    return NodeFacts(
        node=PoolNode(
            name=name,
            gpus=devices.count,
            free_gpus=devices.count,
            labels=_lasting(labels),
            taints=_taints(node),
            fabric_domain=nvlink_domain if joined else links.fabric_domain or clouds.first(labels, clouds.FABRICS),
            nvlink_domain=nvlink_domain,
            locality=clouds.locality(labels),
        ),
        traits=traits,
        identity=tuple((key, labels[key]) for key in IDENTITY_LABELS if key in labels),
        notes=(*notes, *claimed, *rooted, *guesses, *links.problems),
        host=_host(traits, links, read_offer(allocatable)),
    )


def _lasting(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, labels[key]) for key in labels.keys() - VOLATILE_LABELS))


def _physical(hardware: Hardware, gpus: int) -> int:
    """GPUs of the board: a sick one is missing from allocatable and still has its index."""
    return max(gpus, hardware.label_count or 0) if hardware.mig is None else gpus


@lru_cache(maxsize=4096)
def _links(said: tuple[tuple[str, str], ...], gpus: int) -> Links:
    return read_links(dict(said), gpus)


@lru_cache(maxsize=4096)
def _traits(
    devices: Devices,
    said: Links,
    network_resources: tuple[tuple[str, str], ...],
    claimable: Claimable | None,
    joined: bool,
) -> tuple[PoolTraits, tuple[str, ...]]:
    """Everything that nodes of one pool share; through the cache alike nodes share one object, which groups fast."""
    links = node_links(said, devices.product, devices.count, multi_gpu=devices.multi_gpu)
    network = node_network(said, dict(network_resources), devices.count)
    if joined:
        network = NodeNetwork(NetworkKind.NVLINK, links.link_bandwidth, (JOINED,))
    islands, trimmed = _trim(links.islands, devices.count)
    traits = PoolTraits(
        product=devices.product,
        gpu_resource=devices.resource,
        gpus_per_node=devices.count,
        memory_bytes=devices.memory_bytes,
        link=links.link,
        link_bandwidth=links.link_bandwidth,
        islands=islands,
        outer_islands=_trim(links.outer_islands, devices.count)[0],
        cross_island_bandwidth=links.cross_island_bandwidth,
        network=network.kind,
        network_bandwidth=network.bandwidth,
        multi_gpu=devices.multi_gpu,
        linked_by_annotation=links.annotated and claimable is None,
        claim=_ask(claimable, islands),
        compute_domain=joined,
    )
    return traits, (*links.assumptions, *trimmed, *network.assumptions)


@lru_cache(maxsize=4096)
def _host(traits: PoolTraits, said: Links, offer: Offer) -> Host:
    """What is around the GPUs. Of a node that lost a GPU, nobody tells which index it was."""
    return Host(
        gpus=traits.gpus_per_node,
        link=traits.link,
        said_islands=traits.islands if traits.linked_by_annotation else (),
        network=said.network,
        nics=tuple((group[0], tuple(names.split(","))) for group, names in said.nics or ()),
        interface=said.interface or "",
        numa=said.numa if said.numa and len(said.numa) == traits.gpus_per_node else (),
        devices=offer.devices,
        cpu_milli=offer.cpu_milli,
        memory_bytes=offer.memory_bytes,
        peer_to_peer=peer_to_peer(traits.link, traits.product),
    )


def _ask(claimable: Claimable | None, islands: Islands) -> ClaimAsk | None:
    """How pods claim the GPUs; by an attribute that islands share only where it is what the islands are."""
    if claimable is None:
        return None
    return claimable.ask if claimable.islands == islands else replace(claimable.ask, same="")


def _trim(islands: Islands, gpus: int) -> tuple[Islands, tuple[str, ...]]:
    """Islands of the GPUs that are left when one is sick; which one it is nobody tells, so the last are left out."""
    named = sum(map(len, islands))
    if named <= gpus:
        return islands, ()
    left = tuple(part for island in islands if (part := tuple(gpu for gpu in island if gpu < gpus)))
    return left, (f"{gpus} of {named} GPUs are allocatable; islands are taken as if the last indexes were missing",)


def _network_resources(allocatable: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """The resources that tell a network, as something hashable."""
    names = sorted(name for name in allocatable if isinstance(name, str) and is_network_resource(name))
    return tuple((name, str(allocatable[name])) for name in names)


def _taints(node: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Taints that keep a pod off, sorted."""
    taints = [[text(at(taint, part)) for part in ("key", "value", "effect")] for taint in _listed_taints(node)]
    return tuple(
        sorted({(key, value, effect) for key, value, effect in taints if effect in ("NoSchedule", "NoExecute")})
    )


def _listed_taints(node: Mapping[str, Any]) -> list[Any]:
    return [taint for taint in sequence(at(node, "spec", "taints")) if text(at(taint, "key"))]
