"""The autoscaler: on the InferenceDeployment's own scale subresource, by the queue depth that the operator reports."""

from typing import Any

from shardwright.api import labels
from shardwright.api.spec import AutoscalingSpec
from shardwright.manifests import names
from shardwright.manifests.identity import DeploymentIdentity
from shardwright.manifests.metadata import metadata

QUEUE_DEPTH_METRIC = "shardwright_queue_depth"
"""Name in external.metrics.k8s.io: requests that run or wait, summed over the deployment's leaders."""
DEFAULT_TARGET = 4


def horizontal_pod_autoscaler(owner: DeploymentIdentity, spec: AutoscalingSpec, max_replicas: int) -> dict[str, Any]:
    """AverageValue divides by the replicas themselves, so that the target reads as requests for each replica."""
    targets = [metric.target for metric in spec.metrics or ()] or [DEFAULT_TARGET]
    body: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": labels.API_VERSION, "kind": labels.KIND, "name": owner.name},
        "minReplicas": spec.min_replicas,
        "maxReplicas": max(max_replicas, spec.min_replicas, 1),
        "metrics": [_queue_depth(owner.name, target) for target in targets],
    }
    if spec.behavior:
        body["behavior"] = dict(spec.behavior)
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(owner, names.autoscaler(owner.name)),
        "spec": body,
    }


def _queue_depth(name: str, target: int) -> dict[str, Any]:
    selector = {"matchLabels": {labels.DEPLOYMENT: name}}
    return {
        "type": "External",
        "external": {
            "metric": {"name": QUEUE_DEPTH_METRIC, "selector": selector},
            "target": {"type": "AverageValue", "averageValue": str(target)},
        },
    }
