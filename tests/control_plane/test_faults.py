"""What breaks around the operator: watches, nodes, the API server, hands that edit.

Each row of docs/faults.md that needs no real pod.
"""

from __future__ import annotations

import json
import time

import pytest

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.kubectl import Object
from support.proxy import CountingProxy
from support.waiting import eventually, steadily

NVSWITCH = {"shardwright.io/gpu-link": "nvswitch"}


@pytest.fixture
def fleet(cluster: ControlPlane) -> ControlPlane:
    for name in ("h100-a", "h100-b"):
        cluster.add_gpu_node(name, "h100", annotations=NVSWITCH)
    return cluster


def test_deleted_by_hand_comes_back(fleet: ControlPlane, namespace: str, start_operator: StartOperator) -> None:
    start_operator()
    infd.apply(fleet, namespace, "small", replicas=1, autoscaling={"minReplicas": 1, "maxReplicas": 2})
    infd.wait_available(fleet, namespace, "small", 1)
    before = infd.owned(fleet, namespace, "small")
    for kind, name in before:
        fleet.kubectl.delete(kind, name, namespace=namespace)
    eventually(lambda: set(infd.owned(fleet, namespace, "small")) == set(before), what="all objects are back")
    infd.wait_available(fleet, namespace, "small", 1)


def test_edited_by_hand_is_put_right(fleet: ControlPlane, namespace: str, start_operator: StartOperator) -> None:
    start_operator()
    infd.apply(fleet, namespace, "small", replicas=1)
    infd.wait_available(fleet, namespace, "small", 1)
    wanted = {key: infd.lasting(item) for key, item in infd.owned(fleet, namespace, "small").items()}
    fleet.kubectl.patch(
        "service", "small", {"spec": {"ports": [{"port": 1, "name": "http", "targetPort": 1}]}}, namespace
    )
    fleet.kubectl.patch(
        "service", "small-pods", {"metadata": {"labels": {"shardwright.io/deployment": "another"}}}, namespace
    )
    fleet.kubectl.patch("statefulset", "small-0", {"spec": {"replicas": 0}}, namespace)
    fleet.kubectl.patch("pdb", "small", {"spec": {"maxUnavailable": 7}}, namespace)
    eventually(
        lambda: {key: infd.lasting(item) for key, item in infd.owned(fleet, namespace, "small").items()} == wanted,
        what="all objects are as they were",
    )
    infd.wait_available(fleet, namespace, "small", 1)


def test_an_edited_status_is_put_right(fleet: ControlPlane, namespace: str, start_operator: StartOperator) -> None:
    start_operator()
    infd.apply(fleet, namespace, "small", replicas=1)
    infd.wait_available(fleet, namespace, "small", 1)
    fleet.kubectl.patch(
        infd.KIND, "small", {"status": {"readyReplicas": 77, "layout": "wrong"}}, namespace, subresource="status"
    )
    eventually(lambda: infd.get(fleet, namespace, "small")["status"]["readyReplicas"] == 1)


def test_a_name_that_is_taken_is_left_alone(fleet: ControlPlane, namespace: str, start_operator: StartOperator) -> None:
    start_operator()
    foreign = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "small", "namespace": namespace},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]},
    }  # fmt: skip
    fleet.kubectl.apply(foreign)
    before = fleet.kubectl.get("service", "small", namespace)
    time.sleep(1)
    infd.apply(fleet, namespace, "small", replicas=1)
    found = infd.wait_for(fleet, namespace, "small", "Degraded", "True", "NameTaken")
    assert "Service small" in infd.condition(found, "Degraded")["message"]
    assert fleet.kubectl.get("service", "small", namespace) == before
    fleet.kubectl.delete("service", "small", namespace=namespace)
    infd.wait_for(fleet, namespace, "small", "Degraded", "False")
    assert ("Service", "small") in infd.owned(fleet, namespace, "small")


