"""What breaks while a client asks without end: no wrong answer, and trouble only in the gap that detection needs.

Two replicas of two pods each; a pod fills its node, so that one of the replicas is whole whatever is done to the other.
docs/faults.md has a row for each case, with the figures that this file prints (`pytest -rP`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest

from support.faulty import NAME, SPEC, Group, UnderLoad, is_ready, operator_pod, under_load
from support.installed import Installed
from support.kubectl import Object
from support.looping import Outcomes
from support.node_faults import api_server_frozen, docker, frozen, kill_first_process, power_cut
from support.readiness import ReplicasWatched
from support.waiting import eventually

GAP_SECONDS = 8.0
"""From a fault to the last request that is sent to a broken group: 5 s until its leader is not ready, then the
endpoints' controller and every node's kube-proxy; the rest is a machine that is busy."""


@pytest.fixture(scope="module")
def running(shardwright: Installed) -> Iterator[UnderLoad]:
    nodes = shardwright.kubectl.list("nodes", None, "nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3")
    assert len(nodes) >= 5, 'these tests need a cluster of FLEET="h100 h100 h100 h100 h100 l40s"'
    with under_load(shardwright) as found:
        yield found


def in_pod(running: UnderLoad, pod: Object, code: str) -> None:
    running.installed.kubectl.run("exec", "-n", running.namespace, pod["metadata"]["name"], "--", "python3", "-c", code)


SIGNAL_THE_ENGINE = """
import os, signal
for entry in filter(str.isdecimal, os.listdir("/proc")):
    words = open(f"/proc/{entry}/cmdline", "rb").read().split(b"\\0")
    if int(entry) != os.getpid() and any(word.endswith(b"/vllm") for word in words):
        os.kill(int(entry), signal.SIGNAL)
"""


def kill_engine(running: UnderLoad, pod: Object) -> None:
    in_pod(running, pod, SIGNAL_THE_ENGINE.replace("SIGNAL", "SIGKILL", 1).replace("signal.SIGNAL", "signal.SIGKILL"))


def stop_engine(running: UnderLoad, pod: Object) -> None:
    in_pod(running, pod, SIGNAL_THE_ENGINE.replace("signal.SIGNAL", "signal.SIGSTOP"))


def kill_container(_running: UnderLoad, pod: Object) -> None:
    kill_first_process(pod)


def delete_pod(running: UnderLoad, pod: Object) -> None:
    name = pod["metadata"]["name"]
    running.installed.kubectl.run("delete", "pod", name, "-n", running.namespace, "--force", "--grace-period=0")


def bounded(found: Outcomes, gap_seconds: float = GAP_SECONDS) -> None:
    """No wrong answer, and every request that began after the gap was answered."""
    assert not found.of("wrong"), found.of("wrong")[:3]
    late = [one for one in found.bad if one.started - found.since > gap_seconds]
    assert not late, f"{found}: {late[:5]}"
    assert len(found.of("answered")) > 20, f"one replica was whole all the time: {found}"


@pytest.mark.parametrize(
    ("what", "index", "strike"),
    [
        ("kill -9 of a leader's engine", 0, kill_engine),
        ("kill -9 of a follower's engine", 1, kill_engine),
        ("kill -9 of a leader's container", 0, kill_container),
        ("kill -9 of a follower's container", 1, kill_container),
        ("a leader's pod deleted by force", 0, delete_pod),
        ("a follower's pod deleted by force", 1, delete_pod),
        ("SIGSTOP of a follower's engine", 1, stop_engine),
    ],
)
def test_a_broken_member_is_out_of_the_service_and_its_group_made_anew(
    running: UnderLoad, what: str, index: int, strike: Callable[[UnderLoad, Object], None]
):
    running.wait_all_ready()
    before = running.group(index)
    other = running.group(1 - index)
    found = running.fault(
        what, lambda: strike(running, before.pods[index]), lambda: running.wait_anew(before, within_seconds=150)
    )
    bounded(found)
    assert running.group(1 - index).uids == other.uids, "the other replica was left alone"


def test_an_api_server_that_answers_nothing_for_20_seconds_costs_no_request(running: UnderLoad):
    running.wait_all_ready()
    before = running.uids()

    def strike() -> None:

        with api_server_frozen(f"{running.installed.cluster.name}-control-plane"):
            time.sleep(20)

    found = running.fault("the API server frozen for 20 s", strike, running.wait_all_ready)
    assert not found.bad, found
    assert running.uids() == before, "nothing was restarted"


def test_a_dns_that_is_down_costs_no_request(running: UnderLoad):
    """Members know each other by address; the client asks by the Service's."""
    running.wait_all_ready()
    before = running.uids()
    scale = ("scale", "deployment/coredns", "-n", "kube-system")

    def strike() -> None:
        running.installed.kubectl.run(*scale, "--replicas=0")
        time.sleep(15)
        running.installed.kubectl.run(*scale, "--replicas=2")

    found = running.fault("DNS down for 15 s", strike, running.wait_all_ready)
    assert not found.bad, found
    assert running.uids() == before, "nothing was restarted"


# Rollouts


def changed(running: UnderLoad, **spec: object) -> None:
    running.installed.kubectl.patch("infd", NAME, {"spec": spec}, running.namespace)


def all_say(running: UnderLoad, word: str) -> bool:
    """Whether every pod's engine was started with a word among its arguments, and all serve."""
    pods = running.pods()
    return all(word in pod["spec"]["containers"][0]["args"] for pod in pods) and running.all_ready()


