"""Killed before and after every write of a first reconcile, and started again, the operator makes the same objects."""

from __future__ import annotations

from typing import Literal

import pytest

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.kubectl import Object
from support.proxy import CountingProxy
from support.waiting import eventually

MANY = 40
"""More writes than a first reconcile makes; the test stops at the first number that is never reached."""
QUIET = {"SHARDWRIGHT_KEY_INTERVAL_SECONDS": "0.3", "SHARDWRIGHT_CHILD_DEBOUNCE_SECONDS": "0.3"}


def settled(cluster: ControlPlane, namespace: str) -> tuple[dict[tuple[str, str], Object], Object]:
    found = infd.wait_available(cluster, namespace, "crash", 2, within_seconds=40)
    objects = {key: infd.lasting(item) for key, item in infd.owned(cluster, namespace, "crash").items()}
    status = {key: found["status"][key] for key in ("replicaStates", "layout", "plan", "readyReplicas")}
    for row in status["replicaStates"]:
        row["nodes"].sort()  # which pod of a group lands on which of its nodes is the scheduler's choice
    return objects, infd.without({**status, "spec": found["spec"]}, infd.VOLATILE)


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_write_the_same_objects_stand_in_the_end(
    cluster: ControlPlane,
    namespace: str,
    start_operator: StartOperator,
    proxy: CountingProxy,
    moment: Literal["before", "after"],
) -> None:
    for name in ("h100-a", "h100-b"):
        cluster.add_gpu_node(name, "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})
    spec = {"model": infd.LARGE, "replicas": 2, "layout": {"tensor": 4, "pipeline": 2, "nodesPerReplica": 2}}
    operator = start_operator(through=proxy, **QUIET)
    infd.apply(cluster, namespace, "crash", **spec)
    wanted = settled(cluster, namespace)
    operator.stop()
    for number in range(1, MANY):
        cluster.kubectl.delete(infd.KIND, "crash", namespace=namespace)
        eventually(lambda: not infd.owned(cluster, namespace, "crash") and not infd.pods(cluster, namespace, "crash"))
        proxy.reset()
        operator.start()
        eventually(lambda: "ready:" in operator.log_text().rpartition("ready:")[0] or "ready:" in operator.log_text())
        killed = proxy.kill_at_write(operator.pid, number, moment)
        infd.apply(cluster, namespace, "crash", **spec)
        if not killed.wait(12):
            settled(cluster, namespace)
            operator.stop()
            assert number > 8, "a first reconcile makes more writes than that"
            return
        operator.wait(10)
        operator.start()
        assert settled(cluster, namespace) == wanted, f"killed {moment} write {number}"
        operator.stop()
    raise AssertionError("the first reconcile does not come to an end")
