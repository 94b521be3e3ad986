"""One wanted replica with all that is found out about it: where it sits, what lives of it, how it fares, its next life.

Decides nothing about writes; knows no manifests but the set's annotations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from shardwright.api import labels
from shardwright.api.reasons import Reason
from shardwright.inventory import is_expected
from shardwright.inventory.expected import expected_pool_of
from shardwright.manifests.build import ManifestSettings, ReplicaAssignment
from shardwright.manifests.hashes import same_plan, stamp
from shardwright.plan.explain import gib
from shardwright.plan.types import MemoryForecast, Plan
from shardwright.reconcile.accept import Accepted
from shardwright.reconcile.culprits import History
from shardwright.reconcile.live import SET, LiveReplica, number
from shardwright.reconcile.placing import Seat, Seating
from shardwright.reconcile.restarts import Life, Rules, life
from shardwright.reconcile.types import Formed, Gpus, Observed
from shardwright.status import ObservedReplica, ReplicaHealth, health

_WAITS = frozenset({Reason.POD_UNSCHEDULABLE, Reason.REPLICAS_STARTING})
"""What is seen of a replica whose nodes are still to come."""


@dataclass(frozen=True, slots=True)
class Scene:
    """All that one decision is made from."""

    seen: Observed
    live: Mapping[int, LiveReplica]
    gpus: Gpus
    settings: ManifestSettings
    now: str


@dataclass(frozen=True, slots=True)
class Replica:
    """One wanted replica with all that was found out about it."""

    seat: Seat
    live: LiveReplica
    seen: ObservedReplica
    life: Life
    ready: bool
    surge: bool = False
    """Beyond the wanted number, for a rollout."""


def judge_replica(seat: Seat, plan: Plan, active: Accepted, scene: Scene) -> Replica:
    """Look at a replica's pods and past: how it fares, and whether its group is to be made anew."""
    seen = scene.seen
    found = scene.live.get(seat.replica) or LiveReplica(seat.replica, None, (), (), 0)
    observed = ObservedReplica(
        id=seat.replica,
        nodes=seat.nodes,
        group_size=plan.placements[seat.placement_index].layout.nodes_per_replica,
        incarnation=found.incarnation,
        pods=tuple(pod for _, pod in found.pods),
        plan_hash=found.running_plan_hash,
        forecast=_forecast(plan.placements[seat.placement_index].memory),
    )
    state = health(observed)
    told = next((row for row in _told(seen) if number(row.get("id")) == seat.replica), {})
    unsure = not state.ready and not _remembered(seen, found)
    history = History(
        moved=seat.moved, was_ready=unsure and _was_ready(told, found), lost_a_pod=_lost_a_pod(seen, found)
    )
    again = str((seen.deployment["metadata"].get("annotations") or {}).get(labels.TRY_AGAIN, ""))
    alive = life(found, observed, state, history, Rules(active.spec.restart, scene.now, again))
    observed = replace(observed, incarnation=alive.incarnation)
    anew = alive.incarnation > found.incarnation and not seat.moved
    if alive.gave_up:
        message = f"given up, the budget of {active.spec.restart.budget} restarts is spent: {alive.culprit}"
        observed = replace(observed, trouble=Reason.RESTART_BUDGET_SPENT, message=message)
    elif broke := _being_mended(alive, state, anew=anew):
        how = "made anew" if anew else "made anew after a back-off"
        observed = replace(observed, trouble=_reason(broke), message=f"{how}: {broke}")
    elif health(observed).reason in _WAITS and (message := _awaited(seat, found)):
        observed = replace(observed, trouble=Reason.WAITING_FOR_NODES, message=message)
    return Replica(seat, found, observed, alive, ready=state.ready and alive.incarnation == found.incarnation)


def _being_mended(alive: Life, state: ReplicaHealth, *, anew: bool) -> str:
    """What broke the replica, where it is made anew now or soon; else empty."""
    soon = bool(alive.due_in_seconds) and not state.ready
    return (alive.pending or alive.culprit) if anew or soon else ""


def _forecast(memory: MemoryForecast) -> str:
    """What the plan foresees of the fullest GPU, to be held against what really happened."""
    fullest = min(memory.ranks, key=lambda rank: rank.kv_cache_bytes, default=None)
    if fullest is None:
        return ""
    parts = f"weights {gib(fullest.weights_bytes)}, KV cache {gib(fullest.kv_cache_bytes)}"
    return f"{parts}, {gib(memory.requested_bytes)} of {gib(memory.total_bytes)} in all"


def _awaited(seat: Seat, live: LiveReplica) -> str:
    """Which nodes the replica's pods wait for; empty where all of its nodes exist."""
    pools = sorted({expected_pool_of(node) for node in seat.nodes if is_expected(node)})
    if not pools:
        return ""
    left = max(1, len(seat.nodes) - len(live.bound_nodes))
    nodes = "a node" if left == 1 else f"{left} nodes"
    return f"waits for {nodes} of pool {', '.join(pools)}, which an autoscaler must add"


def _was_ready(told: Mapping[str, Any], live: LiveReplica) -> bool:
    """Whether the status called this very incarnation and version ready."""
    same = same_plan(str(told.get("planHash", live.plan_hash)), live.plan_hash)
    return bool(told.get("ready")) and number(told.get("incarnation")) == live.incarnation and same