def test_a_rollout_under_kills_of_the_operator_costs_no_request(running: UnderLoad):
    """Killed again and again at moments of its own choosing; one replica of two serves at every moment."""
    running.wait_all_ready()
    kills = 0

    def strike() -> None:
        changed(running, engine={**SPEC["engine"], "args": {"max-num-seqs": "200"}})

    def rolled() -> None:
        nonlocal kills
        deadline = time.monotonic() + 240
        while not all_say(running, "--max-num-seqs=200"):
            assert time.monotonic() < deadline, running.installed.story(running.namespace)
            time.sleep(random.uniform(0.5, 5))
            pod = operator_pod(running.installed)
            if pod and kills < 6:
                kill_first_process(pod)
                name = pod["metadata"]["name"]  # a new pod starts at once, where kubelet would wait longer each time
                running.installed.kubectl.run(
                    "delete", "pod", name, "-n", "shardwright-system", "--force", "--grace-period=0"
                )
                kills += 1

    with ReplicasWatched(running.installed.kubectl, running.namespace, NAME, group_size=2) as watched:
        found = running.fault("a rollout, the operator killed at random moments", strike, rolled)
        assert watched.fewest_ready() >= 1
    print(f"    the operator was killed {kills} times")
    assert kills >= 2
    assert not found.bad, found


def test_a_bad_version_stops_the_roll_and_the_spec_put_back_resumes_at_once(running: UnderLoad):
    running.wait_all_ready()
    good = running.installed.get(NAME, running.namespace)["spec"]["engine"]
    before = running.uids()
    bad = [*good["env"], {"name": "FAKE_ENGINE_UNREADY", "value": "true"}]

    def strike() -> None:
        changed(running, engine={**good, "env": bad})
        eventually(lambda: len(before - running.uids()) == 2, within_seconds=60, what="one group is of the new version")
        time.sleep(20)
        assert len(before - running.uids()) == 2, "the other is left alone while that one does not start"
        changed(running, engine=good)

    found = running.fault("a version that never starts, put back after 20 s", strike, running.wait_all_ready)
    assert not found.bad, found
    assert len(before & running.uids()) == 2, "the replica that served all the time was never restarted"


def test_a_replica_that_is_scaled_away_ends_its_requests_first(running: UnderLoad):
    running.wait_all_ready()

    def strike() -> None:
        running.installed.kubectl.run("scale", "infd", NAME, "-n", running.namespace, "--replicas=1")
        running.wait_all_ready(1)

    def back() -> None:
        running.installed.kubectl.run("scale", "infd", NAME, "-n", running.namespace, "--replicas=2")
        running.wait_all_ready()

    found = running.fault("one replica of two scaled away and back", strike, back)
    assert not found.bad, found


# Nodes


def victim(running: UnderLoad, index: int) -> Group:
    """A group whose pod of that index is away from the hub that models come from, and from the operator if possible."""
    hub = {pod["spec"].get("nodeName") for pod in running.installed.kubectl.list("pods", "fake-hub")}
    groups = [running.group(replica) for replica in (0, 1)]
    return min(groups, key=lambda group: (group.nodes[index] in hub, group.nodes[index] == running.operator_node()))


NODE_SILENT_SECONDS = 60.0
"""Until Kubernetes itself calls a node silent and takes its endpoints away: 50 s since its last word, and a round."""
NODE_MENDED_SECONDS = 240.0
"""Silent, 30 s that engine pods tolerate it, 20 s of grace in this installation, and a start elsewhere."""


@pytest.mark.parametrize(
    ("what", "index", "broken", "gap_seconds"),
    [
        ("a follower's node without power", 1, power_cut, GAP_SECONDS + 5),
        ("a leader's node frozen", 0, frozen, NODE_SILENT_SECONDS + 15),
    ],
)
def test_a_replica_leaves_a_node_that_is_silent_and_the_node_comes_back_tidy(
    running: UnderLoad,
    what: str,
    index: int,
    broken: Callable[[str], AbstractContextManager[None]],
    gap_seconds: float,
):
    running.wait_all_ready()
    before = victim(running, index)
    node = before.nodes[index]
    with ExitStack() as mended:

        def strike() -> None:
            mended.enter_context(broken(node))

        found = running.fault(what, strike, lambda: running.wait_anew(before, within_seconds=NODE_MENDED_SECONDS))
    assert node not in running.group(before.replica).nodes
    eventually(lambda: node_is_well(running, node), within_seconds=120, what=f"{node} is ready and has its GPUs")
    eventually(lambda: not strays(running, node), within_seconds=60, what="no container of the old group is left")
    running.wait_all_ready()
    bounded(found, gap_seconds)


def node_is_well(running: UnderLoad, node: str) -> bool:
    found = running.installed.kubectl.get("node", node, "") or {}
    return is_ready(found) and found["status"]["allocatable"].get("nvidia.com/gpu") == "8"


def strays(running: UnderLoad, node: str) -> list[str]:
    """Containers on the node that are called `engine`, where no pod of the deployment belongs."""
    assert not [pod for pod in running.pods() if pod["spec"].get("nodeName") == node]
    listed = docker("exec", node, "crictl", "ps").splitlines()
    return [line for line in listed if " engine" in line]


def test_a_drain_finishes_and_the_replica_moves(running: UnderLoad):
    running.wait_all_ready()
    before = running.group(0)
    node = before.nodes[0]
    words = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=150s")
    try:
        found = running.fault(
            "kubectl drain of a node",
            lambda: running.installed.kubectl.run(*words, timeout_seconds=170),
            lambda: running.wait_anew(before, within_seconds=120),
        )
        assert node not in running.group(0).nodes
    finally:
        running.installed.kubectl.run("uncordon", node)
    assert not found.bad, found
