"""A replica's seat: where it is, and whether it may stay there. Places nothing; knows no manifests, no status texts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shardwright.plan.types import Placement, Plan
from shardwright.plan.validity import pool_of
from shardwright.reconcile.live import LiveReplica
from shardwright.reconcile.types import Gpus


@dataclass(frozen=True, slots=True)
class Seat:
    """A replica with its nodes."""

    replica: int
    placement_index: int
    nodes: tuple[str, ...]
    moved: bool = False
    """It had other nodes before and runs there no more, so that its group must be made anew."""
    leaves: bool = False
    """Its pods run where the plan wants none: they go when its turn comes, or stay while it has no other nodes."""
    drains: str = ""
    """Why it should leave, where its nodes are to be emptied, as in "node a is cordoned"."""

    def stuck(self, bound: Sequence[str]) -> bool:
        """Whether it should leave and has nowhere to go."""
        return self.leaves and Counter(self.nodes) == Counter(bound)


@dataclass(frozen=True, slots=True)
class Seating:
    """Every replica that has GPUs, and those that wait for them."""

    seats: tuple[Seat, ...]
    waiting: tuple[int, ...] = ()
    lost_nodes: tuple[str, ...] = ()
    """Nodes that replicas ran on and that are gone, or that nobody hears from."""
    emptied: Mapping[str, str] = field(default_factory=dict)
    """Nodes that replicas have or had and that are to be emptied, and why."""
    resting: Mapping[int, str] = field(default_factory=dict)
    """Replicas that yielded what they held, and why."""
    lacked: str = ""
    """What ResourceQuotas lack for those that wait, in words; empty where no quota holds them up."""


def seat_nodes(replica: LiveReplica) -> tuple[str, ...]:
    """Where a replica is: where its pods are bound once all are, else where it was told to go."""
    told = replica.told_nodes
    bound = replica.bound_nodes
    if bound and (len(bound) == len(told) or not told):
        return bound
    return told


def misplaced(replica: LiveReplica, plan: Plan, gpus: Gpus) -> bool:
    """Whether pods of it are bound to GPUs that the plan does not use, such as those of the plan before."""
    pools = [pool_of(placement, gpus.fleet) for placement in plan.placements]
    planned = {node.name for pool in pools if pool for node in pool.nodes}
    known = {node.name for pool in gpus.fleet.pools for node in pool.nodes}
    return any(node in known and node not in planned for node in replica.bound_nodes)


def placement_of(nodes: Sequence[str], plan: Plan, gpus: Gpus) -> int | None:
    """Which placement a replica with these nodes belongs to."""
    if not nodes:
        return None
    for index, placement in enumerate(plan.placements):
        pool = pool_of(placement, gpus.fleet)
        if placement.layout.nodes_per_replica != len(nodes):
            continue
        if pool and nodes[0] in {node.name for node in pool.nodes}:
            return index
        if placement.expected and set(placement.pool_selector) <= set(gpus.labels_of(nodes[0])):
            return index
        if not gpus.node_usable(nodes[0]) and _was_of(placement, nodes[0], gpus):
            return index
    if any(nodes[0] == node.name for pool in gpus.fleet.pools for node in pool.nodes):
        return None
    same_size = [i for i, p in enumerate(plan.placements) if p.layout.nodes_per_replica == len(nodes)]
    return same_size[0] if len(same_size) == 1 else None


def _was_of(placement: Placement, node: str, gpus: Gpus) -> bool:
    """Whether a node that is not planned on at present is one of the placement's."""
    selector = set(placement.pool_selector)
    return node in placement.pool_nodes or bool(selector and selector <= set(gpus.labels_of(node)))


def still_good(replica: LiveReplica, nodes: Sequence[str], placement: Placement, gpus: Gpus) -> bool:
    """Whether the replica may stay: bound pods' nodes are still there, open ones still have room for it."""
    bound = Counter(replica.bound_nodes)
    for node, pods in Counter(nodes).items():
        if not gpus.node_exists(node):
            return False
        open_pods = pods - bound[node] if len(replica.bound_nodes) < len(nodes) else 0
        if open_pods <= 0:
            continue
        if not gpus.node_usable(node) or not gpus.has_room(replica.id, node, pods * placement.layout.gpus_per_pod):
            return False
    return True


def is_whole(replica: LiveReplica, size: int) -> bool:
    """Whether all its pods exist and none is on its way out."""
    return sum(not pod.terminating for _, pod in replica.pods) >= size
