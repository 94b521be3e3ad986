"""Nodes that are to be emptied: what runs there goes elsewhere by itself, serves on where it cannot, never blocks."""

from __future__ import annotations

from typing import Any

import pytest

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.kubectl import Object
from support.waiting import eventually, steadily

NVSWITCH = {"shardwright.io/gpu-link": "nvswitch"}
PAIR: dict[str, Any] = {"model": infd.LARGE, "layout": {"tensor": 8, "pipeline": 2}}
"""A replica of two pods with eight GPUs each."""
HALF: dict[str, Any] = {"model": infd.LARGE, "layout": {"tensor": 4, "pipeline": 1}}
"""A replica of one pod with four GPUs."""


def add_nodes(cluster: ControlPlane, *names: str) -> None:
    for name in names:
        cluster.add_gpu_node(name, "h100", annotations=NVSWITCH)


def drain(cluster: ControlPlane, node: str, timeout_seconds: int = 60) -> None:
    """As administrators do it; raises where it does not come to an end."""
    flags = ("--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={timeout_seconds}s")
    cluster.kubectl.run("drain", node, *flags, timeout_seconds=timeout_seconds + 10)


def pods_on(cluster: ControlPlane, node: str) -> list[str]:
    every = cluster.kubectl.list("pods", None)
    return [pod["metadata"]["name"] for pod in every if pod["spec"].get("nodeName") == node]


def stands_on(cluster: ControlPlane, namespace: str, name: str, replica: int, *nodes: str) -> Object:
    def probe() -> Object:
        found = infd.wait_available(cluster, namespace, name, within_seconds=0.1)
        assert sorted(infd.nodes_of(found)[replica]) == list(nodes), found["status"]["replicaStates"]
        return found

    return eventually(probe, within_seconds=60, what=f"replica {replica} runs on {nodes}")


def told(cluster: ControlPlane, namespace: str, reason: str) -> list[str]:
    return [event["message"] for event in cluster.kubectl.list("events", namespace) if event["reason"] == reason]


@pytest.mark.parametrize("how", ["cordon", "karpenter.sh/disrupted", "ToBeDeletedByClusterAutoscaler"])
def test_a_group_moves_as_a_whole_where_there_is_room(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator, how: str
) -> None:
    add_nodes(cluster, "h100-a", "h100-b")
    start_operator()
    infd.apply(cluster, namespace, "pair", replicas=1, **PAIR)
    stands_on(cluster, namespace, "pair", 0, "h100-a", "h100-b")
    add_nodes(cluster, "h100-c")
    if how == "cordon":
        cluster.kubectl.run("cordon", "h100-b")
    else:
        cluster.kubectl.run("taint", "node", "h100-b", f"{how}=:NoSchedule")
    found = stands_on(cluster, namespace, "pair", 0, "h100-a", "h100-c")
    assert found["status"]["replicaStates"][0]["incarnation"] == 1
    why = "is cordoned" if how == "cordon" else "is about to go"
    said = f"node h100-b {why}: replica 0 moves to h100-a, h100-c"
    eventually(lambda: told(cluster, namespace, "NodeDraining") == [said], what="one Event tells of it")
    drain(cluster, "h100-b")
    assert pods_on(cluster, "h100-b") == []
    live = infd.owned(cluster, namespace, "pair")[("StatefulSet", "pair-0")]
    assert "shardwright.io/restart-count" not in live["metadata"]["annotations"], "moving is no restart"
    assert infd.owned(cluster, namespace, "pair")[("PodDisruptionBudget", "pair-0")]["spec"]["maxUnavailable"] == 0


