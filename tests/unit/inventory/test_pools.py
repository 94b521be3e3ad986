"""Alike nodes make pools, and what is free is counted once."""

from itertools import permutations

import pytest

from shardwright.api import labels
from shardwright.api.reasons import Reason
from shardwright.catalog.load import gpu_catalog
from shardwright.catalog.types import LinkKind, NetworkKind
from shardwright.inventory import (
    Inventory,
    NodeFacts,
    PodUsage,
    Promise,
    SkippedNode,
    build_inventory,
    instances,
    read_node,
    read_usage,
)
from support.nodes import a100_sxm_8, gb200_4, h100_sxm_8, l40s_4, mi300x_8, node, nvidia_node, pod


def inventory(
    *nodes: dict[str, object], pods: list[dict[str, object]] | None = None, promises: list[Promise] | None = None
) -> Inventory:
    read = [read_node(made) for made in nodes]
    usage = [found for made in pods or [] if (found := read_usage(made))]
    facts = [found for found in read if isinstance(found, NodeFacts)]
    return build_inventory(facts, [found for found in read if isinstance(found, SkippedNode)], usage, promises or [])


def free(found: Inventory) -> dict[str, int]:
    return {node.name: node.free_gpus for pool in found.pools for node in pool.nodes}


def test_alike_nodes_make_one_pool() -> None:
    found = inventory(h100_sxm_8("b"), l40s_4("c"), h100_sxm_8("a"), mi300x_8("d"))
    assert [(pool.name, [node.name for node in pool.nodes]) for pool in found.pools] == [
        ("h100-sxm-8", ["a", "b"]),
        ("l40s-4", ["c"]),
        ("mi300x-8", ["d"]),
    ]
    assert dict(found.pools[0].selector) == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    assert found.pools[2].gpu_resource == "amd.com/gpu"


def test_memory_is_what_the_runtime_reports() -> None:
    pool = inventory(h100_sxm_8("a")).pools[0]
    assert 79.1 < pool.memory_bytes / 2**30 < 79.2
    assert (pool.link, pool.link_bandwidth) == (LinkKind.NVSWITCH, 450 * 10**9)
    assert pool.islands == (tuple(range(8)),)


def test_pods_take_and_never_below_zero() -> None:
    pods = [pod("x", "a", 3), pod("y", "a", 3, terminating=True), pod("z", "a", 8, phase="Failed"), pod("w", "b", 99)]
    assert free(inventory(h100_sxm_8("a"), h100_sxm_8("b"), pods=pods)) == {"a": 2, "b": 0}


def test_a_pod_on_an_unlike_resource_takes_nothing() -> None:
    assert free(inventory(h100_sxm_8("a"), pods=[pod("x", "a", 3, resource="amd.com/gpu")])) == {"a": 8}


def own_pod(name: str, on: str, replica: int, *, uid: str = "u", terminating: bool = False) -> dict[str, object]:
    marks = {labels.DEPLOYMENT: "d", labels.DEPLOYMENT_UID: uid, labels.REPLICA: str(replica)}
    return pod(name, on, 4, labels={key: value for key, value in marks.items() if value}, terminating=terminating)


class TestPromises:
    promise = Promise("a", 4, "u", 0, "default/d")

    def count(self, *pods: dict[str, object], promises: list[Promise] | None = None) -> dict[str, int]:
        return free(inventory(h100_sxm_8("a"), h100_sxm_8("b"), pods=list(pods), promises=promises or [self.promise]))

    def test_an_unbound_promise_takes(self) -> None:
        assert self.count() == {"a": 4, "b": 8}

    def test_a_bound_pod_replaces_its_promise(self) -> None:
        assert self.count(own_pod("d-0-0", "a", 0)) == {"a": 4, "b": 8}

    def test_the_pod_counts_where_the_scheduler_put_it(self) -> None:
        assert self.count(own_pod("d-0-0", "b", 0)) == {"a": 8, "b": 4}

    def test_a_pod_without_uid_is_known_by_its_deployment(self) -> None:
        assert self.count(own_pod("d-0-0", "a", 0, uid="")) == {"a": 4, "b": 8}

    def test_another_replica_replaces_nothing(self) -> None:
        assert self.count(own_pod("d-1-0", "a", 1)) == {"a": 0, "b": 8}

    def test_a_namesake_with_another_uid_replaces_nothing(self) -> None:
        assert self.count(own_pod("d-0-0", "a", 0, uid="older")) == {"a": 0, "b": 8}

    def test_a_terminating_pod_covers_its_own_node_only(self) -> None:
        assert self.count(own_pod("d-0-0", "a", 0, terminating=True)) == {"a": 4, "b": 8}
        assert self.count(own_pod("d-0-0", "b", 0, terminating=True)) == {"a": 4, "b": 4}

    def test_a_group_is_matched_pod_by_pod(self) -> None:
        promises = [Promise("a", 4, "u", 0), Promise("b", 4, "u", 0)]
        assert self.count(own_pod("d-0-0", "b", 0), promises=promises) == {"a": 4, "b": 4}
        assert self.count(own_pod("d-0-0", "a", 0), own_pod("d-0-1", "b", 0), promises=promises) == {"a": 4, "b": 4}


