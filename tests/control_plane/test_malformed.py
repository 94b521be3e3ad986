"""Specs and nodes that make no sense: each is named, nothing spins, the healthy neighbours are not touched.

What the API server refuses at apply is in test_crd.py.
"""

from __future__ import annotations

import time
from typing import Any

from support import deployments as infd
from support import malformed
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.proxy import CountingProxy
from support.waiting import eventually

NVSWITCH = {"shardwright.io/gpu-link": "nvswitch"}
MOST_CALLS_A_MINUTE = 60
"""Watches that are renewed and lists of the resync; a hot loop makes thousands."""

NODES: dict[str, dict[str, Any]] = {
    "bandwidth-in-words": {"annotations": {"shardwright.io/gpu-link-bandwidth": "quick"}},
    "memory-zero": {"labels": {"nvidia.com/gpu.memory": "0", "nvidia.com/gpu.product": "Nothing-9000"}},
    "product-nobody-knows": {"labels": {"nvidia.com/gpu.product": "Zzyzx-9", "nvidia.com/gpu.memory": None}},
    "product-nobody-knows-2": {"labels": {"nvidia.com/gpu.product": "X", "nvidia.com/gpu.memory": None}},
    "no-product": {"labels": dict.fromkeys(("nvidia.com/gpu.product", "nvidia.com/gpu.memory"))},
    "labels-without-devices": {"gpus": 0},
    "mig-mixed": {
        "labels": {"nvidia.com/mig.strategy": "mixed", "nvidia.com/mig-1g.10gb.count": "7"},
        "resource": "nvidia.com/mig-1g.10gb",
    },
    "devices-without-labels": {"product": ""},
    "link-nobody-knows": {"annotations": {"shardwright.io/gpu-link": "string-and-two-cans"}},
    "bandwidth-without-unit": {"annotations": {"shardwright.io/gpu-link-bandwidth": "450"}},
    "bandwidth-negative": {"annotations": {"shardwright.io/gpu-link-bandwidth": "-1GB/s"}},
    "islands-overlap": {"annotations": {"shardwright.io/gpu-islands": "0-3,3-7"}},
    "islands-too-many": {"annotations": {"shardwright.io/gpu-islands": "0-31"}},
    "islands-garbage": {"annotations": {"shardwright.io/gpu-islands": "((0,1"}},
    "islands-words": {"annotations": {"shardwright.io/gpu-islands": "left,right"}},
    "cross-bandwidth-garbage": {"annotations": {"shardwright.io/cross-island-bandwidth": "fast"}},
    "nics-garbage": {"annotations": {"shardwright.io/gpu-nics": "0-3:mlx5_0"}},
    "net-kind-nobody-knows": {"annotations": {"shardwright.io/net-kind": "pigeon"}},
    "net-bandwidth-bare": {"annotations": {"shardwright.io/net-bandwidth-per-gpu": "200"}},
    "net-bandwidth-words": {"annotations": {"shardwright.io/net-bandwidth-per-gpu": "200 somethings"}},
}  # fmt: skip


def test_conditions_name_field_and_reason_and_nothing_spins(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator, proxy: CountingProxy
) -> None:
    cluster.add_gpu_node("h100-a", "h100", annotations=NVSWITCH)
    start_operator(through=proxy)
    infd.apply(cluster, namespace, "healthy", replicas=1)
    infd.wait_available(cluster, namespace, "healthy", 1)
    untouched = infd.owned(cluster, namespace, "healthy")
    cases = malformed.become_conditions()
    assert len(cases) >= 10
    for case in cases:
        document = case.manifest
        document["metadata"]["namespace"] = namespace
        cluster.kubectl.apply(document)
    for case in cases:
        said, _, reason = case.condition.partition(" ")
        kind, _, status = said.partition("=")
        found = infd.wait_for(cluster, namespace, case.manifest["metadata"]["name"], kind, status, reason)
        assert case.field in infd.condition(found, kind)["message"], case.name
    time.sleep(3)
    calls, writes = len(proxy.calls), len(proxy.writes())
    time.sleep(20)
    made, wrote = len(proxy.calls) - calls, len(proxy.writes(writes))
    print(f"with {len(cases)} malformed deployments: {made * 3} API calls a minute, {wrote * 3} of them writes")
    assert wrote == 0
    assert made * 3 <= MOST_CALLS_A_MINUTE
    assert infd.owned(cluster, namespace, "healthy") == untouched


def test_malformed_nodes_are_named_and_the_healthy_one_is_used(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator, proxy: CountingProxy
) -> None:
    assert len(NODES) >= 20
    cluster.add_gpu_node("healthy-node", "l40s", gpus=4)
    start_operator(through=proxy)
    infd.apply(cluster, namespace, "healthy", replicas=1, placement={"gpuProducts": ["L40S"]})
    infd.wait_available(cluster, namespace, "healthy", 1)
    untouched = infd.owned(cluster, namespace, "healthy")
    for name, what in NODES.items():
        cluster.add_gpu_node(name, **{"product": "h100", "gpus": 8, **what})
    infd.apply(cluster, namespace, "asks", replicas=1, placement={"gpuProducts": ["H100-SXM"]})

    def unnamed() -> set[str]:
        events = cluster.kubectl.list("events", "default")
        named = {
            event["involvedObject"]["name"] for event in events if event["source"].get("component") == "shardwright"
        }
        return set(NODES) - named

    eventually(lambda: not unnamed(), what="every malformed node has an Event that says why")
    infd.wait_for(cluster, namespace, "asks", "Planned")
    time.sleep(3)
    calls, writes = len(proxy.calls), len(proxy.writes())
    time.sleep(15)
    print(f"with {len(NODES)} malformed nodes: {(len(proxy.calls) - calls) * 4} API calls a minute")
    assert proxy.writes(writes) == []
    assert (len(proxy.calls) - calls) * 4 <= MOST_CALLS_A_MINUTE
    assert infd.owned(cluster, namespace, "healthy") == untouched
