"""Choices by case: how many replicas, on which GPUs, within which budget, and what is kept."""

from dataclasses import replace

from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName, Priority
from shardwright.plan.choose import choose
from shardwright.plan.types import Layout, LayoutPins, QuotaRoom
from shardwright.plan.validity import still_valid
from support.planning import dense, dense_70b, inventory, mixture, pool, request

R = Reason


def only(plan):
    assert len(plan.placements) == 1, plan
    return plan.placements[0]


def test_replicas_come_from_the_spec_then_concurrency_then_budget_then_one():
    fleet = inventory(pool(nodes=2))
    assert only(choose(request(replicas=3, concurrency=10_000), fleet)).replicas == 3
    held = only(choose(request(concurrency=1), fleet)).memory.max_concurrency
    assert only(choose(request(concurrency=held * 2 + 1, max_gpus=16), fleet)).replicas == 3
    assert only(choose(request(max_gpus=5), fleet)).replicas == 5
    assert only(choose(request(fill_free_gpus=True), fleet)).replicas == 16
    assert only(choose(request(), fleet)).replicas == 1


def test_derived_replicas_stop_at_the_autoscalers_maximum():
    assert only(choose(request(fill_free_gpus=True, max_replicas=4), inventory(pool()))).replicas == 4


def test_a_budget_bounds_asked_replicas_too_and_the_plan_keeps_what_was_asked():
    plan = choose(request(replicas=8, max_gpus=3), inventory(pool()))
    assert (only(plan).replicas, plan.derived_replicas) == (3, 8)


def test_zero_replicas_are_planned_even_when_no_gpu_is_free():
    plan = choose(request(replicas=0), inventory(pool(free=0)))
    assert only(plan).replicas == 0


def test_a_quota_is_a_bound():
    plan = choose(request(dense_70b(), quotas=(QuotaRoom("nvidia.com/gpu", 1, "team"),)), inventory(pool()))
    assert R.QUOTA_EXCEEDED in {lost.reason for lost in plan.rejected}
    assert (plan.placements, plan.reason) == ((), R.QUOTA_EXCEEDED)
    assert "1 more requests.nvidia.com/gpu in ResourceQuota team (a replica takes 2, it leaves 1)" in plan.nearest


def test_a_quota_of_pods_bounds_groups_and_what_it_pays_for_is_placed():
    fleet = inventory(pool(nodes=2))
    two_pods = LayoutPins(tensor=8, pipeline=2)
    refused = choose(request(dense_70b(), pins=two_pods, quotas=(QuotaRoom("pods", 1, "few"),)), fleet)
    assert refused.reason is R.QUOTA_EXCEEDED
    assert "1 more pods in ResourceQuota few" in refused.nearest
    plan = choose(request(dense_70b(), replicas=4, pins=LayoutPins(tensor=4),
                          quotas=(QuotaRoom("nvidia.com/gpu", 9, "team"),)), fleet)  # fmt: skip
    assert only(plan).replicas == 2


def test_a_quota_is_not_to_blame_where_no_gpu_is_free():
    quotas = (QuotaRoom("nvidia.com/gpu", 1, "team"),)
    assert choose(request(dense_70b(), quotas=quotas), inventory(pool(free=0))).reason is R.WAITING_FOR_GPUS


def test_latency_takes_the_fewest_gpus_among_the_fastest():
    fast = only(choose(request(dense_70b(), priority=Priority.LATENCY), inventory(pool())))
    assert fast.layout.tensor == 8
    tiny = dense(layers=8, hidden=1024, heads=16, inner=2816)
    assert only(choose(request(tiny, priority=Priority.LATENCY), inventory(pool()))).layout == Layout(1)


def test_cost_takes_the_least_price_and_unknown_prices_last():
    fleet = inventory(pool(), pool("l40s-4", "L40S", gpus=4), pool("a10-1", "A10", gpus=1))
    prices = (("H100-SXM", 2_500_000), ("L40S", 900_000))
    assert only(choose(request(priority=Priority.COST, gpu_prices_micro=prices), fleet)).product == "L40S"
    assert only(choose(request(priority=Priority.COST), fleet)).product == "H100-SXM"


def test_products_are_taken_in_the_users_order_whatever_their_speed():
    fleet = inventory(pool(), pool("l40s-4", "L40S", gpus=4))
    assert only(choose(request(gpu_products=("l40s", "H100-SXM")), fleet)).product == "L40S"


def test_unlike_gpus_only_where_allowed():
    fleet = inventory(pool(free=1), pool("l40s-4", "L40S", gpus=4))
    asked = request(replicas=3, gpu_products=("H100-SXM", "L40S"))
    assert only(choose(asked, fleet)).product == "L40S"
    mixed = choose(replace(asked, allow_mixed_products=True), fleet).placements
    assert [(p.product, p.replicas) for p in mixed] == [("H100-SXM", 1), ("L40S", 2)]


def test_pins_are_honoured_and_checked_again():
    assert only(choose(request(pins=LayoutPins(tensor=4, pipeline=1)), inventory(pool()))).layout == Layout(4)
    broken = choose(request(pins=LayoutPins(tensor=3)), inventory(pool()))
    assert R.HEADS_NOT_DIVISIBLE in {lost.reason for lost in broken.rejected}


def test_pipelines_on_pcie_and_tensor_on_nvlink():
    on_pcie = only(choose(request(dense_70b()), inventory(pool("l40s-8", "L40S", islands=2))))
    assert on_pcie.layout.pipeline > 1
    assert on_pcie.layout.tensor <= 2
    on_nvlink = only(choose(request(dense_70b()), inventory(pool())))
    assert (on_nvlink.layout.pipeline, on_nvlink.layout.nodes_per_replica) == (1, 1)


def test_a_replica_over_nodes_keeps_tensor_inside_each():
    big = dense(layers=126, hidden=16384, heads=128, inner=53248)
    plan = only(choose(request(big), inventory(pool(nodes=2))))
    assert plan.layout == Layout(8, 2, nodes_per_replica=2)
    assert plan.replica_nodes == (("h100-sxm-8-1", "h100-sxm-8-2"),)


def test_slices_are_never_joined():
    plan = choose(request(dense_70b()), inventory(replace(pool(), multi_gpu=False)))
    assert not plan.placements
    assert R.SLICES_CANNOT_JOIN in {lost.reason for lost in plan.rejected}


def test_trtllm_attention_data_parallelism_is_alone():
    plan = choose(request(mixture(), engine=EngineName.TRTLLM, engine_version="1.2.1"), inventory(pool()))
    assert only(plan).layout.tensor == 1 or only(plan).layout.data == 1


def test_a_running_plan_stays_valid_while_its_hardware_and_its_request_stand():
    fleet = inventory(pool())
    asked = request(dense_70b(), replicas=1)
    plan = choose(asked, fleet)
    assert still_valid(plan, asked, inventory(pool(free=0))) is None
    cases = [
        (replace(asked, pins=LayoutPins(tensor=8)), fleet, R.PINNED_OTHERWISE),
        (replace(asked, max_gpus=1), fleet, R.OVER_GPU_LIMIT),
        (replace(asked, context_length=10_000_000), fleet, R.CONTEXT_TOO_LONG),
        (replace(asked, model=dense_70b(heads=60, kv_heads=5)), fleet, R.KV_HEADS_NOT_DIVISIBLE),
        (asked, inventory(pool("l40s-4", "L40S", gpus=4)), R.NODE_LOST),
    ]
    for changed, have, reason in cases:
        refusal = still_valid(plan, changed, have)
        assert refusal
        assert refusal.reason is reason