def _remembered(seen: Observed, live: LiveReplica) -> Formed | None:
    """The pods of this very incarnation and version as they were when whole, where this process saw that."""
    whole = seen.formed.get(live.id)
    if whole is None or whole.incarnation != live.incarnation or not same_plan(whole.plan_hash, live.plan_hash):
        return None
    return whole


def _lost_a_pod(seen: Observed, live: LiveReplica) -> bool:
    """Whether a pod is gone that belonged to this very incarnation and version when it was whole."""
    whole = _remembered(seen, live)
    return whole is not None and bool(whole.uids - _uids(live))


def _uids(live: LiveReplica) -> frozenset[str]:
    return frozenset(str(raw["metadata"].get("uid")) for raw, pod in live.pods if not pod.terminating)


def formed(replicas: list[Replica]) -> dict[int, Formed]:
    """Groups of several pods that are whole now; those that are not keep what is known of them."""
    return {
        one.seat.replica: Formed(one.life.incarnation, _uids(one.live), one.live.running_plan_hash)
        for one in replicas
        if one.seen.group_size > 1 and one.ready
    }


def _reason(culprit: str) -> Reason:
    word = culprit.partition(":")[0]
    return Reason(word) if word in set(Reason) else Reason.POD_RESTARTED


def assignments(replicas: list[Replica]) -> list[ReplicaAssignment]:
    """Reduce replicas to what their objects are built from."""
    return [
        ReplicaAssignment(
            one.seat.replica,
            one.seat.placement_index,
            _existing(one.seat.nodes),
            one.life.incarnation,
            evictable=bool(one.seat.drains) and one.seat.stuck(one.live.bound_nodes),
        )
        for one in replicas
    ]


def _existing(nodes: tuple[str, ...]) -> tuple[str, ...]:
    """Nodes that can be named; none where one of them is still to come."""
    return () if any(map(is_expected, nodes)) else nodes


def with_life(document: dict[str, Any], replicas: list[Replica]) -> dict[str, Any]:
    """Add what a set must remember of its replica's restarts; a parked one has no pods."""
    if document["kind"] != SET:
        return document
    one = next((one for one in replicas if one.seat.replica == replica_of(document)), None)
    notes = _notes(one, document) if one else {}
    if not notes:
        return document
    metadata = document["metadata"]
    annotations = {**(metadata.get("annotations") or {}), **notes}
    spec = {**document["spec"], "replicas": 0} if labels.PARKED in notes else document["spec"]
    return stamp({**document, "metadata": {**metadata, "annotations": annotations}, "spec": spec})


def _notes(one: Replica, document: dict[str, Any]) -> dict[str, str]:
    """What a set must remember; a new version of it begins with a whole budget."""
    surge = {labels.SURGE: "true"} if one.surge else {}
    version = str(document["metadata"]["annotations"][labels.PLAN_HASH])
    changed = bool(one.live.plan_hash) and not same_plan(one.live.plan_hash, version)
    return surge if changed else {**one.life.annotations(), **surge}


def shown(
    replicas: list[Replica], held: frozenset[int], seating: Seating, live: Mapping[int, LiveReplica]
) -> tuple[ObservedReplica, ...]:
    """Replicas as status lists them: those with seats, where they are now, and those that wait for GPUs."""
    seated = [
        replace(one.seen, nodes=one.live.bound_nodes) if one.seat.leaves and one.seat.replica in held else one.seen
        for one in replicas
    ]
    waiting = []
    for id_ in seating.waiting:
        found = live.get(id_) or LiveReplica(id_, None, (), (), 0)
        lost = [node for node in found.told_nodes if node in seating.lost_nodes]
        emptied = [f"node {node} {seating.emptied[node]}" for node in found.told_nodes if node in seating.emptied]
        reason, message = _why_waiting(id_, lost, emptied, seating)
        observed = ObservedReplica(
            id_,
            found.told_nodes if lost or emptied else (),
            1,
            found.incarnation,
            tuple(pod for _, pod in found.pods),
            reason,
            message,
        )
        waiting.append(observed)
    return (*seated, *waiting)


def _why_waiting(id_: int, lost: list[str], emptied: list[str], seating: Seating) -> tuple[Reason, str]:
    if id_ in seating.resting:
        return Reason.PLACEMENT_YIELDED, seating.resting[id_]
    if lost:
        return Reason.NODE_LOST, f"node {lost[0]} is gone or cannot be reached, and no other has room"
    if emptied:
        return Reason.NODE_DRAINING, f"{emptied[0]} and no other has room"
    if seating.lacked:
        return Reason.QUOTA_EXCEEDED, seating.lacked
    return Reason.WAITING_FOR_GPUS, "no node has enough free GPUs"


def replica_of(document: Mapping[str, Any]) -> int:
    """Id of the replica that an object belongs to; -1 = the deployment's own."""
    marks = document["metadata"].get("labels") or {}
    return number(marks[labels.REPLICA]) if labels.REPLICA in marks else -1


def set_of(documents: list[dict[str, Any]], replica: int) -> dict[str, Any] | None:
    """Find the set that a replica shall have."""
    return next((d for d in documents if d["kind"] == SET and replica_of(d) == replica), None)


def _told(seen: Observed) -> list[Mapping[str, Any]]:
    rows = (seen.deployment.get("status") or {}).get("replicaStates")
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
