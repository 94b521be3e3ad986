"""trtllm-serve over two pods, as rendered: real Open MPI and the launch agent between networks, the engine played."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from golden.cases import Case
from shardwright.plan.types import Layout
from support.pods import Pods, two_pods

MODEL = "meta-llama/Llama-3.3-70B-Instruct"
CASE = Case(
    "world",
    {"model": {"id": MODEL}, "engine": {"name": "trtllm"}},
    Layout(tensor=2, pipeline=2, nodes_per_replica=2),
    "h100-sxm-8",
)
PORT = 8000
QUESTION = {"model": MODEL, "messages": [{"role": "user", "content": "Who are you?"}]}


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Pods]:
    with two_pods(CASE, tmp_path) as found:
        yield found


def start(pods: Pods, **more: str) -> None:
    for pod in pods.pods:
        pod.start(SHARDWRIGHT_LOST_SECONDS="5", FAKE_ENGINE_LOAD_SECONDS="0.2", **more)


def test_ranks_of_a_pod_are_in_a_row_and_the_leader_answers(pods: Pods) -> None:
    start(pods)
    pods.ready()
    leader, follower = pods.pods
    found = re.findall(r"rank (\d) runs on (\S+) with GPU (\S+)", leader.log)
    assert sorted(found) == [
        ("0", "world-0-0", "GPU-0-0"),
        ("1", "world-0-0", "GPU-0-1"),
        ("2", "world-0-1", "GPU-1-0"),
        ("3", "world-0-1", "GPU-1-1"),
    ], "contiguous, and each with the devices of its own pod"
    status, said = leader.ask("/v1/chat/completions", PORT, QUESTION)
    assert status == 200
    assert "TP2·PP2" in json.loads(said)["choices"][0]["message"]["content"]
    assert [follower.ask(path, 29480)[0] for path in ("/started", "/ready", "/live")] == [200] * 3


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_pod_ends_the_other(pods: Pods, lost: int) -> None:
    start(pods)
    pods.ready()
    pods.pods[lost].kill()
    assert pods.pods[1 - lost].ends(within_seconds=30) != 0


def test_a_dead_rank_ends_the_group(pods: Pods) -> None:
    start(pods, FAKE_ENGINE_FOLLOWER_DIES_AFTER_SECONDS="3")
    assert [pod.ends(within_seconds=40) != 0 for pod in pods.pods] == [True, True]
    assert "exited with non-zero status" in pods.pods[0].log


def test_told_to_stop_it_finishes_what_it_began(pods: Pods) -> None:
    start(pods, FAKE_ENGINE_STEP_MILLISECONDS="50", FAKE_ENGINE_ANSWER_TOKENS="80")
    pods.ready()
    answers: list[tuple[int, str]] = []
    leader, follower = pods.pods
    asking = threading.Thread(
        target=lambda: answers.append(leader.ask("/v1/chat/completions", PORT, QUESTION | {"max_tokens": 80}))
    )
    asking.start()
    asking.join(1.5)
    for pod in (follower, leader):
        pod.stop()
    asking.join(30)
    assert [status for status, _ in answers] == [200], leader.log
    assert leader.ends(within_seconds=30) == 0, leader.log
    follower.ends(within_seconds=30)


def test_another_secret_is_refused_and_named(pods: Pods) -> None:
    pods.pods[0].start()
    pods.pods[1].start(secret="another")
    assert pods.pods[0].ends(within_seconds=60) != 0
    assert "does not hold this deployment's secret" in pods.pods[0].log + pods.pods[1].log
