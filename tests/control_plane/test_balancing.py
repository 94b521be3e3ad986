"""Where every pod of a group serves, clients find them all; and never a follower without an API, on the way there."""

from __future__ import annotations

import pytest

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.waiting import eventually

EXPERTS = "Qwen/Qwen3-30B-A3B"
HYBRID = {"tensor": 2, "pipeline": 1, "data": 4, "nodesPerReplica": 2}
STAGES = {"tensor": 4, "pipeline": 2, "data": 1, "nodesPerReplica": 2}


@pytest.fixture
def fleet(cluster: ControlPlane) -> ControlPlane:
    for name in ("h100-a", "h100-b"):
        cluster.add_gpu_node(name, "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})
    return cluster


def found_pods(cluster: ControlPlane, namespace: str, name: str) -> dict[str, str]:
    """Pods that the clients' Service sends requests to, by UID."""
    slices = cluster.kubectl.list("endpointslices", namespace, f"kubernetes.io/service-name={name}")
    ready = [one for piece in slices for one in piece.get("endpoints") or () if one["conditions"]["ready"]]
    return {one["targetRef"]["uid"]: one["targetRef"]["name"] for one in ready}


def silent_pods(cluster: ControlPlane, namespace: str, name: str) -> set[str]:
    """UIDs of followers without an API."""
    marks = [pod["metadata"] for pod in infd.pods(cluster, namespace, name).values()]
    return {
        mark["uid"]
        for mark in marks
        if mark["labels"]["apps.kubernetes.io/pod-index"] != "0" and "shardwright.io/endpoints" not in mark["labels"]
    }


def wait_found(cluster: ControlPlane, namespace: str, names: set[str], silent: int) -> None:
    """Until clients find just these pods while so many followers have no API; never one of those on the way."""

    def probe() -> bool:
        mute = silent_pods(cluster, namespace, "moe")
        found = found_pods(cluster, namespace, "moe")
        wrong = mute & set(found)
        if wrong:
            pytest.fail(f"clients were sent to followers without an API: {wrong}")
        return len(mute) == silent and set(found.values()) == names

    eventually(probe, within_seconds=90, what=f"clients find {sorted(names)}")


def test_clients_find_every_pod_that_serves_and_no_other(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(fleet, namespace, "moe", model=EXPERTS, replicas=2, layout=STAGES)
    wait_found(fleet, namespace, {"moe-0-0", "moe-1-0"}, silent=2)

    infd.apply(fleet, namespace, "moe", model=EXPERTS, replicas=2, layout=HYBRID)
    wait_found(fleet, namespace, {"moe-0-0", "moe-0-1", "moe-1-0", "moe-1-1"}, silent=0)
    found = infd.wait_available(fleet, namespace, "moe", 2)
    assert "each of 2 pods balances its own 2 data-parallel ranks (hybrid balancing)" in str(found["status"]["plan"])
    assert found["status"]["selector"].endswith("pod-index=0"), "replicas are counted by their leaders"

    infd.apply(fleet, namespace, "moe", model=EXPERTS, replicas=2, layout=STAGES)
    wait_found(fleet, namespace, {"moe-0-0", "moe-1-0"}, silent=2)
