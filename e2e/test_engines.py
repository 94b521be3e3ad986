"""Deployments that are applied with kubectl are planned, run on real kubelets and answer through their Service."""

from __future__ import annotations

import re
import subprocess

import pytest

from support.cluster import REPOSITORY
from support.installed import SMALL, Installed, condition, leader_pods
from support.waiting import eventually

OVER_TWO_NODES = {
    "model": {"id": "meta-llama/Llama-3.3-70B-Instruct", "servedName": "wide"},
    "objective": {"contextLength": 16384},
    "layout": {"tensor": 4, "pipeline": 2, "nodesPerReplica": 2},
    "placement": {"gpuProducts": ["H100-SXM"]},
    "replicas": 1,
}
EXPERTS_OVER_TWO_NODES = {
    "model": {"id": "Qwen/Qwen3-30B-A3B", "servedName": "experts"},
    "objective": {"contextLength": 16384},
    "layout": {"tensor": 2, "pipeline": 1, "data": 4, "expert": "Enabled", "nodesPerReplica": 2},
    "placement": {"gpuProducts": ["H100-SXM"]},
    "replicas": 1,
}
TRTLLM = {
    "model": {"id": "Qwen/Qwen3-8B"},
    "engine": {"name": "trtllm"},
    "objective": {"contextLength": 8192},
    "layout": {"tensor": 2},
    "placement": {"gpuProducts": ["H100-SXM"]},
    "replicas": 1,
}


@pytest.mark.parametrize(
    ("name", "spec", "model", "says", "pods"),
    [
        ("single", SMALL, "small", "vllm 0.32.0 Qwen/Qwen3-8B TP1·PP1", 1),
        ("wide", OVER_TWO_NODES, "wide", "vllm 0.32.0 meta-llama/Llama-3.3-70B-Instruct TP4·PP2", 2),
        ("tensorrt", TRTLLM, "Qwen/Qwen3-8B", "trtllm 1.2.1 Qwen/Qwen3-8B TP2·PP1", 1),
    ],
)
def test_answers_a_chat_through_its_service(installed: Installed, *, name, spec, model, says, pods):
    namespace = installed.namespace()
    installed.apply(name, namespace, spec)
    status = installed.available(name, namespace)
    assert status["summary"] == "1 of 1 replicas ready"
    assert says in installed.ask(f"http://{name}.{namespace}.svc:8000/v1", model, "Who are you?")
    assert says in installed.ask(status["endpoint"], model, "And in a stream?", "--stream")
    running = installed.kubectl.list("pods", namespace, f"shardwright.io/deployment={name}")
    assert len(running) == pods
    assert len({pod["spec"]["nodeName"] for pod in running}) == pods
    logs = "".join(installed.logs(pod) for pod in running)
    assert "GPUs of this container stay idle" not in logs, "a pod was given more GPUs than its layout uses"
    assert "nothing says how many GPUs" not in logs, "the device plugin did not tell the container its GPUs"


def test_where_every_pod_of_a_group_serves_clients_reach_each(installed: Installed):
    """Data-parallel ranks over two nodes, hybrid balancing: both pods answer, and the Service finds both."""
    namespace = installed.namespace()
    installed.apply("experts", namespace, EXPERTS_OVER_TWO_NODES)
    status = installed.available("experts", namespace)
    slices = installed.kubectl.list("endpointslices", namespace, "kubernetes.io/service-name=experts")
    found = [one for piece in slices for one in piece["endpoints"] if one["conditions"]["ready"]]
    assert {one["targetRef"]["name"] for one in found} == {"experts-0-0", "experts-0-1"}
    hosts = [f"experts-0-{index}.experts-pods.{namespace}.svc:8000" for index in range(2)]
    for url in (status["endpoint"], *(f"http://{host}/v1" for host in hosts)):
        assert "Qwen/Qwen3-30B-A3B TP2·PP1·DP4·EP" in installed.ask(url, "experts")


