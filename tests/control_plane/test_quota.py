"""ResourceQuotas: what a namespace may have is known before a pod is made, and a quota stops nothing that runs."""

from __future__ import annotations

from typing import Any

import pytest

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.waiting import eventually, steadily

NVSWITCH = {"shardwright.io/gpu-link": "nvswitch"}
GPUS = "requests.nvidia.com/gpu"
PAIR = {"model": infd.LARGE, "layout": {"tensor": 8, "pipeline": 2}}
"""A replica of two pods with eight GPUs each."""
ONE = {"model": infd.LARGE, "layout": {"tensor": 4, "pipeline": 1}}


@pytest.fixture
def fleet(cluster: ControlPlane) -> ControlPlane:
    for name in ("h100-a", "h100-b", "h100-c", "h100-d"):
        cluster.add_gpu_node(name, "h100", annotations=NVSWITCH)
    return cluster


def set_quota(cluster: ControlPlane, namespace: str, hard: dict[str, str], name: str = "team", **spec: Any) -> None:
    cluster.kubectl.apply({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name, "namespace": namespace},
        "spec": {"hard": hard, **spec},
    })  # fmt: skip

    def enforced() -> bool:
        found = cluster.kubectl.get("resourcequota", name, namespace) or {}
        return found.get("status", {}).get("hard") == hard

    eventually(enforced, what="the quota controller took it over")


def refused_by_admission(cluster: ControlPlane, namespace: str) -> list[str]:
    events = cluster.kubectl.list("events", namespace)
    return [event["message"] for event in events if event["reason"] == "FailedCreate"]


@pytest.mark.parametrize("serves", ["all namespaces", "one namespace"])
def test_too_small_is_said_before_any_pod_and_more_makes_it_run(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator, serves: str
) -> None:
    set_quota(fleet, namespace, {GPUS: "12"})
    start_operator(**({"SHARDWRIGHT_NAMESPACES": namespace} if serves == "one namespace" else {}))
    infd.apply(fleet, namespace, "pair", replicas=1, **PAIR)
    found = infd.wait_for(fleet, namespace, "pair", "Planned", "False", "QuotaExceeded")
    said = infd.condition(found, "Planned")["message"]
    assert "4 more requests.nvidia.com/gpu in ResourceQuota team (a replica takes 16, it leaves 12)" in said
    assert not infd.pods(fleet, namespace, "pair")
    assert not [name for kind, name in infd.owned(fleet, namespace, "pair") if kind == "StatefulSet"]
    set_quota(fleet, namespace, {GPUS: "16"})
    infd.wait_available(fleet, namespace, "pair", 1)
    set_quota(fleet, namespace, {GPUS: "8"})
    steadily(lambda: infd.get(fleet, namespace, "pair")["status"]["readyReplicas"] == 1, for_seconds=3)
    assert refused_by_admission(fleet, namespace) == []


def test_a_replica_beyond_the_quota_waits_and_the_others_run(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    set_quota(fleet, namespace, {GPUS: "8"})
    start_operator()
    infd.apply(fleet, namespace, "ones", replicas=2, **ONE)
    infd.wait_available(fleet, namespace, "ones", 2)
    fleet.kubectl.run("scale", infd.KIND, "ones", "-n", namespace, "--replicas=3")
    found = infd.wait_for(fleet, namespace, "ones", "Degraded", "True", "QuotaExceeded")
    said = infd.condition(found, "Degraded")["message"]
    assert "a replica takes 4 requests.nvidia.com/gpu, and ResourceQuota team leaves 0: ask for 4 more in team" in said
    assert found["status"]["readyReplicas"] == 2
    assert len(infd.pods(fleet, namespace, "ones")) == 2
    set_quota(fleet, namespace, {GPUS: "12"})
    infd.wait_available(fleet, namespace, "ones", 3)
    assert refused_by_admission(fleet, namespace) == []


def test_two_deployments_are_not_promised_the_same_quota(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    set_quota(fleet, namespace, {GPUS: "16"})
    start_operator()
    names = ("one", "other")
    documents = [infd.manifest(namespace, name, replicas=1, **PAIR) for name in names]
    fleet.kubectl.apply(*documents)

    def one_runs() -> bool:
        said = [infd.condition(infd.get(fleet, namespace, name), "Available") for name in names]
        assert sorted(item["status"] for item in said) == ["False", "True"], said
        return {item["reason"] for item in said if item["status"] == "False"} == {"QuotaExceeded"}

    eventually(one_runs, what="one runs, the other waits for quota")
    steadily(one_runs, for_seconds=2)
    assert refused_by_admission(fleet, namespace) == []
    winner = next(n for n in names if infd.get(fleet, namespace, n)["status"].get("readyReplicas"))
    fleet.kubectl.delete(infd.KIND, winner, namespace=namespace)
    infd.wait_available(fleet, namespace, next(n for n in names if n != winner), 1)


def test_scopes_pods_and_what_strangers_use(fleet: ControlPlane, namespace: str, start_operator: StartOperator) -> None:
    """A quota for another priority class does not count; pods of others do, bound or not; so does a limit of pods."""
    start_operator()
    vip = {"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}
    set_quota(fleet, namespace, {GPUS: "1"}, "vip", scopeSelector={"matchExpressions": [vip]})
    set_quota(fleet, namespace, {GPUS: "12", "pods": "2"})
    gpus = {"nvidia.com/gpu": "5"}
    fleet.kubectl.apply({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "theirs", "namespace": namespace},
        "spec": {"nodeSelector": {"is": "nowhere"},
                 "containers": [{"name": "c", "image": "i", "resources": {"limits": gpus, "requests": gpus}}]},
    })  # fmt: skip
    infd.apply(fleet, namespace, "ones", replicas=2, **ONE)
    found = infd.wait_for(fleet, namespace, "ones", "Degraded", "True", "QuotaExceeded")
    assert "leaves 3" in infd.condition(found, "Degraded")["message"]
    eventually(lambda: infd.get(fleet, namespace, "ones")["status"]["readyReplicas"] == 1)
    set_quota(fleet, namespace, {GPUS: "20", "pods": "2"})
    found = eventually(lambda: _says(fleet, namespace, "ones", "a replica takes 1 pods"))
    fleet.kubectl.delete("pod", "theirs", namespace=namespace)
    infd.wait_available(fleet, namespace, "ones", 2)
    assert refused_by_admission(fleet, namespace) == []


def _says(cluster: ControlPlane, namespace: str, name: str, words: str) -> bool:
    return words in infd.condition(infd.get(cluster, namespace, name), "Degraded")["message"]
