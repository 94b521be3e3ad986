"""Where each wanted replica goes: it stays where it is while it can, and moves to an equal node when it cannot.

The layout is given; moving to an equal node is repair, not a new plan. Knows no manifests and no status texts.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shardwright.api import labels
from shardwright.inventory import Inventory, PoolNode
from shardwright.plan.room import assign
from shardwright.plan.site import site_of
from shardwright.plan.types import Placement, Plan, PlanRequest, QuotaRoom
from shardwright.plan.validity import arrived, pool_of
from shardwright.reconcile.live import LiveReplica
from shardwright.reconcile.quota import Purse
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


def keep_seats(
    ids: Sequence[int],
    live: Mapping[int, LiveReplica],
    plan: Plan,
    request: PlanRequest,
    gpus: Gpus,
    beside: Sequence[Seat] = (),
    resting: Mapping[int, str] | None = None,
) -> Seating:
    """Seats under a plan that stays: standing replicas keep theirs, new and homeless ones are placed.

    `beside` are other seats of the same deployment, which quotas pay for first. Replicas that rest get none.
    """
    seats: list[Seat] = []
    homeless: list[int] = []
    leaving: dict[int, str] = {}
    lost: set[str] = set()
    emptied: dict[str, str] = {}
    resting = {id_: why for id_, why in (resting or {}).items() if id_ in ids}
    for id_ in ids:
        if id_ in resting:
            continue
        replica = live.get(id_)
        nodes = seat_nodes(replica) if replica else ()
        index = _placement_of(nodes, plan, gpus)
        lost |= {node for node in nodes if not gpus.node_exists(node) or gpus.node_unreachable(node)}
        drains = {node: why for node in sorted(set(nodes)) if (why := gpus.leaving(node))}
        emptied |= drains
        if replica and nodes and index is not None and _still_good(replica, nodes, plan.placements[index], gpus):
            if not drains:
                seats.append(Seat(id_, index, nodes))
            elif _is_whole(replica, len(nodes)):
                leaving[id_] = ", ".join(f"node {node} {why}" for node, why in drains.items())
            else:
                homeless.append(id_)
        elif replica and misplaced(replica, plan, gpus):
            leaving[id_] = ""
        else:
            homeless.append(id_)
    seats, unpaid = _paid(seats, live, plan, gpus.quota_room(standing=True))
    homeless += unpaid
    purse = Purse(gpus.quota_room(standing=False) if homeless or leaving else ())
    if homeless or leaving:
        stuck = _stuck_seats(leaving, live, plan, gpus)
        affordable = _affordable(plan, request, len(seats) + len(leaving))
        free = without(gpus.inventory(free_replicas=frozenset(homeless)), beside, plan)
        had = {id_ for id_ in homeless if id_ in live and live[id_].set is not None}
        for seat in (*beside, *seats, *stuck):
            purse.pay(plan.placements[seat.placement_index], anyway=True)
        placed = [replace(seat, moved=True) for seat in place(homeless[:affordable], plan, request, free, purse)]
        seats += [replace(seat, moved=seat.replica in had) for seat in placed]
        for seat in stuck:
            if not purse.overdrawn:
                free = gpus.inventory(free_replicas=frozenset((*homeless, seat.replica)))
                placed += _elsewhere(seat, plan, request, without(free, (*beside, *placed), plan))
        gone = {seat.replica: seat for seat in placed if seat.leaves}
        seats += [gone.get(seat.replica, seat) for seat in stuck]
    seated = {seat.replica for seat in seats}
    return Seating(
        tuple(sorted(seats, key=lambda seat: seat.replica)),
        tuple(id_ for id_ in ids if id_ not in seated),
        tuple(sorted(lost)),
        emptied,
        resting,
        purse.lacked,
    )


def _paid(
    seats: Sequence[Seat], live: Mapping[int, LiveReplica], plan: Plan, rooms: Iterable[QuotaRoom]
) -> tuple[list[Seat], list[int]]:
    """Standing replicas that quotas let stand, and ids of those whose missing pods would be refused.

    A replica that has all its pods stands whatever a quota says; half a group only holds what others could use.
    """

    def stands(seat: Seat) -> bool:
        replica = live[seat.replica]
        return _is_whole(replica, len(seat.nodes)) or bool(replica.annotation(labels.PARKED))

    purse, paid, unpaid = Purse(rooms), list[Seat](), list[int]()
    for seat in sorted(seats, key=lambda one: (not stands(one), one.replica)):
        if purse.pay(plan.placements[seat.placement_index], anyway=stands(seat)):
            paid.append(seat)
        else:
            unpaid.append(seat.replica)
    return paid, unpaid


def _is_whole(replica: LiveReplica, size: int) -> bool:
    return sum(not pod.terminating for _, pod in replica.pods) >= size


def _elsewhere(seat: Seat, plan: Plan, request: PlanRequest, free: Inventory) -> list[Seat]:
    """Other nodes for a replica that should leave its own."""
    found = place([seat.replica], plan, request, free)
    return [replace(one, leaves=True, drains=seat.drains) for one in found]


def without(inventory: Inventory, seats: Iterable[Seat], plan: Plan) -> Inventory:
    """Less the GPUs that replicas which move in this very decision take on their new nodes."""
    taken: Counter[str] = Counter()
    for seat in seats:
        if seat.moved or (seat.leaves and seat.nodes):
            taken.update(dict.fromkeys(seat.nodes, plan.placements[seat.placement_index].layout.gpus_per_pod))
    if not taken:
        return inventory
    return replace(inventory, pools=tuple(replace(pool, nodes=_less(pool.nodes, taken)) for pool in inventory.pools))


def _less(nodes: Iterable[PoolNode], taken: Mapping[str, int]) -> tuple[PoolNode, ...]:
    return tuple(
        replace(node, free_gpus=max(0, node.free_gpus - taken[node.name])) if node.name in taken else node
        for node in nodes
    )


def _stuck_seats(leaving: Mapping[int, str], live: Mapping[int, LiveReplica], plan: Plan, gpus: Gpus) -> list[Seat]:
    """Where replicas that should leave are: what finds no room elsewhere goes on running there."""
    sizes = {placement.layout.nodes_per_replica: index for index, placement in enumerate(plan.placements)}
    found = []
    for id_, why in sorted(leaving.items()):
        nodes = live[id_].bound_nodes
        index = _placement_of(nodes, plan, gpus)
        found.append(Seat(id_, sizes.get(len(nodes), 0) if index is None else index, nodes, leaves=True, drains=why))
    return found


def misplaced(replica: LiveReplica, plan: Plan, gpus: Gpus) -> bool:
    """Whether pods of it are bound to GPUs that the plan does not use, such as those of the plan before."""
    pools = [pool_of(placement, gpus.fleet) for placement in plan.placements]
    planned = {node.name for pool in pools if pool for node in pool.nodes}
    known = {node.name for pool in gpus.fleet.pools for node in pool.nodes}
    return any(node in known and node not in planned for node in replica.bound_nodes)


def new_seats(ids: Sequence[int], live: Mapping[int, LiveReplica], plan: Plan, gpus: Gpus) -> Seating:
    """Seats under a new plan: each replica takes the planned nodes that overlap most with those it has."""
    offered = [(index, nodes) for index, p in enumerate(plan.placements) for nodes in p.replica_nodes]
    seats: list[Seat] = []
    for id_ in ids:
        if not offered:
            break
        mine = Counter(seat_nodes(live[id_])) if id_ in live else Counter[str]()
        best = max(range(len(offered)), key=lambda at: ((mine & Counter(offered[at][1])).total(), -at))
        index, nodes = offered.pop(best)
        seats.append(Seat(id_, index, nodes, leaves=id_ in live and misplaced(live[id_], plan, gpus)))
    seated = {seat.replica for seat in seats}
    waiting = tuple(id_ for id_ in ids if id_ not in seated)
    return Seating(tuple(seats), waiting, lacked=_lacked(seats, plan, gpus) if waiting else "")


def _lacked(seats: Sequence[Seat], plan: Plan, gpus: Gpus) -> str:
    """What quotas lack for one more replica."""
    purse = Purse(gpus.quota_room(standing=False))
    for seat in seats:
        purse.pay(plan.placements[seat.placement_index], anyway=True)
    return purse.shortage(plan.placements[0])


def place(
    ids: Iterable[int], plan: Plan, request: PlanRequest, inventory: Inventory, purse: Purse | None = None
) -> list[Seat]:
    """Nodes for replicas that have none, on the plan's placements in their order, as far as quotas pay for them."""
    purse = purse or Purse()
    waiting = list(ids)
    seats: list[Seat] = []
    for index, placement in enumerate(plan.placements):
        for pool in (*arrived(placement, inventory), pool_of(placement, inventory)):
            if pool is None or not waiting:
                continue
            room = assign(site_of(pool, request).nodes, placement.layout, len(waiting))
            seats.extend(Seat(waiting.pop(0), index, nodes) for nodes in room if purse.pay(placement))
    return seats


def _affordable(plan: Plan, request: PlanRequest, seated: int) -> int:
    """Replicas that the user's budget of GPUs still pays for."""
    if request.max_gpus is None or not plan.placements:
        return 1 << 30
    return max(0, request.max_gpus // max(p.layout.gpus_per_replica for p in plan.placements) - seated)


def seat_nodes(replica: LiveReplica) -> tuple[str, ...]:
    """Where a replica is: where its pods are bound once all are, else where it was told to go."""
    told = replica.told_nodes
    bound = replica.bound_nodes
    if bound and (len(bound) == len(told) or not told):
        return bound
    return told


def _placement_of(nodes: Sequence[str], plan: Plan, gpus: Gpus) -> int | None:
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


def _still_good(replica: LiveReplica, nodes: Sequence[str], placement: Placement, gpus: Gpus) -> bool:
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


__all__ = ["Seat", "Seating", "keep_seats", "new_seats", "place", "seat_nodes"]
