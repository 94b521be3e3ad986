"""Two deployments that want the same last GPUs: one gets them, the other says so, whatever comes first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.waiting import eventually, steadily

EIGHT = {"model": infd.LARGE, "replicas": 1, "layout": {"tensor": 8, "pipeline": 1}}
NVSWITCH = {"shardwright.io/gpu-link": "nvswitch"}


def one_has_them(cluster: ControlPlane, namespace: str, names: tuple[str, ...]) -> bool:
    found = [infd.get(cluster, namespace, name) for name in names]
    available = [infd.condition(item, "Available")["status"] for item in found]
    waiting = [infd.condition(item, "Planned")["reason"] == "WaitingForGpus" for item in found]
    return sorted(available) == ["False", "True"] and waiting == [status == "False" for status in available]


@pytest.mark.parametrize("order", ["node first", "deployments first", "while the operator is away", "at once"])
def test_one_gets_them_and_the_other_says_so(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator, order: str
) -> None:
    names = ("one", "other")
    operator = start_operator()
    if order != "deployments first":
        cluster.add_gpu_node("h100-a", "h100", annotations=NVSWITCH)
    if order == "while the operator is away":
        operator.stop()
    if order == "at once":
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: infd.apply(cluster, namespace, name, **EIGHT), names))
    else:
        for name in names:
            infd.apply(cluster, namespace, name, **EIGHT)
    if order == "deployments first":
        for name in names:
            infd.wait_for(cluster, namespace, name, "Planned", "False")
        cluster.add_gpu_node("h100-a", "h100", annotations=NVSWITCH)
    if order == "while the operator is away":
        operator.start()
    eventually(lambda: one_has_them(cluster, namespace, names), what="one runs, the other waits")
    steadily(lambda: one_has_them(cluster, namespace, names), for_seconds=2)
    winner = next(
        name for name in names if infd.condition(infd.get(cluster, namespace, name), "Available")["status"] == "True"
    )
    loser = next(name for name in names if name != winner)
    assert not infd.pods(cluster, namespace, loser)
    cluster.kubectl.delete(infd.KIND, winner, namespace=namespace)
    infd.wait_available(cluster, namespace, loser, 1)


def test_a_restart_between_promise_and_pods_promises_nothing_twice(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    """The first has its promise and cannot start; the second comes when a new operator has taken over."""
    cluster.add_gpu_node("h100-a", "h100", annotations=NVSWITCH)
    operator = start_operator()
    huge = {"requests": {"cpu": "100000"}, "limits": {"cpu": "100000"}}
    infd.apply(cluster, namespace, "one", **EIGHT, podTemplate={"resources": huge})
    infd.wait_for(cluster, namespace, "one", "Degraded", "True", "PodUnschedulable")
    operator.kill()
    operator.start()
    infd.apply(cluster, namespace, "other", **EIGHT)
    infd.wait_for(cluster, namespace, "other", "Planned", "False", "WaitingForGpus")
    assert infd.nodes_of(infd.get(cluster, namespace, "one")) == {0: ["h100-a"]}
