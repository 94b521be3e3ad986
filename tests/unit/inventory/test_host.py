"""What a node has besides GPUs is read; a pool has what all its nodes share, and no plan depends on it."""

import json
from dataclasses import replace

import pytest

from shardwright.catalog.types import LinkKind, NetworkKind
from shardwright.inventory import NodeFacts, build_inventory, read_node
from shardwright.inventory.host import NOTHING_KNOWN, Host, shared_host
from shardwright.inventory.resources import is_network_resource, is_rdma_resource
from shardwright.plan.choose import choose
from shardwright.plan.types import Plan
from shardwright.reconcile.codec import decode, encode
from support.nodes import node
from support.planning import inventory, pool, request

H100 = {
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.memory": "81559",
}
SAID = {
    "shardwright.io/net-kind": "infiniband",
    "shardwright.io/net-bandwidth-per-gpu": "400Gb/s",
    "shardwright.io/gpu-nics": "0-3=mlx5_0,mlx5_1;4-7=mlx5_2",
    "shardwright.io/gpu-numa": "0-3=0;4-7=1",
    "shardwright.io/net-interface": "net1",
}
OFFERED = {"cpu": "191500m", "memory": "2113000100Ki", "rdma/ib": "63", "hugepages-2Mi": "0"}


def facts(name="a", annotations=SAID, offered=OFFERED):
    document = node(name, labels=H100, annotations=annotations, allocatable={"nvidia.com/gpu": "8", **offered})
    found = read_node(document)
    assert isinstance(found, NodeFacts), found
    return found


def test_everything_that_is_said_is_read():
    assert facts().host == Host(
        gpus=8, link=LinkKind.NVSWITCH, network=NetworkKind.INFINIBAND, interface="net1",
        nics=(((0, 1, 2, 3), ("mlx5_0", "mlx5_1")), ((4, 5, 6, 7), ("mlx5_2",))), numa=(0, 0, 0, 0, 1, 1, 1, 1),
        devices=(("rdma/ib", 63),), cpu_milli=191_500, memory_bytes=2015 << 30,
    )  # fmt: skip


def test_memory_that_moves_by_kibibytes_changes_nothing():
    assert facts() == facts(offered={**OFFERED, "memory": "2113000900Ki"})


@pytest.mark.parametrize(
    ("key", "value"),
    [("gpu-numa", "0-3=0"), ("gpu-numa", "0-3=a;4-7=1"), ("net-interface", "eth0;rm"), ("gpu-numa", "0-8=0")],
)
def test_a_malformed_value_is_ignored_alone(key, value):
    found = facts(annotations={**SAID, f"shardwright.io/{key}": value})
    assert (found.host.numa == ()) is (key == "gpu-numa")
    assert any(f"annotation shardwright.io/{key} is ignored" in note for note in found.notes)
    assert found.host.nics


def test_a_pool_has_what_all_its_nodes_share():
    other = {**SAID, "shardwright.io/gpu-nics": "0-7=mlx5_9"}
    nodes = [facts("a"), facts("b", other, {"cpu": "64", "memory": "1Ti", "rdma/ib": "8", "rdma/x": "1"})]
    pools = build_inventory(nodes).pools
    assert len(pools) == 1, "adapters tell no pools apart"
    host = pools[0].host
    assert host.nics == ()
    assert host.numa == facts().host.numa
    assert (host.devices, host.cpu_milli, host.memory_bytes) == ((("rdma/ib", 8),), 64_000, 1 << 40)
    assert build_inventory(reversed(nodes)).pools == pools


def test_no_node_knows_nothing():
    assert shared_host([]) == NOTHING_KNOWN


@pytest.mark.parametrize("product", ["NVIDIA-GeForce-RTX-4090", "NVIDIA-GeForce-RTX-3090"])
def test_geforce_has_no_peer_to_peer_over_pcie(product):
    labels = {"nvidia.com/gpu.product": product, "nvidia.com/gpu.count": "2", "nvidia.com/gpu.memory": "24564"}
    alone = read_node(node("g", labels=labels, allocatable={"nvidia.com/gpu": "2"}))
    assert not alone.host.peer_to_peer
    bridged = {"shardwright.io/gpu-link": "nvlink-bridge"}
    assert read_node(
        node("g", labels=labels, annotations=bridged, allocatable={"nvidia.com/gpu": "2"})
    ).host.peer_to_peer


@pytest.mark.parametrize(
    ("name", "tells", "asked_for"),
    [
        ("rdma/hca_shared_devices_a", True, True), ("vpc.amazonaws.com/efa", True, True),
        ("nvidia.com/hostdev", True, True), ("nvidia.com/mlnxnics", True, True), ("amd.com/vnic", True, True),
        ("networking.gke.io.networks/rdma-0", True, False), ("networking.gke.io.networks/default", False, False),
        ("nvidia.com/gpu", False, False), ("nvidia.com/mig-1g.10gb", False, False), ("cpu", False, False),
    ],
)  # fmt: skip
def test_names_of_rdma_resources(name, tells, asked_for):
    assert (is_network_resource(name), is_rdma_resource(name)) == (tells, asked_for)


def test_plans_do_not_depend_on_it_and_keep_it():
    plain = choose(request(), inventory(pool(nodes=2)))
    known = choose(request(), inventory(pool(nodes=2, host=facts().host)))
    assert known.placements[0].host == facts().host
    assert replace(known.placements[0], host=NOTHING_KNOWN) == plain.placements[0]
    assert decode(Plan, json.loads(json.dumps(encode(known)))) == known
    assert "host" not in encode(plain)["placements"][0], "a plan without such facts is kept as it always was"
