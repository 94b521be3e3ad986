"""Nodes that an autoscaler would add: planned on before they exist, asked for by label, joined without a restart."""

from __future__ import annotations

import json

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.nodes import nvidia_labels
from support.waiting import eventually, steadily

BORN = {"karpenter.sh/nodepool": "gpu-h100"}
POOL = {
    "name": "gpu-h100",
    "labels": {**BORN, **nvidia_labels("NVIDIA-H100-80GB-HBM3", 81559, 8)},
    "gpus": 8,
    "maxNodes": 2,
}
EXPECTED = json.dumps([POOL])
TWO_PODS = {"model": infd.LARGE, "replicas": 1, "layout": {"tensor": 8, "pipeline": 2, "nodesPerReplica": 2}}
ONE_POD = {"model": infd.LARGE, "replicas": 1, "layout": {"tensor": 8, "pipeline": 1}}


def wanted_labels(cluster: ControlPlane, namespace: str, name: str) -> list[dict]:
    """The node selector terms that each pod of a deployment requires."""
    terms = []
    for pod in infd.pods(cluster, namespace, name).values():
        required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        terms += required["nodeSelectorTerms"]
    return terms


def uids(cluster: ControlPlane, namespace: str, name: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in infd.pods(cluster, namespace, name).values()}


def test_a_group_waits_for_its_nodes_by_label_and_runs_when_they_join(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator(SHARDWRIGHT_EXPECTED_POOLS=EXPECTED)
    infd.apply(cluster, namespace, "far", **TWO_PODS)
    found = infd.wait_for(cluster, namespace, "far", "Available", "False", "WaitingForNodes")
    assert "2 nodes of pool gpu-h100 do not exist yet" in infd.condition(found, "Planned")["message"]
    assert "waits for 2 nodes of pool gpu-h100, which an autoscaler must add" in found["status"]["state"]
    assert infd.condition(found, "Degraded")["status"] == "False"
    eventually(lambda: len(infd.pods(cluster, namespace, "far")) == 2, what="both pods are there, for all to see")
    label = {"key": "karpenter.sh/nodepool", "operator": "In", "values": ["gpu-h100"]}
    assert wanted_labels(cluster, namespace, "far") == [{"matchExpressions": [label]}] * 2
    pods = uids(cluster, namespace, "far")

    cluster.add_gpu_node("h100-new-a", "h100", labels=BORN)
    eventually(
        lambda: "waits for a node of pool" in infd.get(cluster, namespace, "far")["status"]["state"],
        what="one of the two has joined",
    )
    operator.kill()
    operator.start()
    cluster.add_gpu_node("h100-new-b", "h100", labels=BORN)
    found = infd.wait_available(cluster, namespace, "far", 1)
    assert sorted(infd.nodes_of(found)[0]) == ["h100-new-a", "h100-new-b"]
    steadily(lambda: uids(cluster, namespace, "far") == pods, for_seconds=3)
    assert found["status"]["replicaStates"][0]["incarnation"] == 0
    infd.wait_for(cluster, namespace, "far", "Progressing", "False")

    infd.apply(cluster, namespace, "late", **ONE_POD)
    found = infd.wait_for(cluster, namespace, "late", "Planned", "False", "WaitingForGpus")
    assert not infd.pods(cluster, namespace, "late"), "the pool has all of its nodes"


def test_nodes_that_exist_are_filled_first_and_more_replicas_ask_for_more_nodes(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    cluster.add_gpu_node("h100-a", "h100")
    start_operator(SHARDWRIGHT_EXPECTED_POOLS=EXPECTED)
    infd.apply(cluster, namespace, "near", **ONE_POD)
    found = infd.wait_available(cluster, namespace, "near", 1)
    assert infd.nodes_of(found) == {0: ["h100-a"]}
    pods = uids(cluster, namespace, "near")

    infd.apply(cluster, namespace, "near", **{**ONE_POD, "replicas": 3})
    infd.wait_for(cluster, namespace, "near", "Progressing", "True", "WaitingForNodes")
    eventually(lambda: len(infd.pods(cluster, namespace, "near")) == 3, what="two pods wait for nodes")
    cluster.add_gpu_node("h100-new-a", "h100", labels=BORN)
    cluster.add_gpu_node("h100-new-b", "h100", labels=BORN)
    found = infd.wait_available(cluster, namespace, "near", 3)
    assert sorted(nodes[0] for nodes in infd.nodes_of(found).values()) == ["h100-a", "h100-new-a", "h100-new-b"]
    assert pods < uids(cluster, namespace, "near")

    cluster.remove_node("h100-new-b")
    infd.wait_for(cluster, namespace, "near", "Progressing", "True", "WaitingForNodes")
    cluster.add_gpu_node("h100-new-c", "h100", labels=BORN)
    found = infd.wait_available(cluster, namespace, "near", 3)
    assert sorted(nodes[0] for nodes in infd.nodes_of(found).values()) == ["h100-a", "h100-new-a", "h100-new-c"]


def test_without_expected_pools_nothing_is_asked_of_an_autoscaler(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(cluster, namespace, "none", **TWO_PODS)
    found = infd.wait_for(cluster, namespace, "none", "Planned", "False", "NoLayout")
    assert "none is expected" in infd.condition(found, "Planned")["message"]
    assert not infd.pods(cluster, namespace, "none")
