"""Builders: a situation with the two fields that a case is about."""

from shardwright.api.parse import parse_spec
from shardwright.api.reasons import Reason
from shardwright.plan.types import Layout, MemoryForecast, Placement, Plan, RankMemory, Rejection
from shardwright.status import ObservedPod, ObservedReplica, Situation

NOW = "2026-11-21T12:00:00Z"
START = "2026-11-21T11:00:00Z"
READY = "2026-11-21T11:05:00Z"
LATER = "2026-11-21T11:30:00Z"

MEMORY = MemoryForecast(
    total_bytes=85_000, requested_bytes=76_500, ranks=(RankMemory(16_000, 2_000, 500, 1_000, 57_000),),
    kv_cache_tokens=400_000, max_concurrency=12, context_length=32_768, fits=True,
)  # fmt: skip


def spec(**fields):
    parsed = parse_spec({"model": {"id": "Qwen/Qwen3-32B"}, **fields})
    assert not isinstance(parsed, tuple), parsed
    return parsed


def plan(replicas=1, nodes=("h100-1",), tensor=4, pipeline=1, **fields):
    layout = Layout(tensor=tensor, pipeline=pipeline, nodes_per_replica=len(nodes))
    placement = Placement(
        pool="h100-sxm-8", product="H100-SXM", vendor="nvidia", gpu_resource="nvidia.com/gpu", layout=layout,
        replicas=replicas, max_replicas=4, memory=MEMORY, replica_nodes=(nodes,) * replicas,
    )  # fmt: skip
    return Plan(placements=(placement,), why="1 × TP4 on H100-SXM", context_length=32_768, **fields)


def no_plan(reason, nearest):
    lost = Rejection("l40s-4", "TP4·PP1", Reason.WEIGHTS_DO_NOT_FIT, 140_000, 120_000)
    return Plan(placements=(), rejected=(lost,), nearest=nearest, reason=reason)


def pod(index=0, ready=True, **fields):
    given = {
        "name": f"qwen-0-{index}", "index": index, "phase": "Running", "ready": ready, "node": f"h100-{index}",
        "created_at": START, "started_at": START, "ready_since": READY if ready else START,
    }  # fmt: skip
    return ObservedPod(**{**given, **fields})


def replica(*pods, number=0, size=None, **fields):
    group = size if size is not None else max(1, len(pods))
    return ObservedReplica(
        id=number, nodes=tuple(f"h100-{i}" for i in range(group)), group_size=group, pods=pods, **fields
    )


def situation(**fields):
    given = {
        "name": "qwen", "namespace": "default", "generation": 3, "now": NOW, "spec": spec(), "plan": plan(),
        "endpoint": "http://qwen.default.svc:8000/v1",
        "plan_hash": "1-abc", "wanted": 1, "replicas": (replica(pod()),),
    }  # fmt: skip
    return Situation(**{**given, **fields})
