"""The group member as it runs in pods: real processes, each on a loopback address of its own, around a small engine."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "operator/shardwright/engines/files/member.py"
ENGINE = textwrap.dedent("""
    import os, sys, time
    from http.server import BaseHTTPRequestHandler, HTTPServer
    print("engine", *sys.argv[1:], flush=True)
    if "--headless" in sys.argv:
        time.sleep(600)
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200); self.end_headers()
        def log_message(self, *_): pass
    HTTPServer(("127.0.0.1", int(os.environ["SHARDWRIGHT_ENGINE_PORT"])), Handler).serve_forever()
""")


class Group:
    """Pods of one replica, as processes."""

    def __init__(
        self, stack: ExitStack, ports: tuple[int, int], size: int = 2, *, engine_at_host: bool = False
    ) -> None:
        self.stack, self.size, self.engine_at_host = stack, size, engine_at_host
        self.member_port, self.engine_port = ports
        self.hosts = [f"127.0.0.{index + 2}" for index in range(size)]
        self.pods: dict[int, subprocess.Popen[str]] = {}

    def start(self, index: int, incarnation: int = 0, engine: str = ENGINE, **more: str) -> subprocess.Popen[str]:
        at_host = {"SHARDWRIGHT_ENGINE_ADDRESS": self.hosts[index]} if self.engine_at_host else {}
        env = (
            os.environ
            | at_host
            | {
                "SHARDWRIGHT_POD_INDEX": str(index),
                "SHARDWRIGHT_INCARNATION": str(incarnation),
                "SHARDWRIGHT_GROUP": ",".join(self.hosts),
                "SHARDWRIGHT_MEMBER_PORT": str(self.member_port),
                "SHARDWRIGHT_MEMBER_ADDRESS": self.hosts[index],
                "SHARDWRIGHT_ENGINE_PORT": str(self.engine_port),
                "SHARDWRIGHT_DRAIN_SECONDS": "5",
            }
            | more
        )
        command = [
            sys.executable,
            str(PROGRAM),
            "--on-leader=--lead",
            "--on-follower=--headless",
            "--",
            sys.executable,
            "-c",
            engine,
            "serve",
        ]
        pod = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.stack.callback(self.kill, pod)
        self.pods[index] = pod
        return pod

    @staticmethod
    def kill(pod: subprocess.Popen[str]) -> None:
        """As the end of a container does: with everything that it started."""
        subprocess.run(["pkill", "-KILL", "-P", str(pod.pid)], check=False)
        pod.kill()
        pod.wait()

    def get(self, index: int, path: str) -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPConnection(self.hosts[index], self.member_port, timeout=2)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or "{}")
        except OSError:
            return 0, {}
        finally:
            connection.close()

    def status(self, index: int, path: str) -> int:
        return self.get(index, path)[0]

    def engine_of(self, index: int) -> int:
        """Process id of the pod's engine."""
        found = subprocess.run(["pgrep", "-P", str(self.pods[index].pid)], check=True, capture_output=True, text=True)
        return int(found.stdout.split()[0])


def until(holds: Callable[[], bool], seconds: float, what: str) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, what
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.fixture
def group(unused_ports) -> Iterator[Group]:
    with ExitStack() as stack:
        yield Group(stack, unused_ports)


@pytest.fixture
def unused_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.2", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def formed(group: Group) -> None:
    for index in range(group.size):
        group.start(index)
    until(lambda: group.status(0, "/ready") == 200, 20, "the leader is ready")
    until(lambda: group.status(1, "/ready") == 200, 5, "the follower is ready")


def test_leader_waits_for_followers_before_it_starts_the_engine(group: Group):
    group.start(0)
    until(lambda: group.status(0, "/member") == 200, 10, "the leader answers")
    time.sleep(1)
    assert group.status(0, "/started") == 503
    assert group.status(0, "/ready") == 503
    assert group.status(0, "/live") == 200, "waiting is not being dead"
    group.start(1)
    until(lambda: group.status(0, "/ready") == 200, 10, "the leader is ready")
    until(lambda: group.status(1, "/started") == 200, 10, "the follower has started")


