"""The seven conditions: one function each, `Situation -> Verdict`, listed in one tuple. Each message says what to do.

A condition never claims more than what is seen: Available needs a replica whose leader answers and whose followers run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shardwright.api.reasons import Reason
from shardwright.api.spec import ScalingMode
from shardwright.api.status import MAX_MESSAGE
from shardwright.status.situation import Situation

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A condition without its times."""

    status: str
    reason: Reason
    message: str = ""


def accepted(situation: Situation) -> Verdict:
    """Whether the spec as it stands is what the operator acts on."""
    if not situation.problems:
        return Verdict(TRUE, Reason.SPEC_VALID, "the spec is valid and acted on")
    listed = "; ".join(map(str, situation.problems))
    kept = " The replicas keep running as last accepted." if situation.spec is not None else ""
    status = UNKNOWN if situation.problems[0].reason is Reason.MODEL_FACTS_PENDING else FALSE
    return Verdict(status, situation.problems[0].reason, f"{listed}.{kept}")


def planned(situation: Situation) -> Verdict:
    """Whether a layout is known that fits what the cluster has."""
    plan = situation.plan
    if plan is None:
        if situation.problems:
            return Verdict(UNKNOWN, situation.problems[0].reason, "nothing is planned before the spec is accepted")
        return Verdict(UNKNOWN, Reason.NO_LAYOUT, "nothing has been planned yet")
    if plan.placements:
        return Verdict(TRUE, Reason.PLANNED, plan.why)
    return Verdict(FALSE, _unless_planned(plan.reason), plan.nearest or plan.why)


def available(situation: Situation) -> Verdict:
    """Whether at least one whole replica answers."""
    counted = f"{situation.ready} of {situation.wanted} replicas ready"
    if situation.ready:
        whole = situation.ready >= situation.wanted
        return Verdict(TRUE, Reason.ALL_REPLICAS_READY if whole else Reason.SOME_REPLICAS_READY, counted)
    if situation.suspended:
        return Verdict(FALSE, Reason.SUSPENDED, "spec.suspend is true: set it to false to run again")
    if situation.plan is None or not situation.plan.placements:
        verdict = planned(situation)
        return Verdict(FALSE, verdict.reason, verdict.message)
    if situation.wanted == 0:
        return Verdict(FALSE, Reason.SCALED_TO_ZERO, "spec.replicas is 0")
    state = situation.first_broken[1] if situation.first_broken else situation.first_waiting
    if state:
        return Verdict(FALSE, state.reason, f"{counted}; {state.message}")
    return Verdict(FALSE, Reason.REPLICAS_STARTING if situation.replicas else Reason.NO_REPLICA_READY, counted)


def progressing(situation: Situation) -> Verdict:
    """Whether the operator is on the way from what runs to what is wanted."""
    if situation.outdated:
        message = f"{situation.outdated} of {situation.wanted} replicas still run an older version"
        if situation.surge_waits:
            message += "; rollout.maxSurge finds no free GPUs for a whole replica"
        return Verdict(TRUE, Reason.ROLLING_OUT, message)
    surplus = len(situation.replicas) - situation.surge - (0 if situation.suspended else situation.wanted)
    if surplus > 0:
        return Verdict(TRUE, Reason.ROLLING_OUT, f"{surplus} replicas are being removed")
    if situation.first_waiting:
        waiting = sum(state.reason is Reason.WAITING_FOR_NODES for _, state in situation.health)
        which = f"{waiting} of {len(situation.replicas)} replicas have nodes to come"
        message = f"{which}; one {situation.first_waiting.message}"
        return Verdict(TRUE, Reason.WAITING_FOR_NODES, message)
    starting = sum(state.reason is Reason.REPLICAS_STARTING for _, state in situation.health)
    if starting:
        return Verdict(TRUE, Reason.REPLICAS_STARTING, f"{starting} replicas are starting")
    return Verdict(FALSE, Reason.SUSPENDED if situation.suspended else Reason.STABLE, "nothing is under way")


