"""NVLink between nodes counts only where pods are let into it, and keeps groups within one domain."""

import pytest

from shardwright.catalog.types import NetworkKind
from shardwright.inventory import NodeFacts, build_inventory, read_node
from shardwright.inventory.nodes import JOINED, NOT_JOINED
from shardwright.plan.choose import choose
from support import planning
from support.nodes import node, nvidia_labels

GB200 = nvidia_labels("NVIDIA-GB200", 189471, 4, compute="10.0", family="blackwell")


def rack(domain: str, count: int, *, served: bool, **labels: str) -> list[NodeFacts]:
    clique = labels or {"nvidia.com/gpu.clique": f"{domain}.1"}
    found = []
    for number in range(1, count + 1):
        raw = node(f"{domain}-{number}", labels={**GB200, **clique}, allocatable={"nvidia.com/gpu": "4"})
        read = read_node(raw, compute_domains=served)
        assert isinstance(read, NodeFacts), read
        found.append(read)
    return found


def plan(*racks: list[NodeFacts], **pins: int):
    facts = [one for rack_ in racks for one in rack_]
    wish = planning.request(planning.dense_70b(), replicas=1, pins=planning.LayoutPins(**pins))
    return choose(wish, build_inventory(facts))


def test_a_domain_is_nvlink_where_compute_domains_are_served():
    (one,) = rack("a", 1, served=True)
    assert (one.traits.network, one.traits.network_bandwidth) == (NetworkKind.NVLINK, one.traits.product.link_bandwidth)
    assert (one.node.fabric_domain, one.traits.compute_domain) == ("a.1", True)
    assert JOINED in one.notes
    assert not [note for note in one.notes if "TCP" in note]


def test_elsewhere_it_is_what_the_nodes_have_and_that_is_said():
    (one,) = rack("a", 1, served=False)
    assert (one.traits.network, one.traits.compute_domain) == (NetworkKind.TCP, False)
    assert (one.node.fabric_domain, one.node.nvlink_domain) == (None, "a.1")
    assert NOT_JOINED in one.notes


def test_nodes_without_a_domain_are_a_pool_of_their_own():
    plain = rack("b", 1, served=True, zone="x")
    inventory = build_inventory([*rack("a", 1, served=True), *plain])
    assert sorted(str(pool.network) for pool in inventory.pools) == ["nvlink", "tcp"]


def test_tensor_groups_span_nodes_of_one_domain_and_never_two():
    answer = plan(rack("a", 1, served=True), rack("b", 2, served=True), tensor=8, pipeline=1)
    (placement,) = answer.placements
    assert placement.replica_nodes == (("b-1", "b-2"),)
    assert placement.compute_domain
    assert "crosses groups" not in " ".join(answer.assumptions)
    assert not plan(rack("a", 1, served=True), rack("b", 1, served=True), tensor=8, pipeline=1).placements


def test_without_compute_domains_the_same_group_crosses_the_slow_network():
    answer = plan(rack("b", 2, served=False), tensor=8, pipeline=1)
    assert not answer.placements[0].compute_domain
    assert "TP8 crosses groups of well-linked GPUs" in " ".join(answer.assumptions)


def test_a_replica_of_one_pod_needs_no_domain():
    assert not plan(rack("a", 2, served=True), tensor=4, pipeline=1).placements[0].compute_domain


@pytest.mark.parametrize("served", [True, False])
def test_an_annotation_names_a_domain_too(served: bool):
    labels = {**GB200}
    annotations = {"shardwright.io/nvlink-domain": "rack-7", "shardwright.io/net-kind": "infiniband"}
    raw = node("n", labels=labels, annotations=annotations, allocatable={"nvidia.com/gpu": "4"})
    read = read_node(raw, compute_domains=served)
    assert isinstance(read, NodeFacts)
    assert read.traits.network is (NetworkKind.NVLINK if served else NetworkKind.INFINIBAND)
