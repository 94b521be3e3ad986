"""The whole status of one deployment, as the dict that is written. Only what changed carries a new time."""

from collections.abc import Mapping
from typing import Any

from shardwright.api.labels import DEPLOYMENT, POD_INDEX
from shardwright.api.reasons import Reason
from shardwright.api.status import MAX_ASSUMPTIONS, MAX_MESSAGE, MAX_NODES, MAX_PLACEMENTS, MAX_REJECTED, MAX_SKIPPED
from shardwright.api.status import MAX_REPLICA_STATES as MAX_STATES
from shardwright.plan.types import Placement, Plan, Rejection
from shardwright.status.conditions import accepted, available, conditions, degraded, planned, progressing
from shardwright.status.observed import ObservedReplica, ReplicaHealth
from shardwright.status.situation import Situation

MAX_STATE = 160
"""A column that people read in one line; conditions hold the whole."""
NOTHING = "-"
"""Shown in a column that has no answer."""


def build_status(situation: Situation) -> dict[str, Any]:
    """Write status; unset fields are left out, so that a server-side apply owns exactly what is said."""
    serving = min(situation.ready, situation.wanted)
    status: dict[str, Any] = {
        "observedGeneration": situation.generation,
        "state": _cut(state_in_words(situation), MAX_STATE),
        "layout": _layout_text(situation.plan)[:256],
        "gpu": _products(situation.plan)[:256],
        "ready": f"{serving}/{situation.wanted}",
        "summary": f"{serving} of {situation.wanted} replicas ready",
        "replicas": situation.present,
        "readyReplicas": situation.ready,
        "selector": f"{DEPLOYMENT}={situation.name},{POD_INDEX}=0",
        "replicaStates": [_replica_state(*pair) for pair in situation.health[:MAX_STATES]],
        "conditions": conditions(situation),
    }
    if situation.derived_replicas is not None:
        status["derivedReplicas"] = situation.derived_replicas
    if situation.endpoint:
        status["endpoint"] = situation.endpoint
    if situation.plan is not None:
        status["plan"] = _plan(situation.plan, situation)
    return status


def state_in_words(situation: Situation) -> str:
    """One word for the column, and what to know where something is wrong."""
    verdict = accepted(situation)
    if verdict.status != "True" and situation.spec is None:
        return f"{verdict.reason}: {situation.problems[0]}"
    refused = "" if verdict.status == "True" else f" (new spec refused: {situation.problems[0].field})"
    if situation.suspended:
        return f"Suspended{refused}"
    plan = planned(situation)
    if plan.status == "False":
        return f"{plan.reason}: {plan.message}{refused}"
    wrong = degraded(situation)
    if wrong.status == "True":
        given_up = "Failed" if wrong.reason is Reason.RESTART_BUDGET_SPENT else "Failing"
        word = "Degraded" if situation.ready else given_up
        return f"{word}: {wrong.reason}: {wrong.message}{refused}"
    up = available(situation)
    if up.status == "True" and up.reason is Reason.ALL_REPLICAS_READY:
        return f"{'RollingOut' if situation.outdated else 'Available'}{refused}"
    waits = f": {situation.first_waiting.message}" if situation.first_waiting else ""
    return f"{progressing(situation).reason if up.status == 'True' else f'{up.reason}{waits}'}{refused}"


def _plan(plan: Plan, situation: Situation) -> dict[str, Any]:
    section: dict[str, Any] = {"hash": situation.plan_hash, "why": plan.why[:MAX_MESSAGE]}
    if plan.nearest:
        section["nearest"] = plan.nearest[:MAX_MESSAGE]
    if plan.context_length:
        section["contextLength"] = plan.context_length
    section["assumptions"] = [text[:MAX_MESSAGE] for text in plan.assumptions[:MAX_ASSUMPTIONS]]
    section["placements"] = [_placement(placement) for placement in plan.placements[:MAX_PLACEMENTS]]
    section["rejected"] = [_rejection(rejection) for rejection in plan.rejected[:MAX_REJECTED]]
    if plan.skipped_nodes:
        skipped = plan.skipped_nodes[:MAX_SKIPPED]
        section["skippedNodes"] = [{"name": name, "why": why[:1024]} for name, why in skipped]
    before = situation.previous.get("plan")
    old = dict(before) if isinstance(before, Mapping) else {}
    computed_at = old.pop("computedAt", None)
    return {**section, "computedAt": computed_at if computed_at and old == section else situation.now}


def _placement(placement: Placement) -> dict[str, Any]:
    layout, memory = placement.layout, placement.memory
    fullest = min(memory.ranks, key=lambda rank: rank.kv_cache_bytes, default=None)
    return {
        "pool": placement.pool[:64],
        "product": placement.product[:128],
        "tensor": layout.tensor,
        "pipeline": layout.pipeline,
        "data": layout.data,
        "expert": "Enabled" if layout.expert else "Disabled",
        "nodesPerReplica": layout.nodes_per_replica,
        "gpusPerReplica": layout.gpus_per_replica,
        "replicas": placement.replicas,
        "maxReplicas": placement.max_replicas,
        "memory": {
            "weightsBytes": fullest.weights_bytes if fullest else 0,
            "kvCacheBytes": fullest.kv_cache_bytes if fullest else 0,
            "requestedBytes": memory.requested_bytes,
            "totalBytes": memory.total_bytes,
        },
        "kvCacheTokens": memory.kv_cache_tokens,
        "maxConcurrency": memory.max_concurrency,
    }


def _rejection(rejection: Rejection) -> dict[str, Any]:
    row: dict[str, Any] = {
        "pool": rejection.pool[:64], "layout": rejection.layout[:64], "reason": str(rejection.reason)
    }  # fmt: skip
    if rejection.need == rejection.have:
        return row
    if rejection.unit == "bytes":
        return {**row, "needBytes": rejection.need, "haveBytes": rejection.have}
    return {**row, "need": rejection.need, "have": rejection.have, "unit": rejection.unit[:64]}


def _replica_state(replica: ObservedReplica, state: ReplicaHealth) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": replica.id,
        "nodes": list(replica.nodes[:MAX_NODES]),
        "incarnation": replica.incarnation,
        "ready": state.ready,
    }
    if replica.plan_hash:
        row["planHash"] = replica.plan_hash
    if not state.ready:
        row |= {"reason": str(state.reason), "message": state.message[:1024]}
    return row


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _layout_text(plan: Plan | None) -> str:
    if plan is None or not plan.placements:
        return NOTHING
    shown = [p for index, p in enumerate(plan.placements) if not index or p.replicas or not p.expected]
    return " + ".join(f"{placement.layout} × {placement.replicas}" for placement in shown)


def _products(plan: Plan | None) -> str:
    products = dict.fromkeys(placement.product for placement in plan.placements) if plan else {}
    return ", ".join(products) or NOTHING
