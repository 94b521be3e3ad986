"""GPUs that are cut or shared: slices of one size are a pool, everything else is left out and says why."""

import pytest

from shardwright.api.reasons import Reason
from shardwright.inventory import NodeFacts, SkippedNode, build_inventory, read_node
from shardwright.plan.choose import choose
from support.nodes import node
from support.planning import dense, request

MIG = "nvidia.com/mig"


def labels(product: str, memory: int, count: int, **more: str) -> dict[str, str]:
    """What NVIDIA's feature discovery writes."""
    return {
        "nvidia.com/gpu.product": product,
        "nvidia.com/gpu.memory": str(memory),
        "nvidia.com/gpu.count": str(count),
        "nvidia.com/gpu.compute.major": "8",
        "nvidia.com/gpu.compute.minor": "0",
        **{f"nvidia.com/{key}": value for key, value in more.items()},
    }


A100 = "NVIDIA-A100-SXM4-80GB"
LEFT_OUT = {
    "mixed, one size": (
        labels(A100, 81920, 8, **{"mig.strategy": "mixed"}), {f"{MIG}-1g.10gb": "56"}, Reason.MIG_MIXED, "1g.10gb",
    ),
    "mixed, two sizes": (
        labels(A100, 81920, 8, **{"mig.strategy": "mixed"}),
        {f"{MIG}-1g.10gb": "4", f"{MIG}-3g.40gb": "2"}, Reason.MIG_MIXED, "1g.10gb, 3g.40gb",
    ),
    "mixed, beside whole GPUs": (
        labels(A100, 81920, 8, **{"mig.strategy": "mixed"}),
        {f"{MIG}-1g.10gb": "7", "nvidia.com/gpu": "7"}, Reason.MIG_MIXED, "strategy single",
    ),
    "sliced, and the product's label does not say so": (
        labels(A100, 81920, 8, **{"mig.strategy": "single", "mig.config": "all-1g.10gb"}),
        {"nvidia.com/gpu": "56"}, Reason.TIME_SHARED, "56 devices of 8 GPUs",
    ),
    "time-slicing by suffix": (
        labels("NVIDIA-A10-SHARED", 23028, 1, **{"gpu.replicas": "4"}),
        {"nvidia.com/gpu": "4"}, Reason.TIME_SHARED, "time-slicing, 4 pods to a GPU",
    ),
    "time-slicing by resource": (
        labels("NVIDIA-A10", 23028, 1), {"nvidia.com/gpu.shared": "4"}, Reason.TIME_SHARED, "several pods to a GPU",
    ),
    "time-slicing by nothing but the count": (
        labels("NVIDIA-A10", 23028, 1), {"nvidia.com/gpu": "4"}, Reason.TIME_SHARED, "4 devices of 1 GPUs",
    ),
    "MPS": (
        labels("NVIDIA-A10", 23028, 1, **{"gpu.sharing-strategy": "mps", "gpu.replicas": "3"}),
        {"nvidia.com/gpu": "3"}, Reason.TIME_SHARED, "mps, 3 pods to a GPU",
    ),
    "shares of slices": (
        labels(f"{A100}-MIG-1g.10gb-SHARED", 9728, 7, **{"gpu.replicas": "2"}),
        {"nvidia.com/gpu": "14"}, Reason.TIME_SHARED, "2 pods to a GPU",
    ),
    "AMD partitions": (
        {
            "amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G",
            "amd.com/gpu.compute-memory-partition": "CPX_NPS4",
        },
        {"amd.com/gpu": "64"}, Reason.MIG_MIXED, "cpx_nps4",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LEFT_OUT)
def test_left_out_with_the_reason(case: str) -> None:
    said, offered, reason, words = LEFT_OUT[case]
    found = read_node(node("n1", labels=said, allocatable=offered))
    assert isinstance(found, SkippedNode)
    assert found.reason is reason
    assert words in found.message


@pytest.mark.parametrize("profile", ["1g.10gb", "3g.40gb", "7g.80gb", "1g.10gb.me"])
def test_slices_of_one_size_are_a_pool_of_single_gpus(profile: str) -> None:
    said = labels(f"{A100}-MIG-{profile}", 40192, 14, **{"mig.strategy": "single"})
    found = read_node(node("n1", labels=said, allocatable={"nvidia.com/gpu": "14"}))
    assert isinstance(found, NodeFacts)
    (pool,) = build_inventory([found], [], []).pools
    assert not pool.multi_gpu
    assert pool.product.name == f"A100-SXM4-80GB-MIG-{profile}"
    plan = choose(request(dense(), replicas=3), build_inventory([found], [], []))
    assert [(p.layout.gpus_per_replica, p.replicas) for p in plan.placements] == [(1, 3)]
    assert any(r.reason is Reason.SLICES_CANNOT_JOIN for r in plan.rejected)


def test_whole_cards_of_amd_and_a_strategy_that_nobody_uses_are_whole() -> None:
    whole = {
        "amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G",
        "amd.com/gpu.compute-memory-partition": "spx_nps1",
    }  # fmt: skip
    assert isinstance(read_node(node("n1", labels=whole, allocatable={"amd.com/gpu": "8"})), NodeFacts)
    uncut = labels(A100, 81920, 8, **{"mig.strategy": "mixed"})
    assert isinstance(read_node(node("n2", labels=uncut, allocatable={"nvidia.com/gpu": "8"})), NodeFacts)