def test_without_room_a_cordon_stops_nothing_and_a_drain_still_ends(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    add_nodes(cluster, "h100-a", "h100-b")
    start_operator()
    infd.apply(cluster, namespace, "pair", replicas=1, **PAIR)
    stands_on(cluster, namespace, "pair", 0, "h100-a", "h100-b")
    before = set(infd.pods(cluster, namespace, "pair"))
    uids = {pod["metadata"]["uid"] for pod in infd.pods(cluster, namespace, "pair").values()}
    cluster.kubectl.run("cordon", "h100-b")
    found = infd.wait_for(cluster, namespace, "pair", "Degraded", "True", "NodeDraining")
    said = infd.condition(found, "Degraded")["message"]
    assert (
        "node h100-b is cordoned and no other has room for replica 0: it serves on until its pods are evicted" in said
    )
    steadily(lambda: infd.get(cluster, namespace, "pair")["status"]["readyReplicas"] == 1, for_seconds=3)
    assert {pod["metadata"]["uid"] for pod in infd.pods(cluster, namespace, "pair").values()} == uids
    assert set(infd.pods(cluster, namespace, "pair")) == before
    drain(cluster, "h100-b")
    assert pods_on(cluster, "h100-b") == []
    eventually(lambda: not infd.pods(cluster, namespace, "pair"), what="the rest of the group has followed")
    found = infd.wait_for(cluster, namespace, "pair", "Degraded", "True", "NodeDraining")
    assert "node h100-b is cordoned and no other has room" in infd.condition(found, "Degraded")["message"]
    cluster.kubectl.run("uncordon", "h100-b")
    stands_on(cluster, namespace, "pair", 0, "h100-a", "h100-b")


def test_it_moves_as_soon_as_there_is_room_and_stays_when_the_cordon_goes(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    add_nodes(cluster, "h100-a", "h100-b")
    start_operator()
    infd.apply(cluster, namespace, "pair", replicas=1, **PAIR)
    stands_on(cluster, namespace, "pair", 0, "h100-a", "h100-b")
    cluster.kubectl.run("cordon", "h100-a")
    infd.wait_for(cluster, namespace, "pair", "Degraded", "True", "NodeDraining")
    cluster.kubectl.run("uncordon", "h100-a")
    infd.wait_for(cluster, namespace, "pair", "Degraded", "False")
    assert infd.get(cluster, namespace, "pair")["status"]["replicaStates"][0]["incarnation"] == 0
    cluster.kubectl.run("cordon", "h100-a")
    infd.wait_for(cluster, namespace, "pair", "Degraded", "True", "NodeDraining")
    add_nodes(cluster, "h100-c")
    stands_on(cluster, namespace, "pair", 0, "h100-b", "h100-c")


def test_single_pods_without_room_are_drained_one_after_the_other(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    add_nodes(cluster, "h100-a")
    start_operator()
    infd.apply(cluster, namespace, "halves", replicas=2, **HALF)
    infd.wait_available(cluster, namespace, "halves", 2)
    drain(cluster, "h100-a")
    assert pods_on(cluster, "h100-a") == []
    infd.wait_for(cluster, namespace, "halves", "Degraded", "True", "NodeDraining")
    assert infd.get(cluster, namespace, "halves")["status"]["readyReplicas"] == 0
    add_nodes(cluster, "h100-b")
    infd.wait_available(cluster, namespace, "halves", 2)


def test_replicas_leave_one_at_a_time(cluster: ControlPlane, namespace: str, start_operator: StartOperator) -> None:
    """Three nodes are emptied at once; a replica goes only when all that went before it are ready again."""
    add_nodes(cluster, "h100-a", "h100-b", "h100-c")
    start_operator()
    whole = {"model": infd.LARGE, "layout": {"tensor": 8, "pipeline": 1}}
    infd.apply(cluster, namespace, "wholes", replicas=3, rollout={"maxUnavailable": 1}, **whole)
    infd.wait_available(cluster, namespace, "wholes", 3)
    add_nodes(cluster, "h100-d", "h100-e", "h100-f")
    cluster.kubectl.run("cordon", "h100-a", "h100-b", "h100-c")
    fewest = 3

    def moved() -> bool:
        nonlocal fewest
        found = infd.get(cluster, namespace, "wholes")
        fewest = min(fewest, found["status"]["readyReplicas"])
        where = {node for nodes in infd.nodes_of(found).values() for node in nodes}
        return where == {"h100-d", "h100-e", "h100-f"} and found["status"]["readyReplicas"] == 3

    eventually(moved, within_seconds=60, every_seconds=0.05)
    assert fewest >= 2
    for node in ("h100-a", "h100-b", "h100-c"):
        drain(cluster, node)