def test_another_incarnation_is_never_met(group: Group):
    group.start(0, incarnation=2)
    group.start(1, incarnation=1)
    until(lambda: group.status(1, "/member") == 200, 10, "the follower answers")
    time.sleep(2)
    assert group.get(0, "/member")[1]["met"] == {}
    assert group.status(0, "/started") == 503
    assert group.status(1, "/started") == 503


def test_a_dead_follower_takes_the_leader_out_of_service_within_five_seconds(group: Group):
    formed(group)
    os.kill(group.engine_of(1), signal.SIGKILL)
    assert group.pods[1].wait(5) == 128 + 9
    took = until(lambda: group.status(0, "/ready") == 503, 5, "the leader is not ready")
    assert took < 4
    assert group.status(0, "/live") == 200, "the leader itself is not dead"


def test_a_restarted_follower_does_not_join_a_group_that_was_formed_without_it(group: Group):
    formed(group)
    group.kill(group.pods[1])
    group.start(1)
    until(lambda: group.status(1, "/member") == 200, 10, "the new process answers")
    time.sleep(2)
    assert group.status(1, "/started") == 503
    until(lambda: group.status(0, "/ready") == 503, 5, "the leader is not ready")
    time.sleep(1)
    assert group.status(0, "/ready") == 503


def test_a_restarted_leader_waits_for_new_followers(group: Group):
    formed(group)
    group.kill(group.pods[0])
    group.start(0)
    until(lambda: group.status(0, "/member") == 200, 10, "the new leader answers")
    time.sleep(2)
    assert group.status(0, "/started") == 503
    group.kill(group.pods[1])
    group.start(1)
    until(lambda: group.status(0, "/ready") == 200, 15, "a group of new processes forms")


def test_a_stopped_engine_is_neither_alive_nor_ready(group: Group):
    formed(group)
    engine = group.engine_of(1)
    os.kill(engine, signal.SIGSTOP)
    until(lambda: group.status(1, "/live") == 503, 3, "the follower is not alive")
    until(lambda: group.status(0, "/ready") == 503, 5, "the leader is not ready")
    os.kill(engine, signal.SIGCONT)
    until(lambda: group.status(0, "/ready") == 200, 5, "the group is whole again")


def test_an_engine_that_ends_by_itself_is_a_failure_even_with_status_zero(group: Group):
    group.start(0)
    group.start(1, engine="pass")
    assert group.pods[1].wait(15) == 1


def test_a_follower_outlives_the_leader_when_both_are_told_to_stop(group: Group):
    slow = ENGINE.replace(
        'print("engine"',
        "import signal\ndef end(*_):\n    time.sleep(2); os._exit(0)\n"
        'signal.signal(signal.SIGTERM, end)\nprint("engine"',
    )
    group.start(0, engine=slow)
    group.start(1)
    until(lambda: group.status(0, "/ready") == 200, 20, "the leader is ready")
    for pod in group.pods.values():
        pod.send_signal(signal.SIGTERM)
    assert group.pods[0].wait(20) == 0
    assert group.pods[1].poll() is None, "the follower still serves the leader's last requests"
    assert group.pods[1].wait(10) == 128 + 15


def test_a_leader_ends_its_engine_when_a_follower_stays_away(group: Group):
    group.start(0, SHARDWRIGHT_LOST_SECONDS="3")
    group.start(1)
    until(lambda: group.status(0, "/ready") == 200, 20, "the leader is ready")
    group.kill(group.pods[1])
    assert group.pods[0].wait(10) == 128 + 9
    assert group.pods[0].stdout
    assert "127.0.0.3 is gone for 3 s" in group.pods[0].stdout.read()


