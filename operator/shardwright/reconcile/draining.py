"""Which replicas leave nodes that are to be emptied, and what is told of it. Pure.

A cordon and a disruption taint mean the same here: the replica goes elsewhere when its turn comes. One that has nowhere
to go serves on and may be evicted, so that a cordon by itself never stops a service and a drain always ends.
"""

from collections.abc import Iterable
from dataclasses import replace

from shardwright.api.reasons import Reason
from shardwright.reconcile.replica import Replica
from shardwright.reconcile.types import Event
from shardwright.status import Trouble


def is_due(one: Replica, held: frozenset[int]) -> bool:
    """Whether the replica leaves its nodes by this very decision."""
    return one.seat.leaves and one.live.exists and one.seat.replica not in held


def on_its_way(one: Replica) -> Replica:
    """Give a replica whose turn to move has come its next incarnation: moving is no restart that a budget counts."""
    incarnation = one.live.incarnation + 1
    life = replace(one.life, incarnation=incarnation)
    return replace(one, life=life, seen=replace(one.seen, incarnation=incarnation), ready=False)


def departures(replicas: Iterable[Replica], held: frozenset[int]) -> tuple[Event, ...]:
    """One Event for each replica that leaves a node that is to be emptied."""
    return tuple(
        Event(
            "Normal",
            str(Reason.NODE_DRAINING),
            f"{one.seat.drains}: replica {one.seat.replica} moves to {', '.join(one.seat.nodes)}",
        )
        for one in replicas
        if one.seat.drains and is_due(one, held)
    )


def cornered(replicas: Iterable[Replica]) -> Trouble | None:
    """What is to be told of replicas that should leave their nodes and have nowhere to go."""
    stuck = [one for one in replicas if one.seat.drains and one.seat.stuck(one.live.bound_nodes)]
    if not stuck:
        return None
    first, more = stuck[0].seat, len(stuck) - 1
    others = f" (and {more} more replicas)" if more else ""
    message = (
        f"{first.drains} and no other has room for replica {first.replica}{others}: it serves on until its pods are "
        "evicted; free GPUs elsewhere and it moves by itself"
    )
    return Trouble(Reason.NODE_DRAINING, message)
