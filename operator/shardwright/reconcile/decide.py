"""The one decision: from what is seen of a deployment to everything that is to be written. Pure and level-triggered.

It asks what should be, never what happened. A running plan is kept while it is valid; a spec that is refused, or that
finds no layout, changes nothing that runs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from shardwright.api import labels
from shardwright.api.problems import FieldProblem
from shardwright.api.reasons import Reason
from shardwright.engines.context import UnrenderableError
from shardwright.manifests.build import DeploymentIdentity, ManifestSettings, ReplicaAssignment, build
from shardwright.manifests.hashes import same_plan, stamp
from shardwright.plan.types import Plan
from shardwright.reconcile import revision
from shardwright.reconcile.accept import Accepted
from shardwright.reconcile.live import SET, LiveReplica, live_replicas, number
from shardwright.reconcile.objects import Comparison, applied_hash, compare, judge, name_of
from shardwright.reconcile.placing import Seat, Seating
from shardwright.reconcile.plans import Course, settle
from shardwright.reconcile.restarts import History, Life, life
from shardwright.reconcile.rollout import Standing, turns
from shardwright.reconcile.types import Decision, Deletion, Event, Formed, Gpus, Observed, Reservation, Write
from shardwright.status import ObservedReplica, ScalerView, Situation, Trouble, build_status, health, transitions


@dataclass(frozen=True, slots=True)
class _Replica:
    """One wanted replica with all that was found out about it."""

    seat: Seat
    live: LiveReplica
    seen: ObservedReplica
    life: Life
    ready: bool


@dataclass(frozen=True, slots=True)
class _Scene:
    """All that one decision is made from."""

    seen: Observed
    live: Mapping[int, LiveReplica]
    gpus: Gpus
    settings: ManifestSettings
    now: str


def decide(seen: Observed, gpus: Gpus, settings: ManifestSettings, now: str) -> Decision:
    """Everything to write for one deployment; empty where all stands as it should, or the deployment is going.

    `now` is RFC 3339 in UTC. Raises nothing on any input of a user; an exception is a bug.
    """
    if seen.deployment["metadata"].get("deletionTimestamp"):
        return Decision()
    live = live_replicas(seen)
    course = settle(seen, live, gpus)
    if course.active is None:
        return _nothing_runs(seen, course, now)
    return _run(_Scene(seen, live, gpus, settings, now), course, course.active)


def _nothing_runs(seen: Observed, course: Course, now: str) -> Decision:
    """No spec was ever accepted with a plan: only the status can say why."""
    situation = _situation(
        seen, course, now, spec=course.accepted.spec if course.accepted else None, plan=course.shown_plan
    )
    return _with_status(seen, situation, Decision(waiting=course.accepted is not None))


def _run(scene: _Scene, course: Course, active: Accepted) -> Decision:
    """A plan runs: bring objects to it."""
    seen, live = scene.seen, scene.live
    assert course.plan is not None
    replicas = [_judge_replica(seat, course.plan, active, scene) for seat in course.seating.seats]
    suspended = active.spec.suspend
    trouble: Trouble | None = None
    try:
        wanted = [] if suspended else _assignments(replicas)
        documents = build(_identity(seen), active.spec, active.profile, course.plan, wanted, scene.settings)
    except UnrenderableError as error:
        documents, trouble = [], Trouble(error.reason, error.message)
    documents = [_with_life(document, replicas) for document in documents]
    standings = [_standing(one, documents) for one in replicas]
    held = _held_back(standings, active.spec.rollout.max_unavailable)
    comparison = _compare(documents, seen, held, trouble)
    plan = _counted(course.plan, () if suspended else course.seating.seats)
    situation = _situation(
        seen,
        course,
        scene.now,
        spec=active.spec,
        plan=course.shown_plan if course.shown_plan and not course.shown_plan.placements else plan,
        plan_hash=_hash_of(documents),
        replicas=() if suspended else tuple(one.seen for one in _shown(replicas, course.seating, live)),
        outdated=sum(one.outdated or not one.settled for one in standings),
        trouble=comparison.trouble or trouble,
    )
    decision = Decision(
        keep=_keep(seen, course),
        derived_replicas=course.write_replicas,
        apply=comparison.apply,
        delete=(
            *comparison.delete,
            *_pod_deletions(replicas, documents, held),
            *_stranded_pods(live, scene.gpus),
            *_old_revisions(seen, course),
        ),
        reservations=() if suspended else tuple(_reservation(seat, course.plan) for seat in course.seating.seats),
        formed=_formed(replicas),
        waiting=bool(course.seating.waiting) or bool(course.shown_plan and not course.shown_plan.placements),
        requeue_after_seconds=min(
            (one.life.due_in_seconds for one in replicas if one.life.due_in_seconds), default=None
        ),
    )
    return _with_status(seen, situation, decision)


# One replica


def _judge_replica(seat: Seat, plan: Plan, active: Accepted, scene: _Scene) -> _Replica:
    seen = scene.seen
    found = scene.live.get(seat.replica) or LiveReplica(seat.replica, None, (), (), 0)
    observed = ObservedReplica(
        id=seat.replica,
        nodes=seat.nodes,
        group_size=plan.placements[seat.placement_index].layout.nodes_per_replica,
        incarnation=found.incarnation,
        pods=tuple(pod for _, pod in found.pods),
    )
    state = health(observed)
    told = next((row for row in _told(seen) if number(row.get("id")) == seat.replica), {})
    was_ready = bool(told.get("ready")) and number(told.get("incarnation")) == found.incarnation
    formed = seen.formed.get(seat.replica)
    replaced = formed is not None and formed.incarnation == found.incarnation and bool(formed.uids - _uids(found))
    history = History(moved=seat.moved, was_ready=was_ready, lost_a_pod=replaced)
    alive = life(found, observed, state, history, (active.spec.restart, scene.now))
    observed = replace(observed, incarnation=alive.incarnation)
    if alive.gave_up:
        message = f"given up after {alive.count} restarts; first: {alive.culprit}"
        observed = replace(observed, trouble=Reason.RESTART_BUDGET_SPENT, message=message)
    elif alive.incarnation > found.incarnation and alive.culprit and not seat.moved:
        observed = replace(observed, trouble=_reason(alive.culprit), message=f"the group is made anew: {alive.culprit}")
    elif alive.due_in_seconds and not state.ready:
        observed = replace(
            observed, trouble=_reason(alive.culprit), message=f"made anew after a back-off: {alive.culprit}"
        )
    return _Replica(seat, found, observed, alive, ready=state.ready and alive.incarnation == found.incarnation)


def _uids(live: LiveReplica) -> frozenset[str]:
    return frozenset(str(raw["metadata"].get("uid")) for raw, pod in live.pods if not pod.terminating)


def _formed(replicas: list[_Replica]) -> dict[int, Formed]:
    """Groups of several pods that are whole now; those that are not keep what is known of them."""
    return {
        one.seat.replica: Formed(one.life.incarnation, _uids(one.live))
        for one in replicas
        if one.seen.group_size > 1 and one.ready
    }


def _reason(culprit: str) -> Reason:
    word = culprit.partition(":")[0]
    return Reason(word) if word in set(Reason) else Reason.POD_RESTARTED


def _assignments(replicas: list[_Replica]) -> list[ReplicaAssignment]:
    return [
        ReplicaAssignment(one.seat.replica, one.seat.placement_index, one.seat.nodes, one.life.incarnation)
        for one in replicas
    ]


def _with_life(document: dict[str, Any], replicas: list[_Replica]) -> dict[str, Any]:
    """Add what a set must remember of its group's restarts."""
    if document["kind"] != SET:
        return document
    id_ = number(document["metadata"]["labels"].get(labels.REPLICA))
    notes = next((one.life.annotations() for one in replicas if one.seat.replica == id_), {})
    if not notes:
        return document
    metadata = document["metadata"]
    return stamp(
        {**document, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **notes}}}
    )


