"""From an InferenceDeployment to its objects and back to nothing, against a real control plane."""

from __future__ import annotations

import time

import pytest

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.proxy import CountingProxy
from support.waiting import eventually, steadily


@pytest.fixture
def fleet(cluster: ControlPlane) -> ControlPlane:
    """Two H100 nodes with 8 GPUs each."""
    for name in ("h100-a", "h100-b"):
        cluster.add_gpu_node(name, "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})
    return cluster


def test_a_deployment_becomes_objects_on_the_planned_nodes(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(fleet, namespace, "small", replicas=2)
    found = infd.wait_available(fleet, namespace, "small", 2)
    kinds = {kind for kind, _ in infd.owned(fleet, namespace, "small")}
    assert kinds == {"StatefulSet", "Service", "PodDisruptionBudget", "ConfigMap", "ControllerRevision"}
    pods = infd.pods(fleet, namespace, "small")
    assert {pod["metadata"]["name"] for pod in pods.values()} == {"small-0-0", "small-1-0"}
    for id_, nodes in infd.nodes_of(found).items():
        assert pods[f"small-{id_}-0"]["spec"]["nodeName"] == nodes[0]
    assert found["status"]["replicas"] == found["status"]["readyReplicas"] == 2
    assert infd.condition(found, "Accepted")["status"] == infd.condition(found, "Planned")["status"] == "True"


def test_the_endpoint_in_status_is_the_service_that_is_made(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(fleet, namespace, "vllm", replicas=1)
    found = infd.wait_available(fleet, namespace, "vllm", 1)
    service = found["status"]["endpoint"].removeprefix("http://").partition(".")[0]
    assert ("Service", service) in infd.owned(fleet, namespace, "vllm"), "a Service named vllm would break engines"


def test_a_group_over_two_nodes_lands_on_both(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(fleet, namespace, "group", model=infd.LARGE, replicas=1, layout={"nodesPerReplica": 2})
    found = infd.wait_available(fleet, namespace, "group", 1)
    pods = infd.pods(fleet, namespace, "group")
    assert {pod["spec"]["nodeName"] for pod in pods.values()} == {"h100-a", "h100-b"} == set(infd.nodes_of(found)[0])


def test_nothing_to_do_means_nothing_written(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator, proxy: CountingProxy
) -> None:
    start_operator(through=proxy, SHARDWRIGHT_RESYNC_SECONDS="2")
    infd.apply(fleet, namespace, "small", replicas=2, autoscaling={"minReplicas": 1, "maxReplicas": 3})
    infd.apply(fleet, namespace, "bad", engine={"args": {"no-such-option": "1"}})
    infd.wait_available(fleet, namespace, "small", 2)
    infd.wait_for(fleet, namespace, "bad", "Accepted", "False")
    time.sleep(3)
    before = len(proxy.writes())
    time.sleep(10)
    assert [f"{call.verb} {call.path}" for call in proxy.writes(before)] == []


def test_no_object_carries_a_mark_of_kopf(fleet: ControlPlane, namespace: str, start_operator: StartOperator) -> None:
    start_operator()
    infd.apply(fleet, namespace, "small", replicas=1)
    infd.wait_available(fleet, namespace, "small", 1)
    fleet.kubectl.patch(infd.KIND, "small", {"spec": {"replicas": 2}}, namespace)
    infd.wait_available(fleet, namespace, "small", 2)
    everything = [
        infd.get(fleet, namespace, "small"), *infd.owned(fleet, namespace, "small").values(),
        *infd.pods(fleet, namespace, "small").values(), *fleet.kubectl.list("nodes"),
    ]  # fmt: skip
    for item in everything:
        metadata = item["metadata"]
        assert not metadata.get("finalizers"), metadata
        assert not [key for key in metadata.get("annotations", {}) if "kopf" in key], metadata


def test_delete_leaves_nothing(fleet: ControlPlane, namespace: str, start_operator: StartOperator) -> None:
    start_operator()
    infd.apply(fleet, namespace, "small", replicas=2)
    infd.wait_available(fleet, namespace, "small", 2)
    fleet.kubectl.delete(infd.KIND, "small", namespace=namespace)
    eventually(lambda: not infd.owned(fleet, namespace, "small"), what="no child is left")
    eventually(lambda: not infd.pods(fleet, namespace, "small"), what="no pod is left")
    steadily(lambda: not infd.owned(fleet, namespace, "small"), for_seconds=3, what="nothing comes back")


def test_only_what_must_change_changes(fleet: ControlPlane, namespace: str, start_operator: StartOperator) -> None:
    start_operator()
    infd.apply(fleet, namespace, "small", replicas=2)
    infd.wait_available(fleet, namespace, "small", 2)
    before, pods_before = infd.owned(fleet, namespace, "small"), infd.pods(fleet, namespace, "small")
    fleet.kubectl.patch(infd.KIND, "small", {"spec": {"service": {"port": 9000}}}, namespace)
    eventually(lambda: infd.owned(fleet, namespace, "small")["Service", "small"]["spec"]["ports"][0]["port"] == 9000)
    infd.wait_for(fleet, namespace, "small", "Available")
    after = infd.owned(fleet, namespace, "small")
    for key, item in before.items():
        if key[0] != "ControllerRevision" and key != ("Service", "small"):
            assert after[key]["metadata"]["resourceVersion"] == item["metadata"]["resourceVersion"], key
    uids = {pod["metadata"]["uid"] for pod in infd.pods(fleet, namespace, "small").values()}
    assert uids == {pod["metadata"]["uid"] for pod in pods_before.values()}


def test_kubectl_scale_makes_and_removes_whole_sets(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(fleet, namespace, "small", replicas=1)
    infd.wait_available(fleet, namespace, "small", 1)
    first = infd.pods(fleet, namespace, "small")["small-0-0"]["metadata"]["uid"]
    fleet.kubectl.run("scale", infd.KIND, "small", "-n", namespace, "--replicas=3")
    infd.wait_available(fleet, namespace, "small", 3)
    fleet.kubectl.run("scale", infd.KIND, "small", "-n", namespace, "--replicas=1")
    infd.wait_available(fleet, namespace, "small", 1)
    eventually(lambda: set(infd.pods(fleet, namespace, "small")) == {"small-0-0"}, what="one pod is left")
    assert infd.pods(fleet, namespace, "small")["small-0-0"]["metadata"]["uid"] == first


def test_absent_replicas_are_derived_once_and_then_the_users(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(fleet, namespace, "small", placement={"maxGPUs": 2}, layout={"tensor": 1, "pipeline": 1})
    found = infd.wait_available(fleet, namespace, "small", 2)
    assert found["spec"]["replicas"] == found["status"]["derivedReplicas"] == 2
    fleet.kubectl.run("scale", infd.KIND, "small", "-n", namespace, "--replicas=1")
    found = infd.wait_available(fleet, namespace, "small", 1)
    assert "derivedReplicas" not in found["status"]
    fleet.kubectl.patch(infd.KIND, "small", {"spec": {"placement": {"maxGPUs": 4}}}, namespace)
    infd.wait_for(fleet, namespace, "small", "Planned")
    time.sleep(1)
    assert infd.get(fleet, namespace, "small")["spec"]["replicas"] == 1


def test_suspend_runs_nothing_and_keeps_the_plan(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(fleet, namespace, "small", replicas=1)
    plan = infd.wait_available(fleet, namespace, "small", 1)["status"]["plan"]["placements"][0]
    fleet.kubectl.patch(infd.KIND, "small", {"spec": {"suspend": True}}, namespace)
    infd.wait_for(fleet, namespace, "small", "Available", "False", "Suspended")
    eventually(lambda: not infd.pods(fleet, namespace, "small"), what="no pod is left")
    told = infd.get(fleet, namespace, "small")["status"]["plan"]["placements"][0]
    assert (told["pool"], told["tensor"]) == (plan["pool"], plan["tensor"])
    fleet.kubectl.patch(infd.KIND, "small", {"spec": {"suspend": False}}, namespace)
    infd.wait_available(fleet, namespace, "small", 1)


def test_a_changed_engine_rolls_replica_by_replica(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(fleet, namespace, "small", replicas=3)
    infd.wait_available(fleet, namespace, "small", 3)
    fleet.kubectl.patch(infd.KIND, "small", {"spec": {"engine": {"args": {"max-num-seqs": "32"}}}}, namespace)
    least = 3

    def rolled() -> bool:
        nonlocal least
        pods = infd.pods(fleet, namespace, "small").values()
        ready = [p for p in pods if not p["metadata"].get("deletionTimestamp") and p["status"]["phase"] == "Running"]
        least = min(least, len(ready))
        new = [p for p in ready if any("max-num-seqs" in word for word in p["spec"]["containers"][0].get("args", []))]
        return len(new) == 3

    eventually(rolled, within_seconds=60, what="all pods run with the new argument", every_seconds=0.1)
    assert least >= 2, "more than maxUnavailable replicas were down at once"
    infd.wait_available(fleet, namespace, "small", 3)


def test_a_version_that_never_starts_stops_the_roll(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    """A pod that cannot be scheduled stands for a version that does not come up."""
    start_operator()
    infd.apply(fleet, namespace, "small", replicas=2)
    infd.wait_available(fleet, namespace, "small", 2)
    huge = {"podTemplate": {"resources": {"requests": {"cpu": "100000"}, "limits": {"cpu": "100000"}}}}
    fleet.kubectl.patch(infd.KIND, "small", {"spec": huge}, namespace)
    infd.wait_for(fleet, namespace, "small", "Degraded", "True", "PodUnschedulable")
    steadily(
        lambda: infd.get(fleet, namespace, "small")["status"]["readyReplicas"] == 1,
        for_seconds=4,
        what="one still serves",
    )
    fleet.kubectl.patch(infd.KIND, "small", {"spec": {"podTemplate": {"resources": None}}}, namespace)
    infd.wait_available(fleet, namespace, "small", 2)


def test_an_autoscaler_object_scales_the_deployment(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    """A HorizontalPodAutoscaler raises a deployment to its least number of replicas by the scale subresource."""
    start_operator()
    half = {"type": "Utilization", "averageUtilization": 50}
    infd.apply(fleet, namespace, "small", replicas=1, autoscaling={"mode": "External"})
    infd.wait_available(fleet, namespace, "small", 1)
    fleet.kubectl.apply({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "theirs", "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "shardwright.io/v1alpha1", "kind": "InferenceDeployment", "name": "small"},
            "minReplicas": 2, "maxReplicas": 3,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": half}}],
        },
    })  # fmt: skip
    infd.wait_available(fleet, namespace, "small", 2, within_seconds=60)
    assert infd.get(fleet, namespace, "small")["spec"]["replicas"] == 2
