"""What a spec may say that is not acted on yet: refused with the field's name where its value is not neutral.

One row per field. A row goes when the rooms below act on the field, never before: an accepted field always has effect.
What one engine cannot do is `engines.support`'s business; only scaling stands here, since no engine room sees it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from shardwright.api.problems import FieldProblem
from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName, InferenceDeploymentSpec, RouterMode, ScalingMode

QUEUE_DEPTH, REQUESTS_IN_HAND = "queueDepth", "requestsInHand"
METRIC_TYPES = (QUEUE_DEPTH, REQUESTS_IN_HAND)
"""What can be scaled on."""


@dataclass(frozen=True, slots=True)
class _Row:
    field: str
    asked: Callable[[InferenceDeploymentSpec], bool]
    message: str


def _is_managed(spec: InferenceDeploymentSpec) -> bool:
    return spec.autoscaling is not None and spec.autoscaling.mode is ScalingMode.MANAGED


def _scales_on_others(spec: InferenceDeploymentSpec) -> bool:
    metrics = spec.autoscaling.metrics if spec.autoscaling else None
    return any(metric.type not in METRIC_TYPES for metric in metrics or ())


_ROWS = (
    _Row(
        "spec.adapters",
        lambda spec: bool(spec.adapters),
        "LoRA adapters are not served yet: remove adapters, or pass the engine's own options in spec.engine.args",
    ),
    _Row(
        "spec.router.mode",
        lambda spec: spec.router.mode is not RouterMode.NONE,
        "only None works yet, the Service spreads connections over the replicas: set None or remove router",
    ),
    _Row(
        "spec.placement.queueName",
        lambda spec: spec.placement.queue_name is not None,
        "Kueue queues are not used yet: remove queueName",
    ),
    _Row(
        "spec.autoscaling",
        lambda spec: _is_managed(spec) and spec.engine.name is EngineName.TRTLLM,
        "trtllm-serve 1.2.1 reports no queue depth (the gauges came with 1.3.0), so there is nothing to scale on: "
        "remove autoscaling and set spec.replicas, use mode External with your own autoscaler, or use engine vllm",
    ),
    _Row(
        "spec.autoscaling.minReplicas",
        lambda spec: spec.autoscaling is not None and spec.autoscaling.min_replicas == 0,
        "scaling to zero needs something that holds requests until a replica is back, which is not there yet: "
        "use 1, or spec.suspend to stop everything",
    ),
    _Row(
        "spec.autoscaling.metrics",
        _scales_on_others,
        f"only {' and '.join(METRIC_TYPES)} can be scaled on yet: remove the others, or use mode External "
        "with your own autoscaler",
    ),
)


def not_supported(spec: InferenceDeploymentSpec) -> tuple[FieldProblem, ...]:
    """List the fields that ask for what is not there yet; empty where all of the spec has effect."""
    return tuple(FieldProblem(row.field, Reason.NOT_SUPPORTED_YET, row.message) for row in _ROWS if row.asked(spec))
