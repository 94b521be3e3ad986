"""The one decision: from what is seen of a deployment to everything that is to be written. Pure and level-triggered.

It asks what should be, never what happened. A running plan is kept while it is valid; a spec that is refused, or that
finds no layout, changes nothing that runs.
"""

from dataclasses import dataclass, replace
from typing import Any

from shardwright.api import labels
from shardwright.engines.context import UnrenderableError
from shardwright.manifests.build import DeploymentIdentity, ManifestSettings, build
from shardwright.plan.types import Plan
from shardwright.reconcile import revision
from shardwright.reconcile.accept import Accepted
from shardwright.reconcile.draining import cornered, departures, is_due, on_its_way
from shardwright.reconcile.endpoints import with_endpoints
from shardwright.reconcile.live import SET, live_replicas
from shardwright.reconcile.objects import applied_hash, judge, name_of
from shardwright.reconcile.placing import Seat
from shardwright.reconcile.plans import Course, settle
from shardwright.reconcile.replica import Replica, Scene, assignments, formed, judge_replica, shown, with_life
from shardwright.reconcile.rolling import compare_due, held_back, pod_deletions, standing
from shardwright.reconcile.rollout import Standing, surge_wanted
from shardwright.reconcile.stranded import stranded
from shardwright.reconcile.surge import surge_seats
from shardwright.reconcile.telling import counted, situation_of, with_status
from shardwright.reconcile.types import Decision, Deletion, Gpus, Observed, Reservation, Write
from shardwright.reconcile.yielding import look
from shardwright.status import Trouble


def decide(seen: Observed, gpus: Gpus, settings: ManifestSettings, now: str) -> Decision:
    """Everything to write for one deployment; empty where all stands as it should, or the deployment is going.

    `now` is RFC 3339 in UTC. Raises nothing on any input of a user; an exception is a bug.
    """
    if seen.deployment["metadata"].get("deletionTimestamp"):
        return Decision()
    live = live_replicas(seen)
    yielding = look(live, seen.yielded, gpus, now)
    course = settle(seen, live, gpus, yielding.resting)
    if course.active is None:
        return _nothing_runs(seen, course, now)
    decision = _run(Scene(seen, live, gpus, settings, now), course, course.active)
    soonest = _soonest(decision.requeue_after_seconds, yielding.again_in_seconds)
    return replace(decision, yielded=yielding.remembered, requeue_after_seconds=soonest)


def _nothing_runs(seen: Observed, course: Course, now: str) -> Decision:
    """No spec was ever accepted with a plan: only the status can say why."""
    situation = situation_of(
        seen, course, now, spec=course.accepted.spec if course.accepted else None, plan=course.shown_plan
    )
    return with_status(seen, situation, Decision(waiting=course.accepted is not None))


@dataclass(frozen=True, slots=True)
class _Draft:
    """What replicas should have, before it is asked whose turn it is."""

    replicas: list[Replica]
    documents: list[dict[str, Any]]
    standings: list[Standing]
    trouble: Trouble | None


