"""Which of a replica's objects and pods are due now: a changed spec reaches one replica after the other.

A pod is deleted only when its set would make it otherwise, and never where the replica's turn has not come.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from shardwright.api import labels
from shardwright.manifests.hashes import same_plan
from shardwright.reconcile.objects import Comparison, compare, name_of
from shardwright.reconcile.replica import Replica, replica_of, set_of
from shardwright.reconcile.rollout import Standing, turns
from shardwright.reconcile.types import Deletion, Observed
from shardwright.status import Trouble

BUDGET = "PodDisruptionBudget"
"""Says nothing of what runs: due at all times, so that a replica that waits for its turn may be evicted or not."""


def standing(one: Replica, documents: list[dict[str, Any]]) -> Standing:
    """See a replica as the roll does."""
    wanted = set_of(documents, one.seat.replica)
    if wanted is None or not one.live.exists or one.seat.stuck(one.live.bound_nodes):
        return Standing(one.seat.replica, outdated=False, ready=one.ready, surge=one.surge)
    version = str(wanted["metadata"]["annotations"][labels.PLAN_HASH])
    outdated = one.seat.leaves or not same_plan(one.live.plan_hash, version)
    stale = any(_stale_pods(one, one.live.incarnation, one.live.plan_hash))
    return Standing(one.seat.replica, outdated, one.ready, settled=not stale, surge=one.surge)


def held_back(replicas: list[Replica], standings: list[Standing], max_unavailable: int) -> frozenset[int]:
    """Outdated replicas whose turn has not come, and those that should leave and have nowhere to go.

    Nodes are emptied by one replica at a time at least, or `maxUnavailable: 0` would keep a node for ever.
    """
    stuck = frozenset(one.seat.replica for one in replicas if one.seat.stuck(one.live.bound_nodes))
    if any(one.seat.drains for one in replicas):
        max_unavailable = max(1, max_unavailable)
    return stuck | (frozenset(one.id for one in standings if one.outdated) - turns(standings, max_unavailable))


def compare_due(
    documents: list[dict[str, Any]], seen: Observed, held: frozenset[int], trouble: Trouble | None
) -> Comparison:
    """All objects but those of replicas that are held back; a plan that cannot be rendered removes nothing."""
    due = [document for document in documents if replica_of(document) not in held or document["kind"] == BUDGET]
    keep = {name_of(document) for document in documents} | {
        name for name, child in seen.children.items() if replica_of(child) in held
    }
    comparison = compare(due, seen, keep)
    return replace(comparison, delete=()) if trouble else comparison


def pod_deletions(
    replicas: list[Replica], documents: list[dict[str, Any]], held: frozenset[int]
) -> tuple[Deletion, ...]:
    """Pods that their own set would make otherwise; the set must say so already, or do so by this very decision."""
    found: list[Deletion] = []
    for one in replicas:
        wanted = set_of(documents, one.seat.replica)
        if one.seat.replica in held or wanted is None or not one.live.exists:
            continue
        if one.seat.leaves:
            found += _leaving_pods(one)
        else:
            found += _stale_pods(one, one.life.incarnation, str(wanted["metadata"]["annotations"][labels.PLAN_HASH]))
    return tuple(found)


def _leaving_pods(one: Replica) -> Iterator[Deletion]:
    """All pods of a replica that goes to other nodes: a group goes as a whole."""
    for raw, pod in one.live.pods:
        if not pod.terminating and pod.node:
            yield Deletion("Pod", raw, f"its replica moves to {', '.join(one.seat.nodes)}")


def _stale_pods(one: Replica, incarnation: int, version: str) -> Iterator[Deletion]:
    """Pods of an older incarnation or of another version."""
    for raw, pod in one.live.pods:
        plan = str((raw["metadata"].get("annotations") or {}).get(labels.PLAN_HASH, ""))
        if pod.terminating:
            continue
        if pod.incarnation < incarnation:
            yield Deletion("Pod", raw, "it is of an older incarnation")
        elif not same_plan(plan, version):
            yield Deletion("Pod", raw, "it is of an older version")
