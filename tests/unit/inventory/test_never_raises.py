"""Whatever a Node or a Pod holds, reading it gives facts or a reason."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shardwright.api import labels
from shardwright.api.reasons import Reason
from shardwright.inventory import NodeFacts, PodUsage, SkippedNode, build_inventory, read_node, read_usage
from support.nodes import gb200_4, h100_sxm_8, mi300x_8, nvidia_node, pod

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(
        ["8", "-1", "1e999", "0", "16Gi", "0-3,4-7", "450GB/s", "NVIDIA-L40S", "Tesla-T4-SHARED", "true", "192G"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)
KEYS = [
    "nvidia.com/gpu.product",
    "nvidia.com/gpu.memory",
    "nvidia.com/gpu.count",
    "nvidia.com/gpu.replicas",
    "nvidia.com/mig.config",
    "nvidia.com/mig-1g.10gb.count",
    "nvidia.com/gpu.compute.major",
    "amd.com/gpu.vram",
    "amd.com/gpu.product-name",
    "beta.amd.com/gpu.device-id.74a1",
    "gpu.intel.com/product",
    "hami.io/node-nvidia-register",
    "nvidia.com/gpu",
    "amd.com/gpu",
    "gpu.intel.com/xe",
    "vpc.amazonaws.com/efa",
    "karpenter.k8s.aws/instance-gpu-name",
    labels.GPU_LINK,
    labels.GPU_ISLANDS,
    labels.GPU_LINK_BANDWIDTH,
    labels.GPU_NICS,
    labels.NET_KIND,
    labels.NVLINK_DOMAIN,
]
BASES = [h100_sxm_8("a"), mi300x_8("b"), gb200_4("c"), nvidia_node("d", "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", 9984, 7)]
PLACES = [
    ("metadata", "labels"),
    ("metadata", "annotations"),
    ("status", "allocatable"),
    ("spec", "taints"),
    ("status", "conditions"),
    ("metadata", "name"),
    ("metadata", "deletionTimestamp"),
    ("spec", "unschedulable"),
    ("metadata",),
    ("spec",),
    ("status",),
]


@st.composite
def mutated(draw: st.DrawFn, bases: list[dict[str, Any]]) -> dict[str, Any]:
    made = copy.deepcopy(draw(st.sampled_from(bases)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.sampled_from(PLACES))
        target: Any = made
        for step in place[:-1]:
            target = target.get(step) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            continue
        inner = target.get(place[-1])
        if isinstance(inner, dict) and draw(st.booleans()):
            inner[draw(st.sampled_from(KEYS))] = draw(JUNK)
        else:
            target[place[-1]] = draw(JUNK)
    return made


def check(found: NodeFacts | SkippedNode) -> None:
    hash(found)
    if isinstance(found, SkippedNode):
        assert isinstance(found.reason, Reason)
        assert found.message
        return
    traits = found.traits
    assert found.node.gpus == traits.gpus_per_node > 0
    assert sorted(gpu for island in traits.islands for gpu in island) == list(range(traits.gpus_per_node))
    assert traits.memory_bytes > 0
    assert min(traits.link_bandwidth, traits.cross_island_bandwidth, traits.network_bandwidth) >= 0
    pool = build_inventory([found]).pools[0]
    assert pool.nodes == (found.node,)


@settings(max_examples=400, deadline=None)
@given(mutated(BASES))
def test_mutated_nodes(node: dict[str, Any]) -> None:
    check(read_node(node))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status", "x"]), JUNK))
def test_anything_at_all(node: dict[str, Any]) -> None:
    check(read_node(node))


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(KEYS), st.text(max_size=40) | st.sampled_from(["8", "16384", "NVIDIA-H100-NVL", "74a1"])
    ),
    st.dictionaries(st.sampled_from(KEYS), st.integers(-5, 5000) | st.text(max_size=8)),
)
def test_any_labels_with_any_devices(marks: dict[str, str], devices: dict[str, object]) -> None:
    check(
        read_node(
            {"metadata": {"name": "n", "labels": marks, "annotations": marks}, "status": {"allocatable": devices}}
        )
    )


@settings(max_examples=200, deadline=None)
@given(
    mutated([pod("p", "n1", 4), pod("q", "n2", 1, labels={labels.DEPLOYMENT: "d", labels.REPLICA: "0"})]), JUNK, JUNK
)
def test_mutated_pods(made: dict[str, Any], containers: object, requests: object) -> None:
    if isinstance(made.get("spec"), dict):
        made["spec"] |= {
            "containers": containers,
            "initContainers": [{"resources": {"requests": requests}}, {"resources": requests}],
        }
    found = read_usage(made)
    assert found is None or (isinstance(found, PodUsage) and found.gpus > 0)
    build_inventory([], usage=[found] if found else [])
