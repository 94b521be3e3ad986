"""When a better layout is worth naming: by the objective, beyond the margin, and never because of noise."""

from dataclasses import replace

from shardwright.api.spec import Priority
from shardwright.inventory import Inventory
from shardwright.plan.better import better
from shardwright.plan.choose import choose
from shardwright.plan.types import LayoutPins, Plan, PlanRequest
from support.planning import dense, dense_70b, inventory, pool, request


def plans(asked: PlanRequest, pinned: PlanRequest, have: Inventory) -> tuple[Plan, Plan]:
    """(what runs because it was once pinned, what would be chosen)."""
    return choose(pinned, have), choose(asked, have)


def test_the_chosen_layout_is_its_own_best() -> None:
    have = inventory(pool())
    for priority in Priority:
        asked = request(dense_70b(), priority=priority)
        plan = choose(asked, have)
        assert better(plan, plan, asked, have) == ""


def test_a_faster_layout_is_named_with_both_figures() -> None:
    have, asked = inventory(pool()), request(dense_70b(), priority=Priority.LATENCY)
    running, best = plans(asked, replace(asked, pins=LayoutPins(tensor=2)), have)
    said = better(running, best, asked, have)
    assert said.startswith("1 × TP8·PP1 on H100-SXM would give ")
    assert "microseconds per token instead of the" in said
    assert said.endswith("of 1 × TP2·PP1 on H100-SXM")


def test_better_throughput_counts_per_gpu() -> None:
    have, asked = inventory(pool()), request(dense())
    running, best = plans(asked, replace(asked, pins=LayoutPins(tensor=8)), have)
    assert "tokens/s per GPU instead of" in better(running, best, asked, have)
    assert better(best, running, asked, have) == ""


def test_cost_counts_gpus_or_prices() -> None:
    asked = request(dense(), priority=Priority.COST)
    have = inventory(pool(), pool("l40s-4", "L40S", gpus=4))
    running, best = plans(asked, replace(asked, pins=LayoutPins(tensor=4)), have)
    assert " GPUs instead of the 4 of " in better(running, best, asked, have)
    priced = replace(asked, gpu_prices_micro=(("H100-SXM", 3_000_000), ("L40S", 1_000_000)))
    running = choose(replace(priced, gpu_products=("H100-SXM",)), have)
    assert "1,000,000 millionths an hour instead of the 3,000,000 of" in better(
        running, choose(priced, have), priced, have
    )


def test_a_layout_that_is_no_longer_valid_loses_to_any_other() -> None:
    have, asked = inventory(pool()), request(dense(), pins=LayoutPins(tensor=4))
    running, best = plans(asked, replace(asked, pins=LayoutPins(tensor=2)), have)
    assert "no longer possible: TP2·PP1 on h100-sxm-8: PinnedOtherwise" in better(running, best, asked, have)


def test_a_lost_pool_makes_room_for_another() -> None:
    asked = request(dense())
    running = choose(asked, inventory(pool()))
    have = inventory(pool("l40s-4", "L40S", gpus=4))
    assert "NodeLost" in better(running, choose(asked, have), asked, have)


def test_nothing_is_better_where_nothing_fits() -> None:
    asked = request(dense_70b())
    running = choose(asked, inventory(pool()))
    nowhere = inventory(pool("a10", "A10", gpus=1))
    assert better(running, choose(asked, nowhere), asked, nowhere) == ""


def test_a_longer_context_is_better_where_none_was_asked() -> None:
    small = inventory(pool("l40s-4", "L40S", gpus=4))
    asked = replace(request(dense_70b(context=131072)), context_length=None)
    running = choose(asked, small)
    both = inventory(pool("l40s-4", "L40S", gpus=4), pool())
    best = choose(asked, both)
    assert best.context_length > running.context_length
    assert "tokens of context instead of" in better(running, best, asked, both)


def test_more_replicas_are_better() -> None:
    have = inventory(pool(gpus=8))
    asked = request(dense_70b(), replicas=4)
    running, best = plans(asked, replace(asked, pins=LayoutPins(tensor=8)), have)
    assert "4 replicas placed instead of the 1 of" in better(running, best, asked, have)


def test_below_the_margin_nothing_is_said() -> None:
    """Two H100 variants of nearly the same speed: a change would not pay."""
    asked = request(dense(), priority=Priority.LATENCY)
    have = inventory(pool(), pool("h100-b", network_bandwidth=25 * 10**9))
    plan = choose(asked, have)
    other = replace(plan, placements=(replace(plan.placements[0], pool="h100-b"),))
    assert better(other, plan, asked, have) == ""