def _run(scene: Scene, course: Course, active: Accepted) -> Decision:
    """A plan runs: bring objects to it."""
    seen, live, suspended = scene.seen, scene.live, active.spec.suspend
    assert course.plan is not None
    wanted = [judge_replica(seat, course.plan, active, scene) for seat in course.seating.seats]
    draft = _draft(scene, course, active, wanted)
    extra = surge_seats(course, active, live, scene.gpus, draft.standings)
    if extra:
        more = [replace(judge_replica(seat, course.plan, active, scene), surge=True) for seat in extra]
        draft = _draft(scene, course, active, [*wanted, *more])
    held = held_back(draft.replicas, draft.standings, active.spec.rollout.max_unavailable)
    gone = departures(draft.replicas, held)
    if any(is_due(one, held) for one in draft.replicas):
        going = [on_its_way(one) if is_due(one, held) else one for one in draft.replicas]
        draft = _draft(scene, course, active, going)
    comparison = compare_due(draft.documents, seen, held, draft.trouble)
    surge_waits = not suspended and len(extra) < surge_wanted(draft.standings, active.spec.rollout.max_surge)
    left_behind = stranded(live, scene.gpus, scene.now)
    seats = () if suspended else course.seating.seats
    plan = counted(course.plan, seats)
    nothing_fits = course.shown_plan if course.shown_plan and not course.shown_plan.placements else None
    situation = situation_of(
        seen,
        course,
        scene.now,
        spec=active.spec,
        plan=nothing_fits or plan,
        plan_hash=_hash_of(draft.documents),
        replicas=() if suspended else shown(draft.replicas, held, course.seating, live),
        outdated=_outdated(draft),
        surge=len(extra),
        surge_waits=surge_waits,
        trouble=comparison.trouble or draft.trouble,
        caution=cornered(draft.replicas),
    )
    decision = Decision(
        keep=_keep(seen, course),
        derived_replicas=course.write_replicas,
        apply=comparison.apply,
        delete=(
            *comparison.delete,
            *pod_deletions(draft.replicas, draft.documents, held),
            *left_behind.deletions,
            *_old_revisions(seen, course),
        ),
        reservations=tuple(_reservation(seat, course.plan) for seat in (*seats, *extra)),
        events=gone,
        formed=formed(draft.replicas),
        better=course.better,
        waiting=bool(course.seating.waiting)
        or nothing_fits is not None
        or surge_waits
        or any(seat.leaves for seat in seats),
        requeue_after_seconds=_soonest(left_behind.again_in_seconds, *(r.life.due_in_seconds for r in draft.replicas)),
    )
    return with_status(seen, situation, decision)


def _draft(scene: Scene, course: Course, active: Accepted, replicas: list[Replica]) -> _Draft:
    assert course.plan is not None
    trouble: Trouble | None = None
    try:
        wanted = [] if active.spec.suspend else assignments(replicas)
        documents = build(_identity(scene.seen), active.spec, active.profile, course.plan, wanted, scene.settings)
    except UnrenderableError as error:
        documents, trouble = [], Trouble(error.reason, error.message)
    documents = with_endpoints([with_life(document, replicas) for document in documents], scene.live)
    return _Draft(replicas, documents, [standing(one, documents) for one in replicas], trouble)


def _outdated(draft: _Draft) -> int:
    """Replicas that still run an older version; one that only leaves a node runs the right one."""
    drained = {one.seat.replica for one in draft.replicas if one.seat.drains}
    return sum(one.outdated or not one.settled for one in draft.standings if not one.surge and one.id not in drained)


def _soonest(*seconds: float | None) -> float | None:
    return min((one for one in seconds if one), default=None)


def _keep(seen: Observed, course: Course) -> tuple[Write, ...]:
    if course.to_keep is None:
        return ()
    document = revision.document(course.to_keep, seen.deployment, course.kept_number + 1)
    live = seen.children.get(name_of(document))
    if live is not None and applied_hash(live) == applied_hash(document):
        return ()
    write, _ = judge(document, seen, seen.deployment["metadata"]["uid"])
    return (write,) if write else ()


def _old_revisions(seen: Observed, course: Course) -> tuple[Deletion, ...]:
    uid = seen.deployment["metadata"]["uid"]
    return tuple(
        Deletion(revision.KIND, child, "a newer spec was accepted")
        for (kind, _), child in seen.children.items()
        if kind == revision.KIND
        and revision.owned_by(child, uid)
        and int(child.get("revision") or 0) < course.kept_number
    )


def _reservation(seat: Seat, plan: Plan) -> Reservation:
    placement = plan.placements[seat.placement_index]
    return Reservation(seat.replica, placement.layout.gpus_per_pod, seat.nodes, placement.gpu_resource)


def _hash_of(documents: list[dict[str, Any]]) -> str:
    sets = [document for document in documents if document["kind"] == SET]
    return str(sets[0]["metadata"]["annotations"][labels.PLAN_HASH]) if sets else ""


def _identity(seen: Observed) -> DeploymentIdentity:
    metadata = seen.deployment["metadata"]
    return DeploymentIdentity(metadata["name"], metadata["namespace"], metadata["uid"])
