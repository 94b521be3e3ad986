"""A better layout that became possible: named while the running one is kept, taken where the user asked for that."""

from __future__ import annotations

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.waiting import eventually, steadily

SLOW_LOOK = {"SHARDWRIGHT_RESYNC_SECONDS": "3"}


def test_a_better_layout_is_named_and_what_runs_is_kept(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    cluster.add_gpu_node("l40s-a", "l40s")
    start_operator(**SLOW_LOOK)
    infd.apply(cluster, namespace, "small", replicas=1)
    infd.wait_available(cluster, namespace, "small", 1)
    pod = infd.pods(cluster, namespace, "small")["small-0-0"]["metadata"]["uid"]
    infd.wait_for(cluster, namespace, "small", "LayoutOptimal")
    cluster.add_gpu_node("h100-a", "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})
    found = infd.wait_for(cluster, namespace, "small", "LayoutOptimal", "False")
    verdict = infd.condition(found, "LayoutOptimal")
    assert verdict["reason"] == "BetterLayoutKnown"
    assert "H100" in verdict["message"]
    steadily(
        lambda: infd.pods(cluster, namespace, "small")["small-0-0"]["metadata"]["uid"] == pod,
        for_seconds=5,
        what="the running replica is kept",
    )
    cluster.remove_node("h100-a")
    infd.wait_for(cluster, namespace, "small", "LayoutOptimal")


def test_a_better_layout_is_taken_where_the_user_asked_for_it(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    cluster.add_gpu_node("l40s-a", "l40s")
    start_operator(**SLOW_LOOK)
    infd.apply(cluster, namespace, "small", replicas=2, rollout={"replan": "Always"})
    infd.wait_available(cluster, namespace, "small", 2)
    cluster.add_gpu_node("h100-a", "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})

    def on_the_better_ones() -> bool:
        pods = infd.pods(cluster, namespace, "small")
        assert any(pod["metadata"].get("deletionTimestamp") is None for pod in pods.values()), "one stays at all times"
        return [pod["spec"].get("nodeName") for pod in pods.values()] == ["h100-a", "h100-a"]

    eventually(on_the_better_ones, what="both replicas run on the better GPUs", within_seconds=60)
    infd.wait_available(cluster, namespace, "small", 2)
    found = infd.wait_for(cluster, namespace, "small", "LayoutOptimal")
    assert found["status"]["gpu"] == "H100-SXM"


def test_a_changed_wish_for_other_gpus_moves_what_runs_one_by_one(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    cluster.add_gpu_node("l40s-a", "l40s")
    cluster.add_gpu_node("h100-a", "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})
    start_operator()
    infd.apply(cluster, namespace, "small", replicas=2, placement={"gpuProducts": ["L40S"]})
    infd.wait_available(cluster, namespace, "small", 2)
    cluster.kubectl.patch(infd.KIND, "small", {"spec": {"placement": {"gpuProducts": ["H100-SXM"]}}}, namespace)

    def moved() -> bool:
        pods = infd.pods(cluster, namespace, "small").values()
        assert any(pod["metadata"].get("deletionTimestamp") is None for pod in pods), "one stays at all times"
        return [pod["spec"].get("nodeName") for pod in pods] == ["h100-a", "h100-a"]

    eventually(moved, what="both replicas run where they may", within_seconds=60)
    infd.wait_available(cluster, namespace, "small", 2)
