"""The autoscaler: on the InferenceDeployment's own scale subresource, by the figures that the operator reports."""

from typing import Any

from shardwright.api import labels
from shardwright.api.spec import AutoscalingSpec
from shardwright.api.support import QUEUE_DEPTH, REQUESTS_IN_HAND
from shardwright.manifests import names
from shardwright.manifests.identity import DeploymentIdentity
from shardwright.manifests.metadata import metadata

QUEUE_DEPTH_METRIC = "shardwright_queue_depth"
"""Name in external.metrics.k8s.io: requests that wait, summed over the deployment's leaders."""
REQUESTS_IN_HAND_METRIC = "shardwright_requests_in_hand"
"""Name in external.metrics.k8s.io: requests that run or wait, summed over the deployment's leaders."""
METRIC_NAMES = {QUEUE_DEPTH: QUEUE_DEPTH_METRIC, REQUESTS_IN_HAND: REQUESTS_IN_HAND_METRIC}
"""By the type that a spec names."""
DEFAULT_WAITING = 4
"""Waiting requests for each replica that are borne."""
BUSY_PERCENT = 75
"""Of what a replica computes at once: the rest carries the load while another replica starts."""


def horizontal_pod_autoscaler(
    owner: DeploymentIdentity, spec: AutoscalingSpec, max_replicas: int, requests_at_once: int = 0
) -> dict[str, Any]:
    """AverageValue divides by the replicas themselves, so that a target reads as requests for each replica.

    `requests_at_once` of one replica makes the default target; 0 = not known.
    """
    targets = [(metric.type, metric.target) for metric in spec.metrics or ()] or _default(requests_at_once)
    body: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": labels.API_VERSION, "kind": labels.KIND, "name": owner.name},
        "minReplicas": spec.min_replicas,
        "maxReplicas": max(max_replicas, spec.min_replicas, 1),
        "metrics": [_metric(owner.name, METRIC_NAMES[kind], target) for kind, target in targets],
    }
    if spec.behavior:
        body["behavior"] = dict(spec.behavior)
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(owner, names.autoscaler(owner.name)),
        "spec": body,
    }


def _default(requests_at_once: int) -> list[tuple[str, int]]:
    """Requests in hand hold the replicas that a load needs; a queue tells where requests are longer than typical.

    The queue alone would be empty as soon as there are enough replicas, and send them away again.
    """
    in_hand = [(REQUESTS_IN_HAND, max(1, requests_at_once * BUSY_PERCENT // 100))] if requests_at_once else []
    return [*in_hand, (QUEUE_DEPTH, DEFAULT_WAITING)]


def _metric(name: str, metric: str, target: int) -> dict[str, Any]:
    selector = {"matchLabels": {labels.DEPLOYMENT: name}}
    return {
        "type": "External",
        "external": {
            "metric": {"name": metric, "selector": selector},
            "target": {"type": "AverageValue", "averageValue": str(target)},
        },
    }
