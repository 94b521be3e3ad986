"""A plan as plain data in the words of the resource's status, for programs that read `shardwright plan -o json`."""

from typing import Any

from shardwright.plan.types import Placement, Plan, Rejection


def plan_record(plan: Plan) -> dict[str, Any]:
    """Everything the plan holds; lists in the plan's order, keys in camelCase."""
    return {
        "reason": str(plan.reason),
        "why": plan.why,
        "nearest": plan.nearest,
        "contextLength": plan.context_length,
        "derivedReplicas": plan.derived_replicas,
        "placements": [_placement(placement) for placement in plan.placements],
        "rejected": [_rejection(rejection) for rejection in plan.rejected],
        "assumptions": list(plan.assumptions),
        "skippedNodes": [{"name": name, "why": why} for name, why in plan.skipped_nodes],
    }


def _placement(placement: Placement) -> dict[str, Any]:
    layout, memory = placement.layout, placement.memory
    return {
        "pool": placement.pool,
        "product": placement.product,
        "tensor": layout.tensor,
        "pipeline": layout.pipeline,
        "data": layout.data,
        "expert": "Enabled" if layout.expert else "Disabled",
        "nodesPerReplica": layout.nodes_per_replica,
        "gpusPerReplica": layout.gpus_per_replica,
        "replicas": placement.replicas,
        "maxReplicas": placement.max_replicas,
        "replicaNodes": [list(nodes) for nodes in placement.replica_nodes],
        "kvCacheTokens": memory.kv_cache_tokens,
        "maxConcurrency": memory.max_concurrency,
        "totalBytes": memory.total_bytes,
        "requestedBytes": memory.requested_bytes,
        "ranks": [
            {
                "weightsBytes": rank.weights_bytes,
                "activationBytes": rank.activation_bytes,
                "nonTorchBytes": rank.non_torch_bytes,
                "cudaGraphBytes": rank.cuda_graph_bytes,
                "kvCacheBytes": rank.kv_cache_bytes,
            }
            for rank in memory.ranks
        ],
    }


def _rejection(rejection: Rejection) -> dict[str, Any]:
    record: dict[str, Any] = {"pool": rejection.pool, "layout": rejection.layout, "reason": str(rejection.reason)}
    return {**record, "need": rejection.need, "have": rejection.have, "unit": rejection.unit}
