"""Replicas beyond the wanted number, that serve while a changed spec reaches the wanted ones (`rollout.maxSurge`).

Each takes GPUs that are free for a whole replica, or is not made; it goes when all wanted replicas run what is asked.
"""

from collections.abc import Mapping, Sequence

from shardwright.reconcile.accept import Accepted
from shardwright.reconcile.live import LiveReplica
from shardwright.reconcile.placing import Seat, keep_seats
from shardwright.reconcile.plans import Course
from shardwright.reconcile.rollout import Standing, surge_wanted
from shardwright.reconcile.types import Gpus


def surge_seats(
    course: Course, active: Accepted, live: Mapping[int, LiveReplica], gpus: Gpus, standings: Sequence[Standing]
) -> tuple[Seat, ...]:
    """Seats beyond the wanted: those that stand keep theirs, new ones begin only once every wanted replica has GPUs."""
    assert course.plan is not None
    number = 0 if active.spec.suspend else surge_wanted(standings, active.spec.rollout.max_surge)
    seated = {seat.replica for seat in course.seating.seats}
    stand = [id_ for id_, one in live.items() if one.is_surge and one.exists and id_ not in seated]
    ids = sorted(stand)[:number]
    if any(one.outdated for one in standings) and not course.seating.waiting and seated <= live.keys():
        ids += _fresh({*live, *seated}, number - len(ids))
    return keep_seats(ids, live, course.plan, active.request, gpus, course.seating.seats).seats if ids else ()


def _fresh(taken: set[int], count: int) -> list[int]:
    return [id_ for id_ in range(len(taken) + max(0, count)) if id_ not in taken][: max(0, count)]
