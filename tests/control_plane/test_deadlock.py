"""Two groups that each hold half of what both need: the younger lets go, the older runs, nobody goes round in circles.

The planner never makes such a thing; whoever binds pods past it, or takes GPUs while the operator is away, does.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.kubectl import Object
from support.waiting import eventually, steadily

NVSWITCH = {"shardwright.io/gpu-link": "nvswitch"}
SPREAD: dict[str, Any] = {
    "model": infd.LARGE, "replicas": 1, "layout": {"tensor": 4, "pipeline": 2, "nodesPerReplica": 2},
}  # fmt: skip
"""Two pods with four GPUs each: two such groups share two nodes of eight."""
HUNGRY = {"resources": {"requests": {"cpu": "100"}, "limits": {"cpu": "100"}}}
"""More than half of a node's CPU, which planning does not look at: only one such pod fits a node."""


@pytest.fixture
def fleet(cluster: ControlPlane) -> ControlPlane:
    for name in ("h100-a", "h100-b"):
        cluster.add_gpu_node(name, "h100", annotations=NVSWITCH)
    return cluster


def occupy(cluster: ControlPlane, namespace: str, node: str, **amounts: str) -> None:
    """A stranger's pod on that node, past the scheduler."""
    resources = {name.replace("_", "/").replace("nvidia/", "nvidia.com/"): amount for name, amount in amounts.items()}
    container = {"name": "c", "image": "i", "resources": {"requests": resources, "limits": resources}}
    cluster.kubectl.apply({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"theirs-{node}", "namespace": namespace},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [container]},
    })  # fmt: skip


def bind(cluster: ControlPlane, namespace: str, pod: str, node: str) -> None:
    """What a scheduler does, by hand."""
    binding = {
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod, "namespace": namespace},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }  # fmt: skip
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/binding"
    cluster.kubectl.run("create", "--raw", path, "-f", "-", stdin=json.dumps(binding))


def apply_in_turn(cluster: ControlPlane, namespace: str, **spec: Any) -> None:
    infd.apply(cluster, namespace, "older", **SPREAD, **spec)
    time.sleep(1.1)  # ages are told in whole seconds
    infd.apply(cluster, namespace, "younger", **SPREAD, **spec)


def row(found: Object) -> Object:
    states: list[Object] = found["status"].get("replicaStates") or [{}]
    return states[0]


def unplaced(cluster: ControlPlane, namespace: str, name: str) -> bool:
    found = infd.pods(cluster, namespace, name).values()
    refused = [c for pod in found for c in pod["status"].get("conditions", ()) if c.get("reason") == "Unschedulable"]
    return len(found) == 2 and len(refused) == 2


def test_the_younger_of_two_half_placed_groups_lets_go(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    for node in ("h100-a", "h100-b"):
        occupy(fleet, namespace, node, cpu="100")
    apply_in_turn(fleet, namespace, podTemplate=HUNGRY)
    for name in ("older", "younger"):
        eventually(lambda name=name: unplaced(fleet, namespace, name), what=f"{name} finds no place")
    bind(fleet, namespace, "older-0-0", "h100-a")
    bind(fleet, namespace, "younger-0-0", "h100-b")
    fleet.kubectl.delete("pod", "theirs-h100-a", "theirs-h100-b", namespace=namespace)
    infd.wait_available(fleet, namespace, "older", 1, within_seconds=60)
    yielded = infd.wait_for(fleet, namespace, "younger", "Degraded", "True", "PlacementYielded")
    assert f"{namespace}/older" in row(yielded)["message"]
    assert not infd.pods(fleet, namespace, "younger")
    eventually(lambda: unplaced(fleet, namespace, "younger"), within_seconds=60, what="it comes back after its rest")
    log = operator.log_text()
    assert log.count("StatefulSet younger-0 is deleted") == 1
    assert "StatefulSet older-0 is deleted" not in log
    steadily(lambda: infd.get(fleet, namespace, "older")["status"]["readyReplicas"] == 1, for_seconds=3)
    fleet.kubectl.delete(infd.KIND, "older", namespace=namespace)
    infd.wait_available(fleet, namespace, "younger", 1, within_seconds=60)


def test_strangers_squeeze_both_while_the_operator_is_away(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    apply_in_turn(fleet, namespace)
    for name in ("older", "younger"):
        infd.wait_available(fleet, namespace, name, 1)
    operator.kill()
    where = {name: infd.nodes_of(infd.get(fleet, namespace, name))[0] for name in ("older", "younger")}
    fleet.kubectl.run("cordon", "h100-a", "h100-b")
    lost = [f"older-0-{where['older'].index('h100-b')}", f"younger-0-{where['younger'].index('h100-a')}"]
    fleet.kubectl.run("delete", "pods", "-n", namespace, *lost, "--grace-period=0", "--force")
    for node in ("h100-a", "h100-b"):
        eventually(lambda node=node: occupy(fleet, namespace, node, nvidia_gpu="4") or True)
    fleet.kubectl.run("uncordon", "h100-a", "h100-b")
    time.sleep(2)
    bound = {pod["metadata"]["name"]: pod["spec"].get("nodeName") for pod in fleet.kubectl.list("pods", namespace)}
    assert [bound[name] for name in lost] == [None, None], "both are half placed"
    operator.start()
    infd.wait_for(fleet, namespace, "younger", "Degraded", "True", "PlacementYielded")
    eventually(lambda: not infd.pods(fleet, namespace, "younger"), what="the younger holds nothing")
    eventually(lambda: row(infd.get(fleet, namespace, "older"))["incarnation"] == 1, what="a group that lost a pod")
    infd.wait_available(fleet, namespace, "older", 1, within_seconds=60)
    assert "StatefulSet older-0 is deleted" not in operator.log_text()
    steadily(lambda: infd.get(fleet, namespace, "older")["status"]["readyReplicas"] == 1, for_seconds=3)
    fleet.kubectl.delete("pod", "theirs-h100-a", "theirs-h100-b", namespace=namespace)
    infd.wait_available(fleet, namespace, "younger", 1, within_seconds=90)
