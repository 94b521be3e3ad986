"""What holds for every plan: products equal GPUs, more never hurts, order never matters, and nothing raises."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from shardwright.api.reasons import Reason
from shardwright.api.spec import CrossIslands, EngineName, Priority
from shardwright.catalog.types import NetworkKind
from shardwright.inventory import Inventory, Pool
from shardwright.plan.choose import choose
from shardwright.plan.types import LayoutPins, Plan, PlanRequest
from shardwright.plan.validity import still_valid
from support.planning import dense, dense_70b, inventory, mixture, pool, request

MODELS = [dense(), dense_70b(), dense_70b(quantization="fp8"), mixture(), dense(heads=20, kv_heads=5, hidden=2560)]
PRODUCTS = ["H100-SXM", "L40S", "A10", "A100-SXM4-80GB", "MI300X"]


@st.composite
def pools(draw: st.DrawFn, number: int) -> Pool:
    gpus = draw(st.sampled_from([1, 2, 3, 4, 6, 8]))
    nodes = draw(st.integers(1, 4))
    return pool(
        f"pool-{number}",
        draw(st.sampled_from(PRODUCTS)),
        nodes=nodes,
        gpus=gpus,
        free=draw(st.lists(st.integers(0, gpus), min_size=nodes, max_size=nodes)),
        islands=draw(st.sampled_from([None, 2])) if gpus % 2 == 0 else None,
        network=draw(st.sampled_from([NetworkKind.INFINIBAND, NetworkKind.TCP])),
        domains=draw(st.lists(st.sampled_from(["east", "west"]), min_size=nodes, max_size=nodes)),
    )


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    return inventory(*(draw(pools(number)) for number in range(draw(st.integers(0, 3)))))


size = st.sampled_from([None, None, None, 1, 2, 3, 4, 8])


@st.composite
def requests(draw: st.DrawFn) -> PlanRequest:
    return request(
        draw(st.sampled_from(MODELS)),
        engine=draw(st.sampled_from([EngineName.VLLM, EngineName.VLLM, EngineName.TRTLLM])),
        priority=draw(st.sampled_from(list(Priority))),
        context_length=draw(st.sampled_from([None, 2048, 8192, 32768])),
        concurrency=draw(st.sampled_from([None, None, 1, 40])),
        pins=LayoutPins(draw(size), draw(size), None, None, draw(st.sampled_from([None, None, 1, 2]))),
        replicas=draw(st.sampled_from([None, None, 0, 1, 3])),
        max_replicas=draw(st.sampled_from([None, None, 2])),
        max_gpus=draw(st.sampled_from([None, None, 1, 4, 12])),
        fill_free_gpus=draw(st.booleans()),
        gpu_products=draw(st.sampled_from([(), (), ("L40S",), ("H100-SXM", "L40S")])),
        gpu_prices_micro=draw(st.sampled_from([(), (("H100-SXM", 2_500_000), ("L40S", 900_000))])),
        allow_mixed_products=draw(st.booleans()),
        cross_islands=draw(st.sampled_from(list(CrossIslands))),
    )


@given(requests(), inventories())
@settings(max_examples=300)
def test_accepted_layouts_use_whole_pods_of_free_gpus_on_one_domain(asked: PlanRequest, have: Inventory):
    plan = choose(asked, have)
    left = {node.name: node.free_gpus for p in have.pools for node in p.nodes}
    domain = {node.name: node.fabric_domain for p in have.pools for node in p.nodes}
    for placement in plan.placements:
        layout = placement.layout
        assert layout.tensor * layout.pipeline * layout.data == layout.gpus_per_pod * layout.nodes_per_replica
        assert len(placement.replica_nodes) == placement.replicas <= placement.max_replicas
        assert placement.memory.fits
        for nodes in placement.replica_nodes:
            assert len(set(nodes)) == len(nodes) == layout.nodes_per_replica
            assert len({domain[name] for name in nodes}) == 1
            for name in nodes:
                left[name] -= layout.gpus_per_pod
    assert all(free >= 0 for free in left.values())
    used = sum(p.replicas * p.layout.gpus_per_replica for p in plan.placements)
    assert asked.max_gpus is None or used <= asked.max_gpus
    assert plan.why
    for lost in plan.rejected:
        assert lost.reason is Reason.SLOWER or lost.need > lost.have, lost


@given(requests(), inventories(), st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_order_of_pools_and_nodes_never_changes_the_plan(asked: PlanRequest, have: Inventory, random):
    shuffled = [replace(p, nodes=tuple(random.sample(p.nodes, len(p.nodes)))) for p in have.pools]
    random.shuffle(shuffled)
    assert without_pool_nodes(choose(asked, Inventory(tuple(shuffled)))) == without_pool_nodes(choose(asked, have))


def without_pool_nodes(plan: Plan) -> Plan:
    return replace(plan, placements=tuple(replace(p, pool_nodes=()) for p in plan.placements))


@given(requests(), inventories())
@settings(max_examples=150)
def test_more_free_gpus_never_turn_a_plan_into_none(asked: PlanRequest, have: Inventory):
    freed = Inventory(tuple(replace(p, nodes=tuple(replace(n, free_gpus=n.gpus) for n in p.nodes)) for p in have.pools))
    if choose(asked, have).placements:
        assert choose(asked, freed).placements


@given(requests(), inventories())
@settings(max_examples=150)
def test_more_memory_never_turns_a_plan_into_none(asked: PlanRequest, have: Inventory):
    larger = Inventory(tuple(replace(p, memory_bytes=p.memory_bytes * 5 // 4) for p in have.pools))
    asked = replace(asked, engine_args=(("max-num-batched-tokens", "2048"), ("max-num-seqs", "256")))
    if choose(asked, have).placements:
        assert choose(asked, larger).placements


@given(requests(), inventories())
@settings(max_examples=150)
def test_an_added_pool_never_turns_a_plan_into_none(asked: PlanRequest, have: Inventory):
    if choose(asked, have).placements:
        assert choose(asked, inventory(*have.pools, pool("extra", "L40S", gpus=4))).placements


@given(requests(), inventories())
@settings(max_examples=100)
def test_a_new_plan_is_valid_and_the_same_twice(asked: PlanRequest, have: Inventory):
    plan = choose(asked, have)
    assert plan == choose(asked, have)
    if plan.placements:
        assert still_valid(plan, asked, have) is None
