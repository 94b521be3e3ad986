"""The words of the inventory as frozen values: what a node is, what a pod holds, what a pool offers.

Sizes are bytes, bandwidths bytes per second. Nothing here reads a dict or decides anything.
"""

from dataclasses import dataclass

from shardwright.api.reasons import Reason
from shardwright.catalog.types import GpuProduct, LinkKind, NetworkKind
from shardwright.inventory.host import NOTHING_KNOWN, Host

Islands = tuple[tuple[int, ...], ...]
"""GPU indexes of one node, grouped; sorted inside and by their first member."""


@dataclass(frozen=True, slots=True)
class PoolNode:
    """One node as planning sees it."""

    name: str
    gpus: int
    """Allocatable."""
    free_gpus: int
    """Allocatable less what pods request and what was promised; never negative."""
    labels: tuple[tuple[str, str], ...]
    """Sorted by key, without those that a daemon rewrites as time passes."""
    taints: tuple[tuple[str, str, str], ...]
    """(key, value, effect), NoSchedule and NoExecute only."""
    fabric_domain: str | None = None
    """Nodes of one pool with different values do not reach each other by `network`."""
    nvlink_domain: str | None = None
    """Nodes with the same value share one NVLink domain."""
    locality: tuple[str, ...] = ()
    """Where the node hangs in the network, far to near, as its cloud says; a longer common beginning is closer."""


@dataclass(frozen=True, slots=True)
class ClaimAsk:
    """How a pod claims GPUs where ResourceSlices offer them."""

    device_class: str
    selectors: tuple[str, ...]
    """CEL expressions that a device must meet."""
    same: str = ""
    """Attribute that the GPUs of one island share; empty where islands are not told by one."""


@dataclass(frozen=True, slots=True)
class PoolTraits:
    """What all nodes of a pool have in common; two nodes are alike for planning exactly if these are equal."""

    product: GpuProduct
    gpu_resource: str
    gpus_per_node: int
    memory_bytes: int
    link: LinkKind
    link_bandwidth: int
    islands: Islands
    outer_islands: Islands
    cross_island_bandwidth: int
    network: NetworkKind
    network_bandwidth: int
    multi_gpu: bool
    linked_by_annotation: bool
    claim: ClaimAsk | None = None
    compute_domain: bool = False


@dataclass(frozen=True, slots=True)
class Pool:
    """Nodes that are alike for planning."""

    name: str
    """`h100-sxm-8`: product and GPUs per node, with a suffix where two pools would share it."""
    product: GpuProduct
    gpu_resource: str
    """`nvidia.com/gpu`, `amd.com/gpu`, …"""
    gpus_per_node: int
    memory_bytes: int
    """Of one GPU, as the engine will see it."""
    link: LinkKind
    link_bandwidth: int
    """Bytes per second, per GPU, one direction, inside an island."""
    islands: Islands
    """GPU indexes of one node that reach each other without crossing a slower link."""
    cross_island_bandwidth: int
    network: NetworkKind
    network_bandwidth: int
    """Bytes per second, per GPU, between nodes."""
    nodes: tuple[PoolNode, ...]
    """Sorted by name."""
    selector: tuple[tuple[str, str], ...] = ()
    """Node labels that all of the pool's nodes and no others carry; empty where only annotations tell pools apart."""
    assumptions: tuple[str, ...] = ()
    outer_islands: Islands = ()
    """The coarser level where islands are nested (switches under one socket); empty = the whole node."""
    multi_gpu: bool = True
    """False for MIG slices: no two of them may work on one replica, whatever `islands` says."""
    host: Host = NOTHING_KNOWN
    """What its nodes have besides GPUs, as far as all of them have it."""
    claim: ClaimAsk | None = None
    """How pods ask for its GPUs where not by count of an extended resource."""
    compute_domain: bool = False
    """Whether `network` is NVLink that a replica's pods are let into by a ComputeDomain."""
    expected: str = ""
    """The declared pool whose nodes do not exist yet; its `nodes` are those that an autoscaler may still add."""

    @property
    def free_gpus(self) -> int:
        """Free GPUs of all nodes."""
        return sum(node.free_gpus for node in self.nodes)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What planning depends on of one node; equal facts mean that a Node event changed nothing for us."""

    node: PoolNode
    """With all allocatable GPUs free."""
    traits: PoolTraits
    identity: tuple[tuple[str, str], ...]
    """The labels that may single out a pool, in order of preference."""
    notes: tuple[str, ...] = ()
    """Assumptions and ignored annotations, one sentence each, without the node's name."""
    host: Host = NOTHING_KNOWN
    """What it has besides GPUs."""

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name


@dataclass(frozen=True, slots=True)
class SkippedNode:
    """A node that cannot be planned on, and why."""

    name: str
    reason: Reason
    message: str
    labels: tuple[tuple[str, str], ...] = ()
    """Sorted; kept only of nodes that have to do with GPUs."""
    unreachable: bool = False
    """Nobody hears from it: its kubelet neither reports pods nor ends them."""


@dataclass(frozen=True, slots=True)
class PodUsage:
    """The GPUs that one bound, unfinished pod holds; a terminating pod holds them until it is gone."""

    name: str
    """`namespace/name`."""
    node: str
    devices: tuple[tuple[str, int], ...]
    """(resource, count), sorted, counts above zero."""
    owner_uid: str = ""
    """UID of the controller that owns the pod."""
    deployment_uid: str = ""
    """UID of the InferenceDeployment, if the pod is one of ours and says so."""
    deployment: str = ""
    """`namespace/name` of the InferenceDeployment, if the pod is one of ours."""
    replica: int = -1
    """Replica id, if the pod is one of ours."""
    terminating: bool = False

    @property
    def resource(self) -> str:
        """The one resource it holds; the first where there are several."""
        return self.devices[0][0]

    @property
    def gpus(self) -> int:
        """How many of `resource`."""
        return self.devices[0][1]


@dataclass(frozen=True, slots=True)
class Promise:
    """GPUs of one node that a deployment's replica was promised; one for each pod of the replica."""

    node: str
    gpus: int
    deployment_uid: str
    replica: int
    deployment: str = ""
    """`namespace/name`; recognises pods that carry no deployment UID."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything planning may use, and what was left out."""

    pools: tuple[Pool, ...]
    """Sorted by name."""
    skipped: tuple[SkippedNode, ...] = ()
    """Sorted by name."""

    def pool(self, name: str) -> Pool | None:
        """The pool of that name."""
        return next((pool for pool in self.pools if pool.name == name), None)
