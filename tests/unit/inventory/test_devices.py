"""GPUs that ResourceSlices offer: what a node is then, what claims take of it, and how pods of ours ask."""

from dataclasses import replace

import pytest

from shardwright.api.reasons import Reason
from shardwright.catalog.types import LinkKind
from shardwright.cluster.devices import DeviceBook
from shardwright.inventory import NodeFacts, build_inventory, read_node, read_usage
from shardwright.inventory.slices import PCIE_ROOT, read_claim, read_slice
from shardwright.plan.choose import choose
from support import planning
from support.devices import claim, resource_slice
from support.nodes import node, nvidia_labels

ODD = {"driver": "gpu.nvidia.com", "nodeName": "a", "devices": [7, {}], "allocation": {"devices": {"results": [7]}}}
H100, L40S = "NVIDIA H100 80GB HBM3", "NVIDIA L40S"


def book_of(*slices):
    book = DeviceBook()
    for one in slices:
        book.put_slice(one["metadata"]["name"], read_slice(one))
    return book


def facts(*slices, labels=None, allocatable=None):
    read = read_node(node("a", labels=labels, allocatable=allocatable), book_of(*slices).offered("a"))
    assert isinstance(read, NodeFacts), read
    return read


def test_a_node_without_any_gpu_label_is_what_its_slice_says():
    found = facts(resource_slice("a", H100, "81559Mi", 8))
    assert (found.traits.product.name, found.traits.gpu_resource, found.node.gpus) == ("H100-SXM", "gpu.nvidia.com", 8)
    assert found.traits.link is LinkKind.NVSWITCH
    assert found.traits.claim is not None
    assert found.traits.claim.selectors == (
        'device.attributes["gpu.nvidia.com"].type == "gpu"',
        'device.attributes["gpu.nvidia.com"].productName == "NVIDIA H100 80GB HBM3"',
        'device.capacity["gpu.nvidia.com"].memory.compareTo(quantity("81559Mi")) >= 0',
    )
    assert found.traits.claim.same == ""


@pytest.mark.parametrize(
    ("driver", "product", "memory", "name"),
    [("gpu.amd.com", "AMD_Instinct_MI300X_OAM", "192Gi", "MI300X"), ("gpu.intel.com", "Max 1550", "128Gi", "Max-1550")],
)
def test_other_drivers_are_rows(driver, product, memory, name):
    found = facts(resource_slice("a", product, memory, 8, driver=driver))
    assert (found.traits.product.name, found.traits.gpu_resource) == (name, driver)


def test_where_a_device_plugin_offers_them_too_they_count_once():
    labels, plugin = nvidia_labels("NVIDIA-H100-80GB-HBM3", 81559, 8), {"nvidia.com/gpu": "8"}
    found = facts(resource_slice("a", H100, "81559Mi", 8), labels=labels, allocatable=plugin)
    assert (found.traits.gpu_resource, found.node.gpus, found.traits.claim) == ("nvidia.com/gpu", 8, None)
    assert "ResourceSlices offer its GPUs too; pods ask for nvidia.com/gpu, and they count once" in found.notes


def test_islands_are_what_hangs_under_one_pcie_root():
    found = facts(resource_slice("a", L40S, "46068Mi", 4, roots=["pci0000:00", "pci0000:80"] * 2))
    assert found.traits.islands == ((0, 2), (1, 3))
    assert found.traits.link is LinkKind.PCIE_SWITCH
    assert found.traits.claim and found.traits.claim.same == PCIE_ROOT
    alone = facts(resource_slice("a", L40S, "46068Mi", 4, roots=["a", "b", "c", "d"]))
    assert alone.traits.claim and alone.traits.claim.same == ""


def test_parts_of_gpus_alone_are_no_pool():
    read = read_node(node("a"), book_of(resource_slice("a", H100, "20Gi", 4, kind="mig")).offered("a"))
    assert read.reason is Reason.MIG_MIXED


def test_a_device_with_a_taint_is_left_out():
    tainted = resource_slice("a", H100, "81559Mi", 8)
    tainted["spec"]["devices"][3]["taints"] = [{"key": "sick", "effect": "NoSchedule"}]
    assert facts(tainted).node.gpus == 7


def test_claims_hold_gpus_and_so_do_parts_of_them():
    whole = resource_slice("a", H100, "81559Mi", 8)
    part = dict(whole["spec"]["devices"][5], name="mig-5")
    part["attributes"] = {"type": {"string": "mig"}, "parentUUID": part["attributes"]["uuid"]}
    whole["spec"]["devices"].append(part)
    book = book_of(whole)
    assert book.put_claim(("x", "one"), read_claim(claim("one", "a", "gpu-0", "gpu-1"))) == ("a",)
    book.put_claim(("x", "two"), read_claim(claim("two", "a", "mig-5")))
    assert book.claimed_on("a") == {"gpu.nvidia.com": 3}
    book.put_claim(("x", "one"), ())
    assert book.claimed_on("a") == {"gpu.nvidia.com": 1}
    admin = claim("three", "a", "gpu-7")
    admin["status"]["allocation"]["devices"]["results"][0]["adminAccess"] = True
    assert read_claim(admin) == ()
    ours = {"app.kubernetes.io/managed-by": "shardwright", "shardwright.io/deployment": "mine"}
    assert read_claim(claim("four", "a", "gpu-7", labels=ours)) == ()


def test_of_two_generations_the_newer_counts():
    older = resource_slice("a", H100, "81559Mi", 8, generation=1, name="older")
    newer = resource_slice("a", H100, "81559Mi", 6, generation=2, name="newer")
    assert len(book_of(older, newer).offered("a")) == 6


def test_pods_of_ours_say_what_they_claim():
    pod = {
        "metadata": {
            "name": "p", "namespace": "x", "labels": {"shardwright.io/deployment": "d", "shardwright.io/replica": "0"},
            "annotations": {"shardwright.io/claimed-gpus": "gpu.nvidia.com=4"},
        },
        "spec": {"nodeName": "a", "containers": [{"name": "engine"}]},
    }  # fmt: skip
    usage = read_usage(pod)
    assert usage and usage.devices == (("gpu.nvidia.com", 4),)
    del pod["metadata"]["labels"]["shardwright.io/deployment"]
    assert read_usage(pod) is None


def test_the_plan_keeps_tensor_groups_under_one_root_or_does_not_ask_for_it():
    roots = [f"pci0000:{index // 2:02d}" for index in range(8)]
    inventory = build_inventory([facts(resource_slice("a", L40S, "46068Mi", 8, roots=roots))])
    pins = planning.LayoutPins(tensor=2, pipeline=1)
    (inside,) = choose(planning.request(pins=pins, replicas=2), inventory).placements
    assert inside.claim and inside.claim.same == PCIE_ROOT
    across = choose(planning.request(pins=replace(pins, tensor=8), replicas=1), inventory)
    assert across.placements[0].claim and across.placements[0].claim.same == ""


@pytest.mark.parametrize("broken", [{}, {"spec": None}, {"spec": ODD}, {"status": ODD}])
def test_nonsense_is_read_without_an_error(broken):
    read_slice(broken)
    read_claim(broken)
