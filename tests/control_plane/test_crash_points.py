"""Killed before and after every write, and started again, the operator comes to the same end.

Of a first reconcile, of a rollout, of a group that is made anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import pytest

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.kubectl import Object
from support.operator_process import OperatorProcess
from support.proxy import CountingProxy
from support.readiness import ReplicasWatched
from support.waiting import eventually

MANY = 40
"""More writes than a first reconcile makes; the test stops at the first number that is never reached."""
SPEC: dict[str, Any] = {
    "model": infd.LARGE,
    "replicas": 2,
    "layout": {"tensor": 4, "pipeline": 2, "nodesPerReplica": 2},
    "restart": {"budget": 1000, "resetAfter": "1s"},
}
QUIET = {"SHARDWRIGHT_KEY_INTERVAL_SECONDS": "0.3", "SHARDWRIGHT_CHILD_DEBOUNCE_SECONDS": "0.3"}


def settled(cluster: ControlPlane, namespace: str) -> tuple[dict[tuple[str, str], Object], Object]:
    found = infd.wait_available(cluster, namespace, "crash", 2, within_seconds=100)
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
    _add_nodes(cluster)
    operator = start_operator(through=proxy, **QUIET)
    infd.apply(cluster, namespace, "crash", **SPEC)
    wanted = settled(cluster, namespace)
    operator.stop()
    for number in range(1, MANY):
        cluster.kubectl.delete(infd.KIND, "crash", namespace=namespace)
        eventually(lambda: not infd.owned(cluster, namespace, "crash") and not infd.pods(cluster, namespace, "crash"))
        proxy.reset()
        operator.start()
        eventually(lambda: "ready:" in operator.log_text().rpartition("ready:")[0] or "ready:" in operator.log_text())
        killed = proxy.kill_at_write(operator.pid, number, moment)
        infd.apply(cluster, namespace, "crash", **SPEC)
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


def _add_nodes(cluster: ControlPlane) -> None:
    for name in ("h100-a", "h100-b"):
        cluster.add_gpu_node(name, "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})


def _at_every_write(
    proxy: CountingProxy,
    operator: OperatorProcess,
    moment: Literal["before", "after"],
    turn: Callable[[int], None],
    settle: Callable[[int], None],
) -> int:
    """Kill the operator at the first write of one turn, at the second of the next, until a turn has no so many writes.

    `turn(n)` asks for something, `settle(n)` waits for it and checks. Returns the number of writes.
    """
    for number in range(1, MANY):
        proxy.reset()
        killed = proxy.kill_at_write(operator.pid, number, moment)
        turn(number)
        reached = killed.wait(12)
        if reached:
            operator.wait(10)
            operator.start()
        settle(number)
        if not reached:
            return number - 1
    raise AssertionError("it does not come to an end")


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_rollout_killed_at_every_write_ends_the_same_and_one_replica_serves_all_the_time(
    cluster: ControlPlane,
    namespace: str,
    start_operator: StartOperator,
    proxy: CountingProxy,
    moment: Literal["before", "after"],
) -> None:
    _add_nodes(cluster)
    operator = start_operator(through=proxy, **QUIET)

    def roll(number: int) -> None:
        engine = {"env": [{"name": "VERSION", "value": "even" if number % 2 == 0 else "odd"}]}
        infd.apply(cluster, namespace, "crash", **SPEC, engine=engine)

    def rolled(number: int) -> tuple[dict[tuple[str, str], Object], Object]:
        word = "even" if number % 2 == 0 else "odd"

        def all_new() -> bool:
            found = infd.pods(cluster, namespace, "crash").values()
            named = [{"name": "VERSION", "value": word} in pod["spec"]["containers"][0]["env"] for pod in found]
            return len(named) == 4 and all(named)

        eventually(all_new, within_seconds=100, what=f"all pods are of the {word} version")
        return settled(cluster, namespace)

    roll(-1)
    odd = rolled(-1)
    roll(0)
    ends = {0: rolled(0), 1: odd}
    assert lives(ends[0]) == [0, 0], "a rollout is no restart"
    with ReplicasWatched(cluster.kubectl, namespace, "crash", group_size=2) as watched:

        def settle(number: int) -> None:
            wanted = _without_life(ends[number % 2])
            eventually(lambda: _without_life(rolled(number)) == wanted, what=f"killed {moment} write {number}")
            end = rolled(number)
            # kwok calls a leader ready before its group has formed: one that stood alone meanwhile is made anew.
            assert sum(lives(end)) <= number, f"killed {moment} write {number}"
            assert watched.fewest_ready() >= 1, f"killed {moment} write {number}: {watched.fewest_ready()} ready"

        writes = _at_every_write(proxy, operator, moment, roll, settle)
    assert writes > 8, "a rollout makes more writes than that"


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_group_that_is_made_anew_under_kills_is_made_anew_once(
    cluster: ControlPlane,
    namespace: str,
    start_operator: StartOperator,
    proxy: CountingProxy,
    moment: Literal["before", "after"],
) -> None:
    _add_nodes(cluster)
    operator = start_operator(through=proxy, **QUIET)
    infd.apply(cluster, namespace, "crash", **SPEC)
    wanted, _ = settled(cluster, namespace)
    before: dict[str, str] = {}
    restarts: list[int] = []

    def lose_a_pod(_number: int) -> None:
        time.sleep(7)  # pods made within 5 s of each other are taken to be of one group by an operator that saw neither
        found = infd.pods(cluster, namespace, "crash")
        before.update({name: pod["metadata"]["uid"] for name, pod in found.items()})
        cluster.kubectl.run("delete", "pod", "crash-1-1", "-n", namespace, "--force", "--grace-period=0")

    def settle(number: int) -> None:
        def anew() -> bool:
            found = infd.pods(cluster, namespace, "crash")
            uids = {name: pod["metadata"]["uid"] for name, pod in found.items()}
            assert len(uids) == 4 and all(
                (uids[name] != before[name]) == name.startswith("crash-1-") for name in uids
            ), infd.get(cluster, namespace, "crash")["status"]["replicaStates"]
            return True

        eventually(anew, within_seconds=100, what="the pods of that replica are new, and no others")
        same = _without_life((wanted, {}))
        eventually(
            lambda: _without_life((settled(cluster, namespace)[0], {})) == same, what=f"killed {moment} write {number}"
        )
        objects, status = settled(cluster, namespace)
        counts = lives((objects, status))
        more = counts[1] - sum(restarts)
        restarts.append(more)
        assert counts[0] == 0, "the other replica is left alone"
        # kwok calls a leader ready before its group has formed: one that stood alone meanwhile is made anew again.
        assert more in (1, 2), f"killed {moment} write {number}: made anew {more} times for one loss"

    assert _at_every_write(proxy, operator, moment, lose_a_pod, settle) > 3
    assert restarts.count(1) > len(restarts) // 2, restarts


def lives(end: tuple[dict[tuple[str, str], Object], Object]) -> list[int]:
    """How often each replica was made anew."""
    return [row["incarnation"] for row in end[1]["replicaStates"]]


def _without_life(end: tuple[dict[tuple[str, str], Object], Object]) -> Object:
    """Objects and status less what counts restarts."""
    keys = {f"shardwright.io/restart-{part}" for part in ("count", "time", "culprit", "seen")}
    keys |= {"shardwright.io/incarnation", "incarnation"}
    objects = {f"{kind} {name}": infd.without(item, keys) for (kind, name), item in end[0].items()}
    return {"objects": objects, "status": infd.without(end[1], keys)}
