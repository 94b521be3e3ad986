"""Where each wanted replica goes: it stays where it is while it can, and moves to an equal node when it cannot.

The layout is given; moving to an equal node is repair, not a new plan. Knows no manifests and no status texts.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from shardwright.api import labels
from shardwright.inventory import Inventory, PoolNode
from shardwright.plan.room import assign
from shardwright.plan.site import site_of
from shardwright.plan.types import Plan, PlanRequest, QuotaRoom
from shardwright.plan.validity import arrived, pool_of
from shardwright.reconcile.live import LiveReplica
from shardwright.reconcile.quota import Purse
from shardwright.reconcile.seats import Seat, Seating, is_whole, misplaced, placement_of, seat_nodes, still_good
from shardwright.reconcile.types import Gpus


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
    resting = {id_: why for id_, why in (resting or {}).items() if id_ in ids}
    found = _sorted([id_ for id_ in ids if id_ not in resting], live, plan, gpus)
    seats, unpaid = _paid(found.seats, live, plan, gpus.quota_room(standing=True))
    found = replace(found, seats=tuple(seats), homeless=(*found.homeless, *unpaid))
    purse = Purse(gpus.quota_room(standing=False) if found.homeless or found.leaving else ())
    if found.homeless or found.leaving:
        seats += _new_homes(found, live, plan, request, gpus, beside, purse)
    seated = {seat.replica for seat in seats}
    return Seating(
        tuple(sorted(seats, key=lambda seat: seat.replica)),
        tuple(id_ for id_ in ids if id_ not in seated),
        found.lost,
        found.emptied,
        resting,
        purse.lacked,
    )


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Replicas by what becomes of them."""

    seats: tuple[Seat, ...]
    """Of those that stay where they are."""
    homeless: tuple[int, ...]
    leaving: Mapping[int, str]
    """Those that run where they should not, and why, where that is a node to be emptied."""
    lost: tuple[str, ...]
    emptied: Mapping[str, str]


def _sorted(ids: Iterable[int], live: Mapping[int, LiveReplica], plan: Plan, gpus: Gpus) -> _Sorted:
    seats: list[Seat] = []
    homeless: list[int] = []
    leaving: dict[int, str] = {}
    lost: set[str] = set()
    emptied: dict[str, str] = {}
    for id_ in ids:
        replica = live.get(id_)
        nodes = seat_nodes(replica) if replica else ()
        index = placement_of(nodes, plan, gpus)
        lost |= {node for node in nodes if not gpus.node_exists(node) or gpus.node_unreachable(node)}
        drains = {node: why for node in sorted(set(nodes)) if (why := gpus.leaving(node))}
        emptied |= drains
        good = replica and nodes and index is not None and still_good(replica, nodes, plan.placements[index], gpus)
        if good and index is not None and not drains:
            seats.append(Seat(id_, index, nodes))
        elif good and replica and is_whole(replica, len(nodes)):
            leaving[id_] = ", ".join(f"node {node} {why}" for node, why in drains.items())
        elif not good and replica and misplaced(replica, plan, gpus):
            leaving[id_] = ""
        else:
            homeless.append(id_)
    return _Sorted(tuple(seats), tuple(homeless), leaving, tuple(sorted(lost)), emptied)


def _new_homes(
    found: _Sorted,
    live: Mapping[int, LiveReplica],
    plan: Plan,
    request: PlanRequest,
    gpus: Gpus,
    beside: Sequence[Seat],
    purse: Purse,
) -> list[Seat]:
    """Seats for the homeless, then elsewhere for those that leave; these stay where they are while none is free."""
    stuck = _stuck_seats(found.leaving, live, plan, gpus)
    for seat in (*beside, *found.seats, *stuck):
        purse.pay(plan.placements[seat.placement_index], anyway=True)
    affordable = found.homeless[: _affordable(plan, request, len(found.seats) + len(stuck))]
    free = without(gpus.inventory(free_replicas=frozenset(found.homeless)), beside, plan)
    placed = [replace(seat, moved=True) for seat in place(affordable, plan, request, free, purse)]
    had = {id_ for id_ in found.homeless if id_ in live and live[id_].set is not None}
    seats = [replace(seat, moved=seat.replica in had) for seat in placed]
    for seat in stuck:
        if not purse.overdrawn:
            free = gpus.inventory(free_replicas=frozenset((*found.homeless, seat.replica)))
            placed += _elsewhere(seat, plan, request, without(free, (*beside, *placed), plan))
    gone = {seat.replica: seat for seat in placed if seat.leaves}
    return [*seats, *(gone.get(seat.replica, seat) for seat in stuck)]


def _paid(
    seats: Sequence[Seat], live: Mapping[int, LiveReplica], plan: Plan, rooms: Iterable[QuotaRoom]
) -> tuple[list[Seat], list[int]]:
    """Standing replicas that quotas let stand, and ids of those whose missing pods would be refused.

    A replica that has all its pods stands whatever a quota says; half a group only holds what others could use.
    """

    def stands(seat: Seat) -> bool:
        replica = live[seat.replica]
        return is_whole(replica, len(seat.nodes)) or bool(replica.annotation(labels.PARKED))

    purse, paid, unpaid = Purse(rooms), list[Seat](), list[int]()
    for seat in sorted(seats, key=lambda one: (not stands(one), one.replica)):
        if purse.pay(plan.placements[seat.placement_index], anyway=stands(seat)):
            paid.append(seat)
        else:
            unpaid.append(seat.replica)
    return paid, unpaid


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
        index = placement_of(nodes, plan, gpus)
        found.append(Seat(id_, sizes.get(len(nodes), 0) if index is None else index, nodes, leaves=True, drains=why))
    return found


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


__all__ = ["Seat", "Seating", "keep_seats", "new_seats", "place", "seat_nodes"]
