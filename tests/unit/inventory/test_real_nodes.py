"""Every Node dump of the collection reads field by field as its index says a planner should read it."""

import json
from pathlib import Path
from typing import Any

import pytest

from shardwright.api.reasons import Reason
from shardwright.inventory import NodeFacts, SkippedNode, build_inventory, clouds, read_node, read_usage
from shardwright.inventory.hardware import Hardware, read_hardware
from support.node_dumps import nodes_from_dump

DATA = Path(__file__).parents[2] / "data" / "nodes"
ROWS = [json.loads(line) for line in (DATA / "index.jsonl").read_text().splitlines()]
NOT_IN_THE_TEXT = {"GB300 (from the log title)"}
NO_VENDOR_IN_THE_TEXT = {"nodes/11-oke-rdma-locality-labels.txt"}
"""Network labels only; OKE has RDMA hosts with AMD's GPUs and with none."""


def read(name: str) -> list[tuple[dict[str, Any], Hardware, dict[str, Any] | None]]:
    found = []
    for node, pod in nodes_from_dump((DATA / name).read_text()):
        listed = {key: value for key, value in node["status"]["allocatable"].items() if "/" in key}
        found.append((node, read_hardware(node["metadata"]["labels"], node["metadata"]["annotations"], listed), pod))
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: Path(row["file"]).stem)
def test_reads_as_its_index_says(row: dict[str, Any]) -> None:
    want = row["planner_should_read"]
    for node, hardware, pod in read(Path(row["file"]).name):
        if row["file"] not in NO_VENDOR_IN_THE_TEXT:
            assert str(hardware.vendor) == want["vendor"]
        check_product(want, hardware)
        if "akash" not in row["file"] or want["memory_mib"]:
            assert hardware.memory_mib == want["memory_mib"]
        assert hardware.label_count == want["label_count"]
        if want["allocatable"] is not None:
            assert dict(hardware.allocatable) == want["allocatable"]
        check_mig(want["mig"], hardware)
        check_sharing(want["shared"], hardware)
        assert hardware.clique == want["clique"]
        assert hardware.device_id == want.get("device_id")
        if "vgpu" in want:
            assert hardware.vgpu is want["vgpu"]
        if want["usable_for_multi_gpu_plan"] is not None:
            assert hardware.multi_gpu is want["usable_for_multi_gpu_plan"]
        check_locality(want["cloud_topology"], node)
        if "free_gpus" in want:
            check_free(want, node, pod)


def check_product(want: dict[str, Any], hardware: Hardware) -> None:
    if want["product"] is None:
        assert hardware.product_text is None or want.get("product_from", "").startswith(hardware.product_from)
    elif " in " in want["product"]:
        assert hardware.product_text in want["product"].split(" in ")[0].split(" / ")
    elif want["product"] not in NOT_IN_THE_TEXT:
        assert (hardware.product_text or "").removeprefix("NVIDIA-") == want["product"].partition(" (")[0].removeprefix(
            "NVIDIA-"
        )


def check_mig(want: dict[str, Any] | None, hardware: Hardware) -> None:
    if want is None or ("profile" not in want and "profiles" not in want and not hardware.mig):
        assert hardware.mig is None or want is not None
        return
    assert hardware.mig is not None
    assert hardware.mig.strategy == want["strategy"]
    if "profile" in want:
        assert hardware.mig.profile == want["profile"]
    for profile, facts in want.get("profiles", {}).items():
        assert dict(hardware.mig.profiles)[profile] == facts["count"]


def check_sharing(want: dict[str, Any] | str | None, hardware: Hardware) -> None:
    if isinstance(want, dict):
        assert hardware.sharing is not None
        assert (hardware.sharing.strategy, hardware.sharing.replicas) == (want["strategy"], want["replicas"])
    else:
        assert hardware.sharing is None


def check_locality(want: dict[str, Any] | str | None, node: dict[str, Any]) -> None:
    if not isinstance(want, dict):
        return
    labels = node["metadata"]["labels"]
    expected = want.get("layers") or [
        want[key] for key in ("hpc_island", "network_block", "local_block", "host") if key in want
    ]
    assert list(clouds.locality(labels)) == [value for value in expected if value in labels.values()]
    assert clouds.locality(labels)


def check_free(want: dict[str, Any], node: dict[str, Any], pod: dict[str, Any] | None) -> None:
    assert pod is not None
    facts, usage = read_node(node), read_usage(pod)
    assert isinstance(facts, NodeFacts)
    assert usage is not None
    assert usage.gpus == want["requested_gpus"]
    pools = build_inventory([facts], usage=[usage]).pools
    assert pools[0].nodes[0].free_gpus == want["free_gpus"]
    assert pools[0].product.name == "A100-SXM4-40GB"


VERDICTS = {
    "01": Reason.MIG_MIXED,
    "02": Reason.LABELS_WITHOUT_DEVICES,
    "03": "A100-SXM4-40GB",
    "04": "A100-SXM4-40GB-MIG-1g.5gb",
    "05": Reason.MIG_MIXED,
    "06": Reason.TIME_SHARED,
    "07": Reason.MIG_MIXED,
    "08": Reason.MIG_MIXED,
    "09": Reason.LABELS_WITHOUT_DEVICES,
    "10": Reason.LABELS_WITHOUT_DEVICES,
    "11": Reason.NO_GPU,
    "12": "A100-SXM4-40GB",
    "18": Reason.MIG_MIXED,
    "22": Reason.LABELS_WITHOUT_DEVICES,
    "23": Reason.MIG_MIXED,
    "27": "T4",
    "42": Reason.TIME_SHARED,
    "48": Reason.DEVICES_WITHOUT_LABELS,
    "49": Reason.MIG_MIXED,
}


@pytest.mark.parametrize(("number", "verdict"), VERDICTS.items())
def test_node_is_planned_or_refused_with_its_reason(number: str, verdict: object) -> None:
    name = next(row["file"] for row in ROWS if row["file"].startswith(f"nodes/{number}-"))
    for node, _, _ in read(Path(name).name):
        found = read_node(node)
        assert (found.reason if isinstance(found, SkippedNode) else found.traits.product.name) == verdict