def test_a_leader_that_is_told_to_stop_waits_for_no_request_of_a_broken_group(group: Group):
    stuck = ENGINE.replace(
        'print("engine"', 'import signal\nsignal.signal(signal.SIGTERM, lambda *_: None)\nprint("engine"'
    )
    group.start(0, engine=stuck)
    group.start(1)
    until(lambda: group.status(0, "/ready") == 200, 20, "the leader is ready")
    group.kill(group.pods[1])
    group.pods[0].send_signal(signal.SIGTERM)
    assert group.pods[0].wait(8) == 128 + 9


def every_pod_serves(group: Group) -> None:
    """Start a group whose pods all have an API, each engine on its pod's own address."""
    for index, host in enumerate(group.hosts):
        engine = ENGINE.replace("--headless", "--nothing").replace('("127.0.0.1", ', f'("{host}", ')
        group.start(index, engine=engine, SHARDWRIGHT_EVERY_POD_SERVES="1", SHARDWRIGHT_LOST_SECONDS="10")


@pytest.fixture
def serving(unused_ports) -> Iterator[Group]:
    """Three pods in which the member asks its engine at the pod's address, for here they share one loopback."""
    with ExitStack() as stack:
        yield Group(stack, unused_ports, size=3, engine_at_host=True)


def test_where_every_pod_serves_each_is_ready_only_with_the_whole_group(serving: Group):
    every_pod_serves(serving)
    for index in range(3):
        until(lambda index=index: serving.status(index, "/ready") == 200, 20, f"pod {index} is ready")
        assert serving.status(index, "/started") == 200
    os.kill(serving.engine_of(1), signal.SIGKILL)
    began = time.monotonic()
    for index in (0, 2):
        until(lambda index=index: serving.status(index, "/ready") == 503, 5, f"pod {index} is not ready")
        assert serving.status(index, "/live") == 200
    assert time.monotonic() - began < 5
    assert serving.pods[2].wait(25) == 128 + 9, "requests that wait for a lost rank must fail"
    assert serving.pods[0].wait(25) == 128 + 9


def test_where_every_pod_serves_a_follower_is_not_ready_without_its_own_engines_health(serving: Group):
    every_pod_serves(serving)
    until(lambda: serving.status(2, "/ready") == 200, 20, "the last pod is ready")
    os.kill(serving.engine_of(2), signal.SIGSTOP)
    until(lambda: serving.status(2, "/ready") == 503, 15, "its engine does not answer")
    until(lambda: serving.status(0, "/ready") == 503, 5, "nor is the leader ready then")


def test_where_every_pod_serves_no_follower_waits_for_the_leader_to_stop(serving: Group):
    every_pod_serves(serving)
    until(lambda: serving.status(1, "/ready") == 200, 20, "a follower is ready")
    serving.pods[1].send_signal(signal.SIGTERM)
    assert serving.pods[1].wait(3) == 128 + 15, "its engine drains by itself"


def test_members_with_unlike_model_files_never_form_a_group(group: Group, tmp_path: Path):
    for index in range(2):
        (tmp_path / str(index)).mkdir()
        (tmp_path / str(index) / "commits").write_text(f"org/model@{index}\n")
    pods = [group.start(index, HF_HUB_CACHE=str(tmp_path / str(index))) for index in range(2)]
    assert [pod.wait(60) for pod in pods] == [1, 1]
    assert pods[0].stdout
    assert "without the same model files: 127.0.0.3 has 'org/model@1', this pod 'org/model@0'" in pods[0].stdout.read()


def test_giving_up_names_who_is_missing(group: Group):
    pod = group.start(0, SHARDWRIGHT_START_SECONDS="1")
    assert pod.wait(10) == 1
    assert pod.stdout
    assert "gave up after 1 s without 127.0.0.3" in pod.stdout.read()


def test_words_go_to_their_role(group: Group):
    formed(group)
    for pod in group.pods.values():
        group.kill(pod)
    said = {index: pod.stdout.read() if pod.stdout else "" for index, pod in group.pods.items()}
    assert "engine serve --lead" in said[0]
    assert "engine serve --headless" in said[1]