def degraded(situation: Situation) -> Verdict:
    """Whether something is wrong that does not mend by waiting for a start."""
    if situation.trouble:
        return Verdict(TRUE, situation.trouble.reason, situation.trouble.message)
    if situation.first_broken:
        replica, state = situation.first_broken
        return Verdict(TRUE, state.reason, f"replica {replica.id}: {state.message}")
    plan = situation.plan
    if plan is not None and not situation.suspended and situation.placed < situation.wanted:
        reason = Reason.WAITING_FOR_GPUS if plan.placements else _unless_planned(plan.reason)
        room = f"{situation.placed} of {situation.wanted} replicas have GPUs"
        return Verdict(TRUE, reason, f"{room}: {plan.nearest}" if plan.nearest else room)
    if situation.caution:
        return Verdict(TRUE, situation.caution.reason, situation.caution.message)
    return Verdict(FALSE, Reason.STABLE, "nothing is wrong")


def layout_optimal(situation: Situation) -> Verdict:
    """Whether the running layout is the best one known."""
    if situation.plan is None or not situation.plan.placements:
        return Verdict(UNKNOWN, Reason.NO_LAYOUT, "no layout runs")
    if situation.better:
        return Verdict(FALSE, Reason.BETTER_LAYOUT_KNOWN, situation.better)
    return Verdict(TRUE, Reason.BEST_LAYOUT_RUNS, "it was the best one when it was planned, and no better one is known")


def scaling_active(situation: Situation) -> Verdict:
    """Whether the number of replicas follows the load."""
    scaling = situation.spec.autoscaling if situation.spec else None
    if scaling is None:
        return Verdict(FALSE, Reason.AUTOSCALING_DISABLED, "spec.autoscaling is absent")
    if scaling.mode is ScalingMode.EXTERNAL:
        return Verdict(UNKNOWN, Reason.AUTOSCALING_EXTERNAL, "another autoscaler uses the scale subresource")
    view = situation.scaler
    if view is None or view.active is None:
        return Verdict(UNKNOWN, Reason.AUTOSCALING_MANAGED, "the HorizontalPodAutoscaler has not said anything yet")
    if view.active:
        return Verdict(TRUE, Reason.AUTOSCALING_MANAGED, "the HorizontalPodAutoscaler follows the requests")
    if not situation.ready:
        return Verdict(UNKNOWN, Reason.AUTOSCALING_MANAGED, "no replica is ready, so there is nothing to measure")
    return Verdict(FALSE, Reason.METRICS_UNAVAILABLE, _autoscalers_trouble(view.message))


def _autoscalers_trouble(message: str) -> str:
    """Keep the end of the autoscaler's chain of errors, which is the cause; say what to do where nobody answers it."""
    cause = message.rpartition("external metrics API: ")[2]
    if "could not find the requested resource" in cause:
        return f"{cause}: nobody serves its figures; install the chart with externalMetrics.install=true"
    return cause


CONDITIONS: tuple[tuple[str, Callable[[Situation], Verdict]], ...] = (
    ("Accepted", accepted),
    ("Planned", planned),
    ("Available", available),
    ("Progressing", progressing),
    ("Degraded", degraded),
    ("LayoutOptimal", layout_optimal),
    ("ScalingActive", scaling_active),
)


def conditions(situation: Situation) -> list[dict[str, Any]]:
    """Judge all seven; a time is kept for as long as its status is."""
    before = {item.get("type"): item for item in _items(situation.previous.get("conditions"))}
    return [_condition(kind, judge(situation), before.get(kind), situation) for kind, judge in CONDITIONS]


def _condition(kind: str, verdict: Verdict, before: Mapping[str, Any] | None, now: Situation) -> dict[str, Any]:
    kept = before.get("lastTransitionTime") if before and before.get("status") == verdict.status else None
    return {
        "type": kind,
        "status": verdict.status,
        "reason": str(verdict.reason),
        "message": verdict.message[:MAX_MESSAGE],
        "lastTransitionTime": kept or now.now,
        "observedGeneration": now.generation,
    }


def _items(value: object) -> Sequence[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _unless_planned(reason: Reason) -> Reason:
    return Reason.NO_LAYOUT if reason is Reason.PLANNED else reason
