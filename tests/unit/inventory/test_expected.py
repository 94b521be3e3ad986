"""Pools of nodes that do not exist yet: what a declaration must say, what is planned on it, and what is left of it."""

import json

import pytest

from shardwright.api.expected import ExpectedPoolsError, parse_expected
from shardwright.api.reasons import Reason
from shardwright.inventory import NodeFacts, SkippedNode, build_inventory, is_expected, read_expected, read_node
from shardwright.inventory.expected import expected_pool_of, remaining, with_expected
from shardwright.plan.choose import choose
from shardwright.plan.room import natural
from support import planning
from support.nodes import node, nvidia_labels

BORN = {"karpenter.sh/nodepool": "gpu-h100"}
H100 = nvidia_labels("NVIDIA-H100-80GB-HBM3", 81559, 8)
POOL = {"name": "gpu-h100", "labels": {**BORN, **H100}, "gpus": 8, "maxNodes": 3}


def declared(**changes):
    return parse_expected(json.dumps([{**POOL, **changes}]))


def real(name: str, labels=BORN, **more) -> NodeFacts | SkippedNode:
    return read_node(node(name, labels={**H100, **labels}, allocatable={"nvidia.com/gpu": "8"}, **more))


def inventory(*nodes: NodeFacts | SkippedNode, pools=None):
    facts = [one for one in nodes if isinstance(one, NodeFacts)]
    return with_expected(build_inventory(facts), pools or declared(), nodes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"maxNodes": 0}, "expectedPools[0].maxNodes"),
        ({"gpus": "8"}, "expectedPools[0].gpus"),
        ({"size": 3}, "a pool has name, labels, annotations, taints, gpus, resource, maxNodes"),
        ({"labels": H100}, "no label that its nodes carry from birth"),
        ({"name": "Not A Name"}, "expectedPools[0].name"),
    ],
)
def test_a_declaration_that_cannot_be_used_says_where(changes, said):
    with pytest.raises(ExpectedPoolsError) as error:
        declared(**changes)
    assert said in str(error.value)


def test_a_name_given_twice_is_refused():
    with pytest.raises(ExpectedPoolsError, match="gpu-h100 is given twice"):
        parse_expected(json.dumps([POOL, POOL]))


def test_pods_ask_only_for_labels_that_nodes_have_from_birth():
    (pool,) = inventory().pools
    assert pool.selector == tuple(BORN.items())
    assert pool.expected == "gpu-h100"
    assert [one.name for one in pool.nodes] == [f"gpu-h100/expected-{number}" for number in (1, 2, 3)]
    assert all(is_expected(one.name) and expected_pool_of(one.name) == "gpu-h100" for one in pool.nodes)


def test_a_declaration_without_a_known_gpu_is_left_out_with_its_reason():
    found = inventory(pools=declared(labels=BORN))
    assert not found.pools
    assert [(one.name, one.reason) for one in found.skipped] == [
        ("expected pool gpu-h100", Reason.DEVICES_WITHOUT_LABELS)
    ]


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        ([], 3),
        ([real("a"), real("b")], 1),
        ([real("a", {})], 3),
        ([real("a", ready=False)], 2),
        ([real(name) for name in "abcd"], 0),
    ],
)
def test_what_exists_counts_against_the_limit(nodes, left):
    (pool,) = [pool for pool in inventory(*nodes).pools if pool.expected]
    assert len(pool.nodes) == left


def test_nodes_that_somebody_waits_for_are_not_promised_again():
    each = read_expected(declared()[0])
    names = [one.name for one in remaining(each.pool, 1, {"gpu-h100/expected-2"})]
    assert names == ["gpu-h100/expected-1", "gpu-h100/expected-2"]
    assert [one.name for one in remaining(each.pool, 3, {"gpu-h100/expected-3"})] == ["gpu-h100/expected-3"]


def plan(found, **changes):
    return choose(planning.request(planning.dense_70b(), **changes), found)


def test_the_plan_says_what_does_not_exist_yet():
    answer = plan(inventory(), replicas=2, pins=planning.LayoutPins(tensor=8, pipeline=1))
    (placement,) = answer.placements
    assert placement.expected == "gpu-h100"
    assert placement.pool_selector == tuple(BORN.items())
    assert placement.awaited_nodes == ("gpu-h100/expected-1", "gpu-h100/expected-2")
    sentence = "2 nodes of pool gpu-h100 do not exist yet; an autoscaler must add them"
    assert answer.why.endswith(sentence)
    assert sentence in answer.assumptions


def test_nodes_that_exist_come_first_and_nodes_to_come_take_the_rest():
    mine = inventory(real("a", {}), real("b"))
    pins = planning.LayoutPins(tensor=8, pipeline=1)
    one = plan(mine, replicas=1, pins=pins)
    assert [(p.expected, p.replicas) for p in one.placements] == [("", 1), ("gpu-h100", 0)]
    assert "exist" not in one.why
    three = plan(mine, replicas=3, pins=pins)
    assert [(p.expected, p.replicas) for p in three.placements] == [("", 2), ("gpu-h100", 1)]
    assert three.why.endswith("1 node of pool gpu-h100 does not exist yet; an autoscaler must add it")


def test_a_budget_is_filled_with_what_exists():
    filled = plan(inventory(real("a", {})), max_gpus=32, fill_free_gpus=True)
    assert not any(p.expected and p.replicas for p in filled.placements)
    assert sum(p.replicas * p.layout.gpus_per_replica for p in filled.placements) == 8
    first = plan(inventory(), max_gpus=32, fill_free_gpus=True)
    assert [p.replicas for p in first.placements] == [1]


def test_a_group_is_asked_for_as_a_whole():
    answer = plan(inventory(), replicas=1, pins=planning.LayoutPins(tensor=8, pipeline=2, nodes_per_replica=2))
    (placement,) = answer.placements
    assert placement.replica_nodes == (("gpu-h100/expected-1", "gpu-h100/expected-2"),)
    assert placement.replica_nodes[0] == tuple(sorted(placement.replica_nodes[0], key=natural))


def test_taints_of_nodes_to_come_must_be_tolerated():
    tainted = declared(taints=[{"key": "team", "value": "a", "effect": "NoSchedule"}])
    answer = plan(inventory(pools=tainted))
    assert not answer.placements
    assert answer.rejected[0].reason is Reason.TAINT_NOT_TOLERATED


def test_without_nodes_and_without_expected_pools_both_are_named():
    answer = choose(planning.request(), build_inventory([]))
    assert answer.why.startswith("no pool of GPU nodes was found, and none is expected")