def test_order_never_matters() -> None:
    nodes = [
        h100_sxm_8("a"),
        h100_sxm_8("b", annotations={labels.GPU_LINK: "pcie"}),
        l40s_4("c"),
        l40s_4("d", ready=False),
    ]
    pods = [pod("x", "a", 3), pod("y", "b", 1)]
    promises = [Promise("a", 2, "u", 0), Promise("c", 1, "v", 0)]
    answers = {
        repr(inventory(*order, pods=pods[::step], promises=promises[::step]))
        for order in permutations(nodes)
        for step in (1, -1)
    }
    assert len(answers) == 1


def test_odd_nodes_are_listed_with_their_reasons() -> None:
    going = h100_sxm_8("going")
    going["metadata"]["deletionTimestamp"] = "2026-11-21T10:00:00Z"
    shared = nvidia_node(
        "shared", "Tesla-T4-SHARED", 15360, 1, "7.5", "turing", labels={"nvidia.com/gpu.replicas": "8"}
    )
    found = inventory(
        going,
        shared,
        h100_sxm_8("down", ready=False),
        h100_sxm_8("cordoned", unschedulable=True),
        node("cpu"),
        node("blank", allocatable={"nvidia.com/gpu": "8"}),
        h100_sxm_8("none", allocatable={"nvidia.com/gpu": "0"}),
        nvidia_node("new", "NVIDIA-Z900", 99999, 8, "99.0"),
        h100_sxm_8("both", allocatable={"amd.com/gpu": "1"}),
        h100_sxm_8("draining", taints=[{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]),
        h100_sxm_8("sliced", allocatable={"nvidia.com/mig-1g.10gb": "7"}),
    )
    assert not found.pools
    assert {skipped.name: skipped.reason for skipped in found.skipped} == {
        "going": Reason.NODE_BEING_DELETED,
        "shared": Reason.TIME_SHARED,
        "down": Reason.NODE_NOT_READY,
        "cordoned": Reason.NODE_CORDONED,
        "cpu": Reason.NO_GPU,
        "blank": Reason.DEVICES_WITHOUT_LABELS,
        "none": Reason.LABELS_WITHOUT_DEVICES,
        "new": Reason.UNKNOWN_GPU,
        "both": Reason.MIXED_GPUS,
        "draining": Reason.NODE_BEING_DELETED,
        "sliced": Reason.MIG_MIXED,
    }
    assert all(skipped.message for skipped in found.skipped)


def test_an_unknown_product_is_planned_from_its_labels_and_says_so() -> None:
    pool = inventory(nvidia_node("n", "NVIDIA-H150", 100_000, 8)).pools[0]
    assert pool.name == "nvidia-h150-8"
    assert pool.memory_bytes == 100_000 * 2**20 * 98 // 100
    assert pool.link is LinkKind.PCIE
    assert any("NVIDIA-H150 is not in the catalogue" in said for said in pool.assumptions)


def test_mig_slices_of_one_size_are_a_pool_of_single_gpus() -> None:
    pool = inventory(nvidia_node("n", "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", 9984, 7)).pools[0]
    assert (pool.name, pool.multi_gpu, pool.link) == ("h100-sxm-mig-1g-10gb-7", False, LinkKind.NONE)
    assert pool.islands == tuple((gpu,) for gpu in range(7))
    assert pool.memory_bytes == 9984 * 2**20 * 98 // 100


def test_pools_that_only_annotations_tell_apart_have_no_selector() -> None:
    bridged = {labels.GPU_LINK: "nvlink-bridge", labels.GPU_ISLANDS: "0-1,2-3"}
    plain, linked = (
        "NVIDIA-A100-80GB-PCIe",
        nvidia_node("b", "NVIDIA-A100-80GB-PCIe", 81920, 4, "8.0", annotations=bridged),
    )
    found = inventory(nvidia_node("a", plain, 81920, 4, "8.0"), linked)
    assert [pool.name for pool in found.pools] == ["a100-80gb-pcie-4-nvlink-bridge-2x2", "a100-80gb-pcie-4-pcie-4"]
    assert [pool.selector for pool in found.pools] == [(), ()]
    assert found.pools[0].link_bandwidth == 300 * 10**9


def test_a_malformed_annotation_is_reported_and_ignored_alone() -> None:
    bad = {labels.GPU_LINK_BANDWIDTH: "450", labels.NET_KIND: "infiniband", labels.NET_BANDWIDTH_PER_GPU: "400Gb/s"}
    pool = inventory(h100_sxm_8("a", annotations=bad), h100_sxm_8("b", annotations=bad)).pools[0]
    assert pool.link_bandwidth == 450 * 10**9
    assert (pool.network, pool.network_bandwidth) == (NetworkKind.INFINIBAND, 50 * 10**9)
    assert [said for said in pool.assumptions if labels.GPU_LINK_BANDWIDTH in said and "ignored" in said]


def test_nodes_of_one_rack_share_an_nvlink_domain() -> None:
    pool = inventory(gb200_4("a"), gb200_4("b", clique="x.2"), a100_sxm_8("c")).pools[1]
    assert [node.nvlink_domain for node in pool.nodes] == ["a2221497-dbce-4964-8826-684c3694fd45.1", "x.2"]


def test_a_sick_gpu_leaves_islands_of_the_rest() -> None:
    islands = {labels.GPU_ISLANDS: "0-3,4-7", labels.GPU_LINK: "pcie-switch"}
    pool = inventory(h100_sxm_8("a", allocatable={"nvidia.com/gpu": "7"}, annotations=islands)).pools[0]
    assert pool.gpus_per_node == 7
    assert pool.islands == ((0, 1, 2, 3), (4, 5, 6))


def test_a_heartbeat_changes_nothing() -> None:
    before, after = h100_sxm_8("a"), h100_sxm_8("a")
    after["status"]["conditions"][1]["lastHeartbeatTime"] = "2026-11-21T11:00:00Z"
    after["metadata"] |= {"resourceVersion": "99", "managedFields": [{}]}
    after["metadata"]["labels"]["nvidia.com/gfd.timestamp"] = "1763722800"
    after["metadata"]["annotations"]["volumes.kubernetes.io/controller-managed-attach-detach"] = "true"
    after["status"]["images"] = [{"names": ["engine"]}]
    assert read_node(before) == read_node(after)
    assert hash(read_node(before)) == hash(read_node(after))


@pytest.mark.parametrize("gpus", ["8", 8, "8.0", "8e0"])
def test_quantities_of_every_form(gpus: object) -> None:
    made = h100_sxm_8("a")
    made["status"]["allocatable"]["nvidia.com/gpu"] = gpus
    assert free(inventory(made)) == {"a": 8}


def test_usage_can_be_built_by_hand() -> None:
    usage = PodUsage("ns/p", "a", (("nvidia.com/gpu", 5),))
    facts = read_node(h100_sxm_8("a"))
    assert isinstance(facts, NodeFacts)
    assert free(build_inventory([facts], usage=[usage])) == {"a": 3}


@pytest.mark.parametrize(
    ("marks", "product"),
    [
        ({"node.kubernetes.io/instance-type": "p5.48xlarge"}, "H100-SXM"),
        ({"node.kubernetes.io/instance-type": "p5en.48xlarge"}, "H200-SXM"),
        ({"node.kubernetes.io/instance-type": "Standard_NC96ads_A100_v4"}, "A100-80GB-PCIe"),
        ({"node.kubernetes.io/instance-type": "Standard_ND96asr_v4"}, "A100-SXM4-40GB"),
        ({"node.kubernetes.io/instance-type": "Standard_ND96amsr_A100_v4"}, "A100-SXM4-80GB"),
        ({"node.kubernetes.io/instance-type": "Standard_D8s_v5"}, None),
        ({"cloud.google.com/gke-accelerator": "nvidia-h100-mega-80gb"}, "H100-SXM"),
        ({"cloud.google.com/gke-accelerator": "nvidia-tesla-a100"}, "A100-SXM4-40GB"),
        ({"karpenter.k8s.aws/instance-gpu-name": "l40s", "karpenter.k8s.aws/instance-gpu-memory": "45776"}, "L40S"),
    ],
)
def test_before_feature_discovery_ran_clouds_name_the_gpus(marks: dict[str, str], product: str | None) -> None:
    found = read_node(node("n", labels=marks, allocatable={"nvidia.com/gpu": "8"}))
    if product is None:
        assert isinstance(found, SkippedNode)
        assert found.reason is Reason.DEVICES_WITHOUT_LABELS
        return
    assert isinstance(found, NodeFacts)
    assert found.traits.product.name == product
    assert any("is read from" in note for note in found.notes)


def test_a_virtual_function_and_an_unknown_name_with_a_known_device_id() -> None:
    for name in ("AMD_Instinct_MI300X_VF", "Some_Board"):
        found = read_node(mi300x_8("n", labels={"amd.com/gpu.product-name": name}))
        assert isinstance(found, NodeFacts)
        assert found.traits.product.name == "MI300X"


def test_every_instance_type_names_a_product_of_the_catalogue() -> None:
    for _, product in instances._INSTANCES:
        assert gpu_catalog().get(product), product