def _shown(replicas: list[_Replica], seating: Seating, live: Mapping[int, LiveReplica]) -> list[_Replica]:
    """Replicas as status lists them: those with seats, and those that wait for GPUs."""
    waiting = []
    for id_ in seating.waiting:
        found = live.get(id_) or LiveReplica(id_, None, (), (), 0)
        lost = [node for node in found.told_nodes if node in seating.lost_nodes]
        reason = Reason.NODE_LOST if lost else Reason.WAITING_FOR_GPUS
        message = f"node {lost[0]} is gone and no other has room" if lost else "no node has enough free GPUs"
        observed = ObservedReplica(
            id_,
            found.told_nodes if lost else (),
            1,
            found.incarnation,
            tuple(pod for _, pod in found.pods),
            reason,
            message,
        )
        waiting.append(_Replica(Seat(id_, 0, ()), found, observed, Life(found.incarnation), ready=False))
    return [*replicas, *waiting]


# Rolling


def _standing(one: _Replica, documents: list[dict[str, Any]]) -> Standing:
    wanted = _set_of(documents, one.seat.replica)
    if wanted is None or not one.live.exists:
        return Standing(one.seat.replica, outdated=False, ready=one.ready)
    outdated = not same_plan(one.live.plan_hash, str(wanted["metadata"]["annotations"][labels.PLAN_HASH]))
    return Standing(one.seat.replica, outdated, one.ready, settled=not _stale_pods(one, outdated=False))


