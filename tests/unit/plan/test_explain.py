"""The sentences that users read, each from a decision that a case makes."""

from shardwright.api.reasons import Reason
from shardwright.api.spec import CrossIslands
from shardwright.plan import explain
from shardwright.plan.choose import choose
from shardwright.plan.types import Layout, Rejection
from support.planning import dense, dense_70b, inventory, pool, request


def test_sizes_read_well():
    assert explain.gib(61 * 2**30 + 2**29) == "61.5 GiB"
    assert explain.gib(-(2**29)) == "-0.5 GiB"
    assert explain.tokens(32768) == "32k"
    assert explain.tokens(18432 + 1) == "18,433"
    assert Layout(8, 2, nodes_per_replica=2).text == "TP8·PP2 over 2 nodes"


def test_need_and_have_come_in_their_unit():
    assert explain.need_and_have(Rejection("p", "l", Reason.WEIGHTS_DO_NOT_FIT, 70 * 2**30, 40 * 2**30)) == (
        "needs 70.0 GiB, has 40.0 GiB"
    )
    old = Rejection("p", "l", Reason.DTYPE_NEEDS_NEWER_GPU, 89, 80, "compute capability for fp8")
    assert explain.need_and_have(old) == "needs 8.9, has 8.0 compute capability for fp8"
    assert explain.need_and_have(Rejection("p", "l", Reason.SLOWER, 900, 700, "tokens/s per GPU")) == (
        "700 against 900 tokens/s per GPU"
    )


def test_a_plan_says_what_it_uses_and_holds():
    plan = choose(request(dense(), replicas=2), inventory(pool()))
    assert plan.why.startswith("2 × TP1·PP1 on H100-SXM: ")
    assert " GiB used before KV cache, holds " in plan.why
    assert plan.why.endswith(" requests at 8k each")


def test_no_pool_at_all():
    plan = choose(request(), inventory())
    assert (plan.reason, plan.why, plan.nearest) == (
        Reason.NO_LAYOUT,
        "no pool of GPU nodes was found, and none is expected (expectedPools of the chart declares such)",
        "",
    )


def test_missing_gpus_are_counted_and_it_matters_whether_they_exist():
    held = choose(request(dense_70b()), inventory(pool(free=1)))
    assert held.reason is Reason.WAITING_FOR_GPUS
    assert "1 more free H100-SXM (for TP1·PP2 in pool h100-sxm-8)" in held.nearest
    absent = choose(request(dense_70b()), inventory(pool("l40s-2", "L40S", gpus=2)))
    assert absent.reason is Reason.NO_LAYOUT
    assert "2 more L40S (for " in absent.nearest


def test_a_shorter_context_and_smaller_weights_are_offered():
    long = choose(request(dense(), context_length=131072), inventory(pool("a10-1", "A10", gpus=1)))
    assert "context ≤ " in long.nearest
    heavy = choose(request(dense(layers=48)), inventory(pool("a10-1", "A10", gpus=1)))
    assert "FP8 weights" in heavy.nearest


def test_old_gpus_are_offered_the_older_float():
    plan = choose(request(), inventory(pool("v100-8", "V100-SXM2-32GB", gpus=8)))
    assert 'spec.engine.args {dtype: "half"}' in plan.nearest


def test_pools_that_are_out_say_why():
    plan = choose(request(gpu_products=("B200",)), inventory(pool()))
    assert plan.nearest == (
        "every pool is out: every layout on h100-sxm-8: ProductNotWanted, spec.placement.gpuProducts asks for B200"
    )


def test_crossing_islands_is_said_with_its_price():
    model = dense_70b(architectures=["Gemma3nForCausalLM"])  # a class that cannot be cut into stages
    pairs = inventory(pool("l40s-8", "L40S", islands=2))
    plan = choose(request(model), pairs)
    assert plan.placements[0].layout.tensor > 2
    assert any("crosses groups of well-linked GPUs" in line for line in plan.assumptions)
    assert not choose(request(model, cross_islands=CrossIslands.NEVER), pairs).placements


def test_a_pod_smaller_than_its_node_counts_on_the_device_plugin():
    plan = choose(request(dense_70b(quantization="fp8")), inventory(pool("l40s-8", "L40S", islands=2)))
    assert plan.placements[0].layout.tensor == 2
    assert any("device plugin" in line for line in plan.assumptions)
