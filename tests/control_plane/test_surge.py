"""A rollout with replicas beyond the wanted number: nobody is missed while it goes on, and none is left after it."""

from __future__ import annotations

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.waiting import eventually, steadily

NEVER_FEWER = {"maxUnavailable": 0, "maxSurge": 1}
CHANGE = {"spec": {"engine": {"args": {"max-num-seqs": "64"}}}}


def ready(cluster: ControlPlane, namespace: str) -> set[str]:
    """Pods that serve."""
    return {
        name
        for name, pod in infd.pods(cluster, namespace, "small").items()
        if not pod["metadata"].get("deletionTimestamp")
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
    }


def is_new(cluster: ControlPlane, namespace: str) -> bool:
    """Whether the wanted replicas alone exist, all of the new version."""
    pods = infd.pods(cluster, namespace, "small")
    words = [" ".join(pod["spec"]["containers"][0].get("args") or ()) for pod in pods.values()]
    return set(pods) == {"small-0-0", "small-1-0"} and all("--max-num-seqs=64" in line for line in words)


def test_with_surge_nobody_is_missed(cluster: ControlPlane, namespace: str, start_operator: StartOperator) -> None:
    cluster.add_gpu_node("h100-a", "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})
    start_operator()
    infd.apply(cluster, namespace, "small", replicas=2, rollout=NEVER_FEWER)
    infd.wait_available(cluster, namespace, "small", 2)
    cluster.kubectl.patch(infd.KIND, "small", CHANGE, namespace)
    seen: set[str] = set()

    def rolled() -> bool:
        now = ready(cluster, namespace)
        if len(now) < 2:
            raise RuntimeError(f"only {now} serve")
        seen.update(now)
        return is_new(cluster, namespace)

    eventually(rolled, what="both run the new version and the third is gone", within_seconds=60)
    assert "small-2-0" in seen, "a third one served meanwhile"
    found = infd.wait_available(cluster, namespace, "small", 2)
    assert len(found["status"]["replicaStates"]) == 2


def test_without_room_for_a_surge_the_rollout_waits_and_says_so(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    cluster.add_gpu_node("h100-a", "h100", gpus=2, annotations={"shardwright.io/gpu-link": "nvswitch"})
    start_operator()
    infd.apply(cluster, namespace, "small", replicas=2, rollout=NEVER_FEWER)
    infd.wait_available(cluster, namespace, "small", 2)
    cluster.kubectl.patch(infd.KIND, "small", CHANGE, namespace)

    def says_so() -> bool:
        return "no free GPUs" in infd.condition(infd.get(cluster, namespace, "small"), "Progressing")["message"]

    eventually(says_so, what="the rollout says what it waits for")
    steadily(lambda: len(ready(cluster, namespace)) == 2, for_seconds=3, what="both go on serving")
    cluster.add_gpu_node("h100-b", "h100", gpus=2, annotations={"shardwright.io/gpu-link": "nvswitch"})
    eventually(lambda: is_new(cluster, namespace), what="it rolls once there is room", within_seconds=60)
