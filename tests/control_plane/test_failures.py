"""How containers end, all the way from a pod's status to condition, Event and annotation, and to a new start.

kwok runs the pods, so that their ends can be written into their statuses; the words are those that engines print.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.kubectl import KubectlError, Object
from support.waiting import eventually

NVSWITCH = {"shardwright.io/gpu-link": "nvswitch"}
OUT_OF_MEMORY = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.16 GiB.\nRuntimeError: See root cause above."
)
GROUP = {"model": infd.LARGE, "replicas": 1, "layout": {"nodesPerReplica": 2}}
TRY_AGAIN = "shardwright.io/try-again"


@pytest.fixture
def fleet(cluster: ControlPlane) -> ControlPlane:
    for name in ("h100-a", "h100-b"):
        cluster.add_gpu_node(name, "h100", annotations=NVSWITCH)
    return cluster


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def end(
    fleet: ControlPlane, namespace: str, pod: str, message: str, *, code: int = 1, at: str = "", times: int = 1
) -> None:
    """Write into a pod's status that its engine ended and waits to be restarted by kubelet."""
    ended = {
        "exitCode": code, "reason": "Error", "message": message, "startedAt": ago(60), "finishedAt": at or ago(0),
    }  # fmt: skip
    container = {
        "name": "engine", "image": "x", "imageID": "x", "ready": False, "restartCount": times - 1,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended},
    }  # fmt: skip
    conditions = [
        {"type": kind, "status": "False", "lastTransitionTime": ago(300)} for kind in ("Ready", "ContainersReady")
    ]
    status = {"phase": "Running", "conditions": conditions, "containerStatuses": [container]}
    fleet.kubectl.patch("pod", pod, {"status": status}, namespace, subresource="status")


def events(fleet: ControlPlane, namespace: str, name: str) -> dict[str, str]:
    found = fleet.kubectl.list("events", namespace)
    return {item["reason"]: item["message"] for item in found if item["involvedObject"]["name"] == name}


def notes_of(fleet: ControlPlane, namespace: str, name: str) -> Object:
    return (fleet.kubectl.get("statefulset", f"{name}-0", namespace) or {})["metadata"]["annotations"]


