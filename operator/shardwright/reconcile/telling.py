"""What a decision tells the user: the status it writes, and the Events of what changed in it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shardwright.api.reasons import Reason
from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.manifests import names
from shardwright.plan.types import Plan
from shardwright.reconcile.placing import Seat
from shardwright.reconcile.plans import Course
from shardwright.reconcile.types import Decision, Event, Observed
from shardwright.status import ScalerView, Situation, build_status, transitions


def situation_of(
    seen: Observed, course: Course, now: str, *, spec: InferenceDeploymentSpec | None, **more: Any
) -> Situation:
    """Gather what the status is made from; `spec` is the last accepted one."""
    metadata = seen.deployment["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    return Situation(
        name=name,
        namespace=namespace,
        spec=spec,
        endpoint=names.endpoint(name, namespace, spec.service.port) if spec else "",
        generation=int(metadata.get("generation") or 0),
        now=now,
        previous=seen.deployment.get("status") or {},
        problems=course.problems,
        wanted=course.wanted,
        derived_replicas=course.derived_replicas,
        better=course.better or "",
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


def with_status(seen: Observed, situation: Situation, decision: Decision) -> Decision:
    """Add the status and its Events, where the status changes."""
    status = build_status(situation)
    if status == situation.previous:
        return decision
    notes = transitions(situation.previous, status)
    events = (*decision.events, *(Event(note.type, note.reason, note.message) for note in notes))
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


def counted(plan: Plan, seats: tuple[Seat, ...]) -> Plan:
    """The plan with the replicas that have GPUs now."""
    placements = tuple(
        replace(placement, replicas=sum(seat.placement_index == index for seat in seats))
        for index, placement in enumerate(plan.placements)
    )
    return replace(plan, placements=placements)