def _held_back(standings: list[Standing], max_unavailable: int) -> frozenset[int]:
    """Outdated replicas whose turn has not come."""
    return frozenset(one.id for one in standings if one.outdated) - turns(standings, max_unavailable)


def _compare(
    documents: list[dict[str, Any]], seen: Observed, held: frozenset[int], trouble: Trouble | None
) -> Comparison:
    """All objects but those of replicas that are held back; a plan that cannot be rendered removes nothing."""
    due = [document for document in documents if _replica_of(document) not in held]
    keep = {name_of(document) for document in documents} | {
        name for name, child in seen.children.items() if _replica_of(child) in held
    }
    comparison = compare(due, seen, keep)
    return replace(comparison, delete=()) if trouble else comparison


def _replica_of(document: Mapping[str, Any]) -> int:
    marks = document["metadata"].get("labels") or {}
    return number(marks[labels.REPLICA]) if labels.REPLICA in marks else -1


def _stale_pods(one: _Replica, *, outdated: bool) -> list[Deletion]:
    """Pods of an older version or incarnation than their set asks for."""
    if outdated:
        return []
    found = []
    for raw, pod in one.live.pods:
        plan = str((raw["metadata"].get("annotations") or {}).get(labels.PLAN_HASH, ""))
        older = pod.incarnation < one.live.incarnation
        if not pod.terminating and (older or not same_plan(plan, one.live.plan_hash)):
            found.append(
                Deletion("Pod", raw, "it is of an older incarnation" if older else "it is of an older version")
            )
    return found


def _pod_deletions(
    replicas: list[_Replica], documents: list[dict[str, Any]], held: frozenset[int]
) -> tuple[Deletion, ...]:
    """Pods that their own set would make otherwise; the set must say so already, or do so by this very decision."""
    found: list[Deletion] = []
    for one in replicas:
        wanted = _set_of(documents, one.seat.replica)
        if one.seat.replica in held or wanted is None or not one.live.exists:
            continue
        version = str(wanted["metadata"]["annotations"][labels.PLAN_HASH])
        for raw, pod in one.live.pods:
            plan = str((raw["metadata"].get("annotations") or {}).get(labels.PLAN_HASH, ""))
            if pod.terminating:
                continue
            if pod.incarnation < one.life.incarnation:
                found.append(Deletion("Pod", raw, "it is of an older incarnation"))
            elif not same_plan(plan, version):
                found.append(Deletion("Pod", raw, "it is of an older version"))
    return tuple(found)


