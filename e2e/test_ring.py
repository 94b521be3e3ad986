"""The ring itself: what every other test of this folder relies on."""

from __future__ import annotations

from support.cluster import Cluster
from support.waiting import eventually

IMAGE = "registry.k8s.io/pause:3.10.2"


def test_the_fleet_says_what_gpu_nodes_say(kind: Cluster) -> None:
    nodes = [
        node for node in kind.kubectl.list("nodes", None) if "nvidia.com/gpu.product" in node["metadata"]["labels"]
    ]
    products = sorted(node["metadata"]["labels"]["nvidia.com/gpu.product"] for node in nodes)
    assert products == [*["NVIDIA-H100-80GB-HBM3"] * 5, "NVIDIA-L40S"]
    assert {node["status"]["allocatable"]["nvidia.com/gpu"] for node in nodes} == {"8"}


def test_gpu_pods_are_scheduled_by_capacity_and_run(kind: Cluster, namespace: str) -> None:
    for name in "abcdefg":
        kind.kubectl.apply({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [
                {"name": "pause", "image": IMAGE, "resources": {"limits": {"nvidia.com/gpu": "5"}}}
            ]},
        })  # fmt: skip
    running = lambda: [p for p in kind.kubectl.list("pods", namespace) if p["status"]["phase"] == "Running"]  # noqa: E731
    eventually(lambda: len(running()) == 6, within_seconds=60, what="one pod of 5 GPUs runs on each node of 8")
    assert len({pod["spec"]["nodeName"] for pod in running()}) == 6
