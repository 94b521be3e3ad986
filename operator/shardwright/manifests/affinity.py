"""Where a replica's pods may run: node affinity and tolerations.

Topology is told by annotations, which affinity cannot read, so a group of several pods requires exactly its planned
nodes. A single pod requires its pool and prefers its planned node: the scheduler can heal it without the operator.
"""

from collections.abc import Mapping
from typing import Any

from shardwright.api import labels
from shardwright.api.spec import PlacementSpec
from shardwright.manifests.identity import ReplicaContext
from shardwright.plan.types import Placement

Term = dict[str, Any]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def affinity(context: ReplicaContext, user: Mapping[str, Any] | None) -> dict[str, Any]:
    """Join the pod's affinity with the user's fragment: both must hold."""
    placement, nodes = context.placement, context.replica.nodes
    grouped = placement.layout.nodes_per_replica > 1
    required = _node_terms(nodes) if grouped and nodes else _pool_terms(placement)
    result = _merged(dict(user or {}), required)
    if grouped:
        _add(result, "podAntiAffinity", REQUIRED, [_one_per_node(context)])
    elif nodes:
        _add(result, "nodeAffinity", PREFERRED, [{"weight": 100, "preference": _node_terms(nodes[:1])[0]}])
    return result


def _node_terms(nodes: tuple[str, ...]) -> list[Term]:
    """One term for each node, in name order: a term's matchFields takes one value."""
    return [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]} for node in sorted(nodes)]


def _pool_terms(placement: Placement) -> list[Term]:
    """Single out the pool by its labels; by its nodes' names where labels cannot tell it apart."""
    if placement.pool_selector:
        expressions = [{"key": k, "operator": "In", "values": [v]} for k, v in sorted(placement.pool_selector)]
        return [{"matchExpressions": expressions}]
    return _node_terms(placement.pool_nodes)


def _merged(user: dict[str, Any], required: list[Term]) -> dict[str, Any]:
    """Multiply two lists of terms: terms are alternatives, and what is inside one must all hold."""
    if not required:
        return user
    node = dict(user.get("nodeAffinity") or {})
    theirs = (node.get(REQUIRED) or {}).get("nodeSelectorTerms") or [{}]
    node[REQUIRED] = {"nodeSelectorTerms": [_both(ours, other) for ours in required for other in theirs]}
    return {**user, "nodeAffinity": node}


def _both(ours: Term, other: Term) -> Term:
    keys = ("matchExpressions", "matchFields")
    return {key: [*ours.get(key, []), *other.get(key, [])] for key in keys if ours.get(key) or other.get(key)}


def _add(result: dict[str, Any], kind: str, key: str, terms: list[Term]) -> None:
    part = dict(result.get(kind) or {})
    part[key] = [*(part.get(key) or []), *terms]
    result[kind] = part


def _one_per_node(context: ReplicaContext) -> Term:
    selector = {labels.DEPLOYMENT: context.owner.name, labels.REPLICA: str(context.replica.id)}
    return {"labelSelector": {"matchLabels": selector}, "topologyKey": "kubernetes.io/hostname"}


def tolerations(placement: PlacementSpec, gpu_resource: str, unreachable_seconds: int) -> list[dict[str, Any]]:
    """List the user's, the usual taint of GPU nodes, and a short patience with nodes that are gone."""
    result = [t.model_dump(mode="json", by_alias=True, exclude_none=True) for t in placement.tolerations or ()]
    gone = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": unreachable_seconds}
    ours: list[dict[str, Any]] = [
        {"key": gpu_resource, "operator": "Exists", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/not-ready", **gone},
        {"key": "node.kubernetes.io/unreachable", **gone},
    ]
    said = {(t.get("key"), t.get("effect")) for t in result}
    return result + [t for t in ours if (t["key"], t["effect"]) not in said]
