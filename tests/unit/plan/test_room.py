"""Where replicas go: packed, on one fabric domain, on distinct nodes, in the same way whatever the order of input."""

from itertools import permutations

import pytest

from shardwright.api.spec import Toleration
from shardwright.inventory import PoolNode
from shardwright.plan.room import Eligibility, assign, capacity, domains, natural
from shardwright.plan.types import Layout


def node(name: str, free: int, domain: str | None = None, **changes) -> PoolNode:
    return PoolNode(name, 8, free, changes.get("labels", ()), changes.get("taints", ()), fabric_domain=domain)


CASES = [
    ("one pod: every multiple counts", [8, 5, 3], Layout(2), 7),
    ("one pod: leftovers of a node are lost", [3, 3, 3], Layout(2), 3),
    ("two pods need two nodes, however free one is", [8], Layout(2, 2, nodes_per_replica=2), 0),
    ("two pods: a big node pairs with several small ones", [8, 2, 2, 2], Layout(2, 2, nodes_per_replica=2), 3),
    ("two pods: the biggest node pairs with each small one", [8, 2], Layout(2, 2, nodes_per_replica=2), 1),
    ("three pods over equal nodes", [4, 4, 4], Layout(4, 3, nodes_per_replica=3), 1),
]


@pytest.mark.parametrize(("free", "layout", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_capacity_and_assignment_agree(free: list[int], layout: Layout, expected: int):
    nodes = [node(f"n{i}", gpus) for i, gpus in enumerate(free)]
    assert capacity(domains(nodes), layout.nodes_per_replica, layout.gpus_per_pod) == expected
    assert len(assign(nodes, layout, 99)) == expected


def test_a_group_stays_in_one_fabric_domain():
    nodes = [node("a", 8, "east"), node("b", 8, "west"), node("c", 8, "west")]
    layout = Layout(8, 2, nodes_per_replica=2)
    assert capacity(domains(nodes), 2, 8) == 1
    assert assign(nodes, layout, 5) == (("b", "c"),)


def test_replicas_are_packed_so_that_whole_nodes_stay_free():
    nodes = [node("n1", 8), node("n2", 4), node("n3", 6)]
    assert assign(nodes, Layout(2), 3) == (("n2",), ("n2",), ("n3",))


def test_order_of_input_changes_nothing():
    nodes = [node("n1", 8), node("n2", 4), node("n10", 4), node("n3", 8)]
    for layout in (Layout(2), Layout(4), Layout(4, 2, nodes_per_replica=2)):
        assert len({assign(order, layout, 3) for order in permutations(nodes)}) == 1


def test_names_sort_as_people_count():
    assert sorted(["n10", "n2", "n1", "m"], key=natural) == ["m", "n1", "n2", "n10"]
    assert sorted(["a", "a1", "1a", "a01"], key=natural) == ["1a", "a", "a01", "a1"]


TAINT = ("team", "vision", "NoSchedule")
TOLERATIONS = [
    ("nothing tolerates nothing", (), False),
    ("equal key and value", (Toleration(key="team", value="vision"),), True),
    ("Equal is the default operator", (Toleration(key="team", operator="Equal", value="vision"),), True),
    ("another value", (Toleration(key="team", value="speech"),), False),
    ("Exists needs no value", (Toleration(key="team", operator="Exists"),), True),
    ("Exists without a key tolerates everything", (Toleration(operator="Exists"),), True),
    ("another effect", (Toleration(key="team", operator="Exists", effect="NoExecute"),), False),
]


@pytest.mark.parametrize(("tolerations", "expected"), [c[1:] for c in TOLERATIONS], ids=[c[0] for c in TOLERATIONS])
def test_tolerations_match_as_the_scheduler_matches_them(tolerations, expected):
    assert Eligibility((), tolerations).tolerates(node("n", 8, taints=(TAINT,))) is expected
