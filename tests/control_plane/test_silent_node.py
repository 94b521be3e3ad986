"""A node that falls silent: its pods are removed by force once their grace is over, unless a volume ties them to it.

The node is nobody's: no kubelet and no kwok ends its pods. That it fell silent is written as the node controller does
(which this ring lets look once in ten minutes); tainting evicts, and out-of-service removes, by the real controllers.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from support import deployments as infd
from support.cluster import MACHINE, ControlPlane, gpu_labels
from support.deployments import StartOperator
from support.kubectl import Object
from support.waiting import eventually, steadily

NVSWITCH = {"shardwright.io/gpu-link": "nvswitch"}
SILENT = "h100-silent"
GRACE_SECONDS = 12
SPEC = {"model": infd.LARGE, "replicas": 1, "layout": {"tensor": 4, "pipeline": 2, "nodesPerReplica": 2}}


def claimed(mode: str) -> list[Object]:
    """A volume and its claim, bound by name."""
    name = f"weights-{mode.lower()}"
    size = {"storage": "1Gi"}
    return [
        {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "capacity": size, "accessModes": [mode], "storageClassName": "by-hand",
                "hostPath": {"path": "/weights"}, "persistentVolumeReclaimPolicy": "Retain",
            },
        },
        {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {
                "accessModes": [mode], "resources": {"requests": size}, "storageClassName": "by-hand",
                "volumeName": name,
            },
        },
    ]  # fmt: skip


def add_silent_node(cluster: ControlPlane) -> None:
    """A node that said once that it is ready, and never says anything again."""
    capacity = {**MACHINE, "nvidia.com/gpu": "8"}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastHeartbeatTime": now}
    labels = {"kubernetes.io/hostname": SILENT, "kubernetes.io/os": "linux", **gpu_labels("h100")}
    cluster.kubectl.apply(
        {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": SILENT, "labels": labels, "annotations": NVSWITCH},
            "status": {
                "capacity": capacity, "allocatable": capacity, "conditions": [{**ready, "lastTransitionTime": now}],
            },
        },
        server_side=False,
    )  # fmt: skip


def fall_silent(cluster: ControlPlane) -> None:
    """What the node controller writes 50 s after a node's last word."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": now}
    cluster.kubectl.run(
        "patch", "node", SILENT, "--subresource=status", "-p", json.dumps({"status": {"conditions": [condition]}})
    )
    cluster.kubectl.run("taint", "node", SILENT, "node.kubernetes.io/unreachable:NoExecute")


def run_by_hand(cluster: ControlPlane, namespace: str, pod: str) -> None:
    """What the kubelet would have said before it fell silent."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    container = {
        "name": "engine", "image": "engine", "imageID": "engine", "ready": True, "restartCount": 0, "started": True,
        "state": {"running": {"startedAt": now}},
    }  # fmt: skip
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")]
    status = {"phase": "Running", "podIP": "198.18.128.99", "conditions": conditions, "containerStatuses": [container]}
    cluster.kubectl.run(
        "patch",
        "pod",
        pod,
        "-n",
        namespace,
        "--subresource=status",
        "--type=strategic",
        "-p",
        json.dumps({"status": status}),
    )


def on_silent_node(cluster: ControlPlane, namespace: str, name: str) -> str:
    """The deployment's pod that is bound to the silent node, empty for none."""
    found = infd.pods(cluster, namespace, name)
    return next((pod for pod, raw in found.items() if raw["spec"].get("nodeName") == SILENT), "")


@pytest.mark.timeout(400)
def test_a_silent_node_is_left_unless_a_volume_holds_its_pod(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    cluster.add_gpu_node("h100-a", "h100", annotations=NVSWITCH)
    add_silent_node(cluster)
    start_operator(
        SHARDWRIGHT_UNREACHABLE_SECONDS="2",
        SHARDWRIGHT_GRACE_SECONDS=str(GRACE_SECONDS),
        SHARDWRIGHT_PRE_STOP_SECONDS="0",
    )
    modes = {"shared": "ReadWriteMany", "tied": "ReadWriteOnce"}
    for name, mode in modes.items():
        for document in claimed(mode):
            spread = {} if document["kind"] == "PersistentVolume" else {"namespace": namespace}
            cluster.kubectl.apply({**document, "metadata": {**document["metadata"], **spread}})
        claim = {"name": "weights", "persistentVolumeClaim": {"claimName": f"weights-{mode.lower()}"}}
        infd.apply(cluster, namespace, name, **SPEC, podTemplate={"volumes": [claim]})
    for name in modes:
        pod = eventually(lambda name=name: on_silent_node(cluster, namespace, name), what=f"{name} is on both nodes")
        run_by_hand(cluster, namespace, pod)
        infd.wait_available(cluster, namespace, name, 1)
    fall_silent(cluster)
    for name in modes:
        found = infd.wait_for(cluster, namespace, name, "Degraded", "True", "NodeLost", within_seconds=60)
        assert SILENT in infd.condition(found, "Degraded")["message"], "it waits for that node, and says so"
    cluster.add_gpu_node("h100-c", "h100", annotations=NVSWITCH)

    def moved(name: str) -> bool:
        return sorted(infd.nodes_of(infd.get(cluster, namespace, name)).get(0, [])) == ["h100-a", "h100-c"]

    eventually(lambda: moved("shared"), what="the replica is to move")
    evicted = time.monotonic()
    infd.wait_available(cluster, namespace, "shared", 1, within_seconds=GRACE_SECONDS + 20)
    assert time.monotonic() - evicted > GRACE_SECONDS - 5, "not before the grace is over"
    print(f"\nFAULT a silent node: whole elsewhere {time.monotonic() - evicted:.1f} s after the eviction")

    assert not on_silent_node(cluster, namespace, "shared")
    held = on_silent_node(cluster, namespace, "tied")
    assert held, "a pod with a volume for a single node stays"
    steadily(lambda: on_silent_node(cluster, namespace, "tied") == held, for_seconds=12)
    told = [item["message"] for item in cluster.kubectl.list("events", namespace) if item["type"] == "Warning"]
    assert sum("weights-readwriteonce is for a single node" in text for text in told) == 1, told
    taint = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
    cluster.kubectl.run("taint", "node", SILENT, taint)
    infd.wait_available(cluster, namespace, "tied", 1, within_seconds=60)
    assert moved("tied")