def test_a_follower_whose_process_is_killed_is_noticed_and_the_group_recovers(installed: Installed):
    namespace = installed.namespace()
    installed.apply("wide", namespace, OVER_TWO_NODES)
    installed.available("wide", namespace)
    before = {pod["metadata"]["uid"] for pod in installed.kubectl.list("pods", namespace)}
    installed.kubectl.run(
        "exec", "-n", namespace, "wide-0-1", "--", "python3", "-c", KILL_THE_ENGINE.replace("ENGINE", "vllm")
    )
    state = eventually(
        lambda: installed.replica("wide", namespace, ready=False),
        within_seconds=60,
        what="status names the broken replica",
    )
    assert state["reason"], state
    assert condition(installed.get("wide", namespace), "Available")["status"] == "False"
    installed.available("wide", namespace, within_seconds=180)
    assert not before & {pod["metadata"]["uid"] for pod in installed.kubectl.list("pods", namespace)}, (
        "a group whose member restarted must be made anew, all of it"
    )
    assert "TP4·PP2" in installed.ask(f"http://wide.{namespace}.svc:8000/v1", "wide")


KILL_THE_ENGINE = """
import os, signal
for entry in filter(str.isdecimal, os.listdir("/proc")):
    words = open(f"/proc/{entry}/cmdline", "rb").read().split(b"\\0")
    if int(entry) != os.getpid() and any(word.endswith(b"/ENGINE") for word in words):
        os.kill(int(entry), signal.SIGKILL)
"""


def test_what_the_engine_refuses_is_named_in_status(installed: Installed):
    """An engine that runs out of GPU memory while it loads."""
    namespace = installed.namespace()
    spec = {**SMALL, "engine": {"env": [{"name": "FAKE_ENGINE_LOAD_FAILS", "value": "cuda-oom"}]}}
    installed.apply("broken", namespace, spec)

    def ends_again_and_again() -> bool:
        state = installed.replica("broken", namespace, ready=False)
        told = state.get("reason") in {"GpuOutOfMemory", "RestartBudgetSpent"}
        return told and "CUDA out of memory. Tried to allocate 1.16 GiB" in state.get("message", "")

    eventually(ends_again_and_again, within_seconds=90, what="status names what stands above the parent's traceback")
    assert not leader_pods(installed, "broken", namespace, ready=True)


MPI_IMAGE = "shardwright/fake-engine-mpi:dev"
WORLD = {
    "model": {"id": "meta-llama/Llama-3.3-70B-Instruct"},
    "engine": {"name": "trtllm", "image": MPI_IMAGE},
    "objective": {"contextLength": 16384},
    "layout": {"tensor": 4, "pipeline": 2, "nodesPerReplica": 2},
    "placement": {"gpuProducts": ["H100-SXM"]},
    "replicas": 1,
}


def test_an_mpi_world_of_two_pods_answers_and_is_made_anew_when_a_rank_dies(installed: Installed):
    """Real Open MPI, started by the launch agent with the Secret that the operator made."""
    for words in (
        ["images/build.sh", "fake-engine-mpi"],
        ["e2e/cluster/load-images.sh", installed.cluster.name, MPI_IMAGE],
    ):
        subprocess.run([REPOSITORY / words[0], *words[1:]], check=True, stdin=subprocess.DEVNULL)
    namespace = installed.namespace()
    installed.apply("world", namespace, WORLD)
    status = installed.available("world", namespace)
    pods = installed.kubectl.list("pods", namespace, "shardwright.io/deployment=world")
    before = {pod["metadata"]["uid"] for pod in pods}
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2
    model = WORLD["model"]["id"]
    assert "TP4·PP2" in installed.ask(status["endpoint"], model)
    (leader,) = leader_pods(installed, "world", namespace, ready=True)
    ranks = re.findall(r"rank (\d) runs on world-0-(\d) with GPU GPU-\d", installed.logs(leader))
    assert {int(rank): int(pod) for rank, pod in ranks} == {rank: rank // 4 for rank in range(8)}

    kill = KILL_THE_ENGINE.replace("ENGINE", "trtllm-llmapi-launch")
    installed.kubectl.run("exec", "-n", namespace, "world-0-1", "--", "python3", "-c", kill)
    eventually(
        lambda: not before & {pod["metadata"]["uid"] for pod in installed.kubectl.list("pods", namespace)},
        within_seconds=120,
        what="all pods of the world are made anew",
    )
    installed.available("world", namespace, within_seconds=180)
    assert "TP4·PP2" in installed.ask(status["endpoint"], model)
