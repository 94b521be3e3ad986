"""On small inventories the plan equals what trying everything finds, by a second, plainer reading of the rules."""

from itertools import combinations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from shardwright.api.spec import Priority
from shardwright.inventory import Inventory, Pool
from shardwright.plan.choose import choose
from shardwright.plan.types import Layout, PlanRequest, Verdict
from shardwright.plan.verdicts import kind_of, question_of, verdict_on
from support.planning import dense, dense_70b, inventory, mixture, pool, request


def every_layout(request: PlanRequest, pool: Pool) -> list[Layout]:
    """All factorisations by nested loops over every size, kept if they cut pods evenly."""
    most = pool.gpus_per_node * len(pool.nodes)
    sizes = range(1, most + 1)
    data = sizes if request.model.is_mixture_of_experts else (1,)
    found = []
    for tensor, pipeline, ranks, pods in product(sizes, sizes, data, range(1, len(pool.nodes) + 1)):
        gpus = tensor * pipeline * ranks
        if gpus > most or gpus % pods or gpus // pods > pool.gpus_per_node:
            continue
        each = gpus // pods
        if any(each % group and group % each for group in (tensor, tensor * pipeline)):
            continue
        spread = (False, True) if request.model.is_mixture_of_experts and tensor * ranks > 1 else (False,)
        found += [Layout(tensor, pipeline, ranks, expert, pods) for expert in spread]
    return found


def room(pool: Pool, layout: Layout) -> int:
    """Most replicas, by trying every set of nodes for the next one."""

    def most(free: tuple[int, ...]) -> int:
        best = 0
        for chosen in combinations(range(len(free)), layout.nodes_per_replica):
            if all(free[i] >= layout.gpus_per_pod for i in chosen):
                left = tuple(f - layout.gpus_per_pod * (i in chosen) for i, f in enumerate(free))
                best = max(best, 1 + most(left))
        return best

    return most(tuple(node.free_gpus for node in pool.nodes))


def best(request: PlanRequest, have: Inventory) -> tuple[str, Layout] | None:
    """The winner by comparing every pair of survivors with the rules as the issue states them."""
    survivors: list[tuple[Pool, Verdict, int]] = []
    for one in have.pools:
        for layout in every_layout(request, one):
            verdict = verdict_on(question_of(request), kind_of(one), layout, False)
            placed = min(room(one, layout), request.replicas or 1)
            if not verdict.rejections and not verdict.crosses_island and placed:
                survivors.append((one, verdict, placed))
    if not survivors:
        return None
    wanted = request.replicas or 1
    most = max(placed for _, _, placed in survivors)
    fullest = [s for s in survivors if (wanted - s[2]) * 1000 // wanted == (wanted - most) * 1000 // wanted]
    winner = min(fullest, key=lambda s: (*objective(request, s[0], s[1], fullest), *tie(s)))
    return winner[0].name, winner[1].layout


def objective(
    request: PlanRequest, where: Pool, verdict: Verdict, others: list[tuple[Pool, Verdict, int]]
) -> tuple[int, ...]:
    cost, gpus = verdict.cost, verdict.layout.gpus_per_replica
    assert cost
    left_over = where.gpus_per_node % verdict.layout.gpus_per_pod
    share = where.gpus_per_node * gpus
    speed = (int(not cost.meets_target), -(cost.milli_tokens_per_second * (where.gpus_per_node - left_over) // share))
    if request.priority is Priority.THROUGHPUT:
        return speed
    if request.priority is Priority.COST:
        return (gpus * (request.replicas or 1), *speed)
    least = min(v.cost.decode_step_microseconds for _, v, _ in others if v.cost)
    near = cost.decode_step_microseconds * 10 <= least * 11
    return (0, gpus, cost.decode_step_microseconds) if near else (1, 0, cost.decode_step_microseconds)


def tie(survivor: tuple[Pool, Verdict, int]) -> tuple[object, ...]:
    at, verdict, _ = survivor
    cut = verdict.layout
    return (cut.gpus_per_replica, cut.nodes_per_replica, cut.pipeline, cut.data, cut.expert, cut.tensor, at.name)


@st.composite
def small(draw: st.DrawFn) -> Inventory:
    made = []
    for number in range(draw(st.integers(1, 2))):
        gpus, nodes = draw(st.sampled_from([1, 2, 4])), draw(st.integers(1, 3))
        free = draw(st.lists(st.integers(0, gpus), min_size=nodes, max_size=nodes))
        name = draw(st.sampled_from(["H100-SXM", "L40S", "A100-SXM4-80GB"]))
        made.append(pool(f"pool-{number}", name, nodes=nodes, gpus=gpus, free=free))
    return inventory(*made)


@given(
    st.sampled_from([dense(), dense_70b(quantization="fp8"), dense_70b(), mixture()]),
    small(),
    st.sampled_from(list(Priority)),
    st.sampled_from([None, 1, 2, 5]),
)
@settings(max_examples=200)
def test_choice_equals_trying_everything(model, have: Inventory, priority: Priority, replicas: int | None):
    asked = request(model, priority=priority, replicas=replicas)
    plan = choose(asked, have)
    expected = best(asked, have)
    found = (plan.placements[0].pool, plan.placements[0].layout) if plan.placements else None
    if expected is not None or found is None:
        assert found == expected
    else:
        assert plan.assumptions  # what only fits across islands says so