def test_a_node_that_disappears_becomes_a_condition(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    infd.apply(fleet, namespace, "big", replicas=2, layout={"tensor": 8, "pipeline": 1}, model=infd.LARGE)
    infd.wait_available(fleet, namespace, "big", 2)
    fleet.remove_node("h100-b")
    found = infd.wait_for(fleet, namespace, "big", "Degraded", "True", "NodeLost")
    assert "h100-b" in infd.condition(found, "Degraded")["message"]
    steadily(lambda: operator.running, for_seconds=2)
    assert infd.get(fleet, namespace, "big")["status"]["readyReplicas"] == 1
    fleet.add_gpu_node("h100-c", "h100", annotations=NVSWITCH)
    found = infd.wait_available(fleet, namespace, "big", 2, within_seconds=60)
    assert sorted(nodes[0] for nodes in infd.nodes_of(found).values()) == ["h100-a", "h100-c"]


def test_a_replica_moves_to_a_free_node_when_its_own_is_gone(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(fleet, namespace, "big", replicas=1, layout={"tensor": 8, "pipeline": 1}, model=infd.LARGE)
    found = infd.wait_available(fleet, namespace, "big", 1)
    lost = infd.nodes_of(found)[0][0]
    fleet.remove_node(lost)
    other = {"h100-a": "h100-b", "h100-b": "h100-a"}[lost]
    eventually(lambda: infd.nodes_of(infd.get(fleet, namespace, "big"))[0] == [other], within_seconds=60)
    infd.wait_available(fleet, namespace, "big", 1, within_seconds=60)


def test_what_was_deleted_while_the_watch_was_cut_is_seen_after_it(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator, proxy: CountingProxy
) -> None:
    """A foreign pod that held GPUs, a node and a deployment go while nothing is watched."""
    start_operator(through=proxy)
    holder = _holder(namespace, gpus=8, node="h100-a")
    fleet.kubectl.apply(holder)
    eventually(lambda: (fleet.kubectl.get("pod", "holder", namespace) or {})["status"]["phase"] == "Running")
    infd.apply(fleet, namespace, "first", model=infd.LARGE, replicas=1, layout={"tensor": 8, "pipeline": 1})
    infd.wait_available(fleet, namespace, "first", 1)
    infd.apply(fleet, namespace, "second", model=infd.LARGE, replicas=1, layout={"tensor": 8, "pipeline": 1})
    infd.wait_for(fleet, namespace, "second", "Planned", "False", "WaitingForGpus")
    fleet.add_gpu_node("l40s", "l40s")
    with proxy.watches_cut():
        time.sleep(1)
        fleet.kubectl.run("delete", "pod", "holder", "-n", namespace, "--force", "--grace-period=0")
        fleet.remove_node("l40s")
        time.sleep(1)
    infd.wait_available(fleet, namespace, "second", 1, within_seconds=60)
    with proxy.watches_cut():
        time.sleep(1)
        fleet.kubectl.delete(infd.KIND, "first", namespace=namespace)
        eventually(lambda: not infd.pods(fleet, namespace, "first"))
        time.sleep(1)
    infd.apply(fleet, namespace, "third", model=infd.LARGE, replicas=1, layout={"tensor": 8, "pipeline": 1})
    infd.wait_available(fleet, namespace, "third", 1, within_seconds=60)


def test_the_api_server_restarts_in_the_middle(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    for index in range(4):
        infd.apply(fleet, namespace, f"d{index}", replicas=1)
    fleet.restart_api_server(down_seconds=2)
    for index in range(4):
        infd.wait_available(fleet, namespace, f"d{index}", 1, within_seconds=90)
    infd.apply(fleet, namespace, "later", replicas=1)
    infd.wait_available(fleet, namespace, "later", 1, within_seconds=60)
    assert operator.running


def test_a_bug_in_one_reconcile_marks_that_one(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    """A kept plan of a shape that nobody foresaw stands for a bug: the deployment says so, its neighbour is served."""
    operator = start_operator()
    infd.apply(fleet, namespace, "broken", replicas=1)
    infd.wait_available(fleet, namespace, "broken", 1)
    operator.stop()
    revision = next(
        item for (kind, _), item in infd.owned(fleet, namespace, "broken").items() if kind == "ControllerRevision"
    )
    fleet.kubectl.apply(_bewildering(revision))
    operator.start()
    infd.wait_for(fleet, namespace, "broken", "Degraded", "True", "InternalError")
    infd.apply(fleet, namespace, "healthy", replicas=1)
    infd.wait_available(fleet, namespace, "healthy", 1)
    assert infd.pods(fleet, namespace, "broken"), "nothing that runs is touched"


def test_a_refused_change_keeps_what_runs_healing(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    infd.apply(fleet, namespace, "small", replicas=1)
    infd.wait_available(fleet, namespace, "small", 1)
    fleet.kubectl.patch(infd.KIND, "small", {"spec": {"engine": {"args": {"no-such-option": "1"}}}}, namespace)
    found = infd.wait_for(fleet, namespace, "small", "Accepted", "False", "UnsupportedArgument")
    assert infd.condition(found, "Available")["status"] == "True"
    operator.kill()
    fleet.kubectl.delete("statefulset", "small-0", namespace=namespace)
    operator.start()
    eventually(lambda: "small-0-0" in infd.pods(fleet, namespace, "small"), what="the last accepted spec is healed")
    fleet.kubectl.run("scale", infd.KIND, "small", "-n", namespace, "--replicas=2")
    eventually(lambda: set(infd.pods(fleet, namespace, "small")) == {"small-0-0", "small-1-0"})
    pod = infd.pods(fleet, namespace, "small")["small-1-0"]
    assert infd.SMALL in json.dumps(pod["spec"]["containers"][0])


def test_a_lost_pod_of_a_group_is_told_and_the_group_made_anew(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(fleet, namespace, "group", model=infd.LARGE, replicas=1, layout={"nodesPerReplica": 2})
    infd.wait_available(fleet, namespace, "group", 1)
    before = {name: pod["metadata"]["uid"] for name, pod in infd.pods(fleet, namespace, "group").items()}
    fleet.kubectl.run("delete", "pod", "group-0-1", "-n", namespace, "--force", "--grace-period=0")

    def anew() -> bool:
        pods = infd.pods(fleet, namespace, "group")
        return len(pods) == 2 and all(pod["metadata"]["uid"] != before[name] for name, pod in pods.items())

    eventually(anew, what="both pods are new")
    found = infd.wait_available(fleet, namespace, "group", 1)
    assert found["status"]["replicaStates"][0]["incarnation"] == 1
    notes = [
        item["reason"] for item in fleet.kubectl.list("events", namespace) if item["involvedObject"]["name"] == "group"
    ]
    assert {"PodLost", "PodRestarted"} & set(notes), notes


def _holder(namespace: str, gpus: int, node: str) -> Object:
    container = {"name": "holder", "image": "holder", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "holder", "namespace": namespace},
        "spec": {"nodeName": node, "containers": [container]},
    }  # fmt: skip


def _bewildering(revision: Object) -> Object:
    """A newer kept plan that can be read and makes no sense."""
    data = json.loads(json.dumps(revision["data"]))
    data["plan"]["placements"][0]["layout"] = {"tensor": 0, "nodes_per_replica": 0}
    metadata = {key: revision["metadata"][key] for key in ("namespace", "labels", "ownerReferences")}
    return {
        "apiVersion": "apps/v1", "kind": "ControllerRevision", "data": data, "revision": 1000,
        "metadata": {**metadata, "name": revision["metadata"]["name"] + "-x"},
    }  # fmt: skip