def _stranded_pods(live: Mapping[int, LiveReplica], gpus: Gpus) -> Iterator[Deletion]:
    """Pods that wait for a kubelet whose node is gone: nobody else will ever end them, and their names are needed."""
    for replica in live.values():
        for raw, pod in replica.pods:
            if pod.terminating and pod.node and not gpus.node_exists(pod.node):
                yield Deletion("Pod", raw, f"its node {pod.node} is gone", grace_seconds=0)


def _set_of(documents: list[dict[str, Any]], replica: int) -> dict[str, Any] | None:
    return next((d for d in documents if d["kind"] == SET and _replica_of(d) == replica), None)


# What is kept, promised and told


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
    return Reservation(seat.replica, plan.placements[seat.placement_index].layout.gpus_per_pod, seat.nodes)


def _counted(plan: Plan, seats: tuple[Seat, ...]) -> Plan:
    """The plan with the replicas that have GPUs now."""
    placements = tuple(
        replace(placement, replicas=sum(seat.placement_index == index for seat in seats))
        for index, placement in enumerate(plan.placements)
    )
    return replace(plan, placements=placements)


def _hash_of(documents: list[dict[str, Any]]) -> str:
    sets = [document for document in documents if document["kind"] == SET]
    return str(sets[0]["metadata"]["annotations"][labels.PLAN_HASH]) if sets else ""


def _situation(seen: Observed, course: Course, now: str, **more: Any) -> Situation:
    metadata = seen.deployment["metadata"]
    return Situation(
        name=metadata["name"],
        namespace=metadata["namespace"],
        generation=int(metadata.get("generation") or 0),
        now=now,
        previous=seen.deployment.get("status") or {},
        problems=course.problems,
        wanted=course.wanted,
        derived_replicas=course.derived_replicas,
        better=course.better,
        scaler=_scaler(seen),
        **more,
    )


def _scaler(seen: Observed) -> ScalerView | None:
    found = next((child for (kind, _), child in seen.children.items() if kind == "HorizontalPodAutoscaler"), None)
    if found is None:
        return None
    for condition in (found.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ScalingActive":
            return ScalerView(condition.get("status") == "True", str(condition.get("message") or ""))
    return ScalerView(None)


def _with_status(seen: Observed, situation: Situation, decision: Decision) -> Decision:
    status = build_status(situation)
    if status == situation.previous:
        return decision
    notes = transitions(situation.previous, status)
    events = tuple(Event(note.type, note.reason, note.message) for note in notes)
    return replace(decision, status=status, events=events)


def trouble_decision(seen: Observed, message: str, now: str) -> Decision:
    """What is said of a deployment whose reconcile raised: nothing else is touched."""
    metadata = seen.deployment["metadata"]
    previous = seen.deployment.get("status") or {}
    conditions = [c for c in previous.get("conditions") or () if isinstance(c, Mapping) and c.get("type") != "Degraded"]
    before = next(
        (c for c in previous.get("conditions") or () if isinstance(c, Mapping) and c.get("type") == "Degraded"), {}
    )
    time = before.get("lastTransitionTime") if before.get("status") == "True" else now
    degraded = {
        "type": "Degraded",
        "status": "True",
        "reason": str(Reason.INTERNAL_ERROR),
        "message": message[:1024],
        "lastTransitionTime": time or now,
        "observedGeneration": int(metadata.get("generation") or 0),
    }
    status = {**previous, "conditions": [*conditions, degraded]}
    if status == previous:
        return Decision()
    return Decision(status=status, events=(Event("Warning", str(Reason.INTERNAL_ERROR), message[:1024]),))


def _identity(seen: Observed) -> DeploymentIdentity:
    metadata = seen.deployment["metadata"]
    return DeploymentIdentity(metadata["name"], metadata["namespace"], metadata["uid"])


def _told(seen: Observed) -> list[Mapping[str, Any]]:
    rows = (seen.deployment.get("status") or {}).get("replicaStates")
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


__all__ = ["FieldProblem", "decide", "trouble_decision"]