def test_the_first_pod_to_break_is_named_though_another_speaks_first(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    """The other's clock is four seconds ahead, which leaves a slow machine as much more to speak."""
    start_operator()
    infd.apply(fleet, namespace, "group", **GROUP)
    infd.wait_available(fleet, namespace, "group", 1)
    end(fleet, namespace, "group-0-0", "RuntimeError: Connection reset by peer", at=ago(-4))
    end(fleet, namespace, "group-0-1", OUT_OF_MEMORY, at=ago(2))
    culprit = eventually(
        lambda: notes_of(fleet, namespace, "group").get("shardwright.io/restart-culprit"), what="the restart is noted"
    )
    assert culprit.startswith("GpuOutOfMemory: pod group-0-1 on h100-")
    assert "CUDA out of memory. Tried to allocate 1.16 GiB" in culprit
    assert "the forecast was: weights" in culprit
    found = infd.wait_available(fleet, namespace, "group", 1)
    assert found["status"]["replicaStates"][0]["incarnation"] == 1
    told = eventually(lambda: events(fleet, namespace, "group").get("GpuOutOfMemory"), what="an Event names it")
    assert "group-0-1" in told
    assert "PeerLost" not in events(fleet, namespace, "group")


def test_a_group_that_is_given_up_says_so_survives_the_operator_and_begins_afresh_with_a_new_spec(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    infd.apply(fleet, namespace, "group", **GROUP, restart={"budget": 0})
    infd.wait_available(fleet, namespace, "group", 1)
    end(fleet, namespace, "group-0-1", "RuntimeError: CUDA error: uncorrectable ECC error encountered")
    found = infd.wait_for(fleet, namespace, "group", "Degraded", "True", "RestartBudgetSpent")
    assert found["status"]["state"].startswith("Failed: RestartBudgetSpent: replica 0: given up")
    assert "GpuLost: pod group-0-1" in infd.condition(found, "Degraded")["message"]
    assert infd.condition(found, "Available")["status"] == "False"
    before = {name: pod["metadata"]["uid"] for name, pod in infd.pods(fleet, namespace, "group").items()}
    operator.kill()
    end(fleet, namespace, "group-0-1", "RuntimeError: Connection reset by peer", times=3)
    start_operator()
    fleet.kubectl.run("wait", "--for=condition=Degraded", f"{infd.KIND}/group", "-n", namespace, "--timeout=20s")
    found = infd.wait_for(fleet, namespace, "group", "Degraded", "True", "RestartBudgetSpent")
    assert "GpuLost: pod group-0-1" in infd.condition(found, "Degraded")["message"]
    assert {n: p["metadata"]["uid"] for n, p in infd.pods(fleet, namespace, "group").items()} == before
    infd.apply(fleet, namespace, "group", **GROUP, restart={"budget": 0}, engine={"args": {"max-num-seqs": "64"}})
    infd.wait_available(fleet, namespace, "group", 1)
    assert "shardwright.io/gave-up" not in notes_of(fleet, namespace, "group")


def test_a_single_pod_is_given_up_by_kubelets_restarts_and_tries_again_when_asked(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(fleet, namespace, "small", replicas=1, restart={"budget": 1})
    infd.wait_available(fleet, namespace, "small", 1)
    end(fleet, namespace, "small-0-0", OUT_OF_MEMORY)
    found = infd.wait_for(fleet, namespace, "small", "Degraded", "True", "GpuOutOfMemory")
    assert "ended with exit code 1: torch.OutOfMemoryError" in infd.condition(found, "Degraded")["message"]
    assert "of 79.1 GiB in all" in infd.condition(found, "Degraded")["message"]
    end(fleet, namespace, "small-0-0", OUT_OF_MEMORY, times=2)
    found = infd.wait_for(fleet, namespace, "small", "Degraded", "True", "RestartBudgetSpent")
    assert "GpuOutOfMemory: pod small-0-0" in infd.condition(found, "Degraded")["message"]
    assert "RestartBudgetSpent" in events(fleet, namespace, "small")
    fleet.kubectl.run("annotate", f"{infd.KIND}/small", "-n", namespace, f"{TRY_AGAIN}=now")
    infd.wait_available(fleet, namespace, "small", 1)
    infd.wait_for(fleet, namespace, "small", "Degraded", "False")


def test_a_start_that_takes_too_long_is_told_from_a_crash(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(fleet, namespace, "slow", replicas=1, startupTimeout="30s")
    infd.wait_available(fleet, namespace, "slow", 1)
    end(fleet, namespace, "slow-0-0", "", code=137, at=ago(5))
    found = infd.wait_for(fleet, namespace, "slow", "Degraded", "True", "StartupTimeout")
    assert "within 30 s of its start (spec.startupTimeout)" in infd.condition(found, "Degraded")["message"]


def test_pods_that_kubelet_refuses_are_not_made_anew_every_second(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(fleet, namespace, "small", replicas=1, restart={"budget": 0})
    infd.wait_available(fleet, namespace, "small", 1)
    refused = {
        "phase": "Failed", "reason": "UnexpectedAdmissionError",
        "message": "Allocate failed due to no healthy devices present; cannot allocate unhealthy devices",
    }  # fmt: skip

    def parked() -> bool:
        """The set's controller makes a refused pod anew at once; so is each one refused."""
        for pod in infd.pods(fleet, namespace, "small"):
            with suppress(KubectlError):
                fleet.kubectl.patch("pod", pod, {"status": refused}, namespace, subresource="status")
        return (fleet.kubectl.get("statefulset", "small-0", namespace) or {})["spec"]["replicas"] == 0

    eventually(parked, within_seconds=60, what="the set is to have no pods")
    found = infd.wait_for(fleet, namespace, "small", "Degraded", "True", "RestartBudgetSpent")
    assert "PodRejected: pod small-0-0" in infd.condition(found, "Degraded")["message"]
    eventually(lambda: not infd.pods(fleet, namespace, "small"), what="no pod is left")
    fleet.kubectl.run("annotate", f"{infd.KIND}/small", "-n", namespace, f"{TRY_AGAIN}=now")
    infd.wait_available(fleet, namespace, "small", 1)
