"""InferenceDeployments as tests write them, and what tests ask of them.

Knows the resource's words, nothing of the operator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.cluster import ControlPlane
from support.kubectl import Object
from support.operator_process import OperatorProcess
from support.waiting import eventually

StartOperator = Callable[..., OperatorProcess]
KIND = "inferencedeployments.shardwright.io"
SMALL, LARGE = "Qwen/Qwen3-8B", "meta-llama/Llama-3.3-70B-Instruct"
CHILDREN = (
    "statefulsets",
    "services",
    "poddisruptionbudgets",
    "horizontalpodautoscalers",
    "configmaps",
    "controllerrevisions",
)


def manifest(namespace: str, name: str, *, model: str = SMALL, **spec: Any) -> Object:
    return {
        "apiVersion": "shardwright.io/v1alpha1", "kind": "InferenceDeployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"model": {"id": model}, **spec},
    }  # fmt: skip


def apply(cluster: ControlPlane, namespace: str, name: str, **spec: Any) -> Object:
    document = manifest(namespace, name, **spec)
    cluster.kubectl.apply(document)
    return document


def get(cluster: ControlPlane, namespace: str, name: str) -> Object:
    found = cluster.kubectl.get(KIND, name, namespace)
    assert found, f"there is no InferenceDeployment {name}"
    return found


def condition(found: Object, kind: str) -> Object:
    conditions = found.get("status", {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == kind), {"status": "", "reason": "", "message": ""})


def wait_for(
    cluster: ControlPlane,
    namespace: str,
    name: str,
    kind: str,
    status: str = "True",
    reason: str = "",
    within_seconds: float = 30,
) -> Object:
    """Wait until a condition speaks of the present generation and says that."""

    def probe() -> Object | None:
        found = get(cluster, namespace, name)
        said = condition(found, kind)
        fresh = said.get("observedGeneration") == found["metadata"]["generation"]
        assert fresh and said["status"] == status and (not reason or said["reason"] == reason), found.get("status")
        return found

    return eventually(probe, within_seconds=within_seconds, what=f"{name}: {kind}={status} {reason}")


def wait_available(
    cluster: ControlPlane, namespace: str, name: str, replicas: int | None = None, within_seconds: float = 90
) -> Object:
    """Wait until all wanted replicas are ready."""

    def probe() -> Object:
        found = wait_for(cluster, namespace, name, "Available", within_seconds=0.1)
        status = found["status"]
        assert condition(found, "Available")["reason"] == "AllReplicasReady", (status["state"], status["replicaStates"])
        assert replicas is None or found["status"]["readyReplicas"] == replicas, found["status"]["summary"]
        return found

    return eventually(probe, within_seconds=within_seconds, what=f"{name} has all its replicas")


def owned(cluster: ControlPlane, namespace: str, name: str) -> dict[tuple[str, str], Object]:
    """What the deployment controls, by (kind, name)."""
    items = cluster.kubectl.list(",".join(CHILDREN), namespace)
    return {
        (item["kind"], item["metadata"]["name"]): item
        for item in items
        for reference in item["metadata"].get("ownerReferences", ())
        if reference.get("controller") and reference["kind"] == "InferenceDeployment" and reference["name"] == name
    }


def pods(cluster: ControlPlane, namespace: str, name: str) -> dict[str, Object]:
    found = cluster.kubectl.list("pods", namespace, f"shardwright.io/deployment={name}")
    return {pod["metadata"]["name"]: pod for pod in found}


def nodes_of(found: Object) -> dict[int, list[str]]:
    return {row["id"]: row.get("nodes", []) for row in found["status"].get("replicaStates", [])}


def lasting(document: Object) -> Object:
    """An object without what differs from one run to the next, so that two runs can be compared."""
    metadata = document["metadata"]
    kept = {key: metadata[key] for key in ("name", "labels", "annotations") if key in metadata}
    rest = {key: value for key, value in document.items() if key not in {"metadata", "status"}}
    return {**without(rest, VOLATILE), "metadata": without(kept, VOLATILE)}


VOLATILE = {
    "clusterIP",
    "clusterIPs",
    "shardwright.io/deployment-uid",
    "shardwright.io/applied-hash",
    "computedAt",
    "uid",
    "revision",
}


def without(value: Any, keys: set[str]) -> Any:
    """The value without these keys, at any depth."""
    if isinstance(value, dict):
        return {key: without(item, keys) for key, item in value.items() if key not in keys}
    if isinstance(value, list):
        return [without(item, keys) for item in value]
    return value
