"""The words that we render for two pods with hybrid balancing, given to two real vLLM servers: they form one group.

CPUs lack the collective that a mixture of experts needs while it computes, so experts show that the group forms and who
holds which ranks; that each pod answers for itself is shown with a dense model, whose ranks compute alone. No cluster
is needed; but seven processes start at once, and vLLM waits 120 s for one, so the machine must have nothing else to do.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from golden.cases import Case
from golden.commands import command_lines
from real_vllm.real import QUIET, real_python
from shardwright.plan.types import Layout
from support.cluster import REPOSITORY

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]
READY_SECONDS = 900
CASE = Case("hybrid", {"model": {"id": "a/b"}}, Layout(data=4, nodes_per_replica=2), experts=8, context_length=512)
REPLACED = ("--host=", "--port=", "--master-port=", "--data-parallel-rpc-port=", "--gpu-memory-utilization=")
CPU = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_HOST_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "VLLM_NO_USAGE_STATS": "1",
}  # fmt: skip


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(closing(socket.socket())) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


class Group:
    """Two servers on this machine, in place of two pods."""

    def __init__(self, model: Path, folder: Path, stack: ExitStack) -> None:
        self.ports = free_ports(2)
        self.logs = [folder / f"pod-{index}.log" for index in range(2)]
        master, rpc = free_ports(2)
        self.pods = []
        for index, line in enumerate(command_lines(CASE)):
            words = [re.sub(r"=\S+\.svc$|=10\.0\.0\.\d$", "=127.0.0.1", word) for word in line[3:]]
            words = [word for word in words if not word.startswith(REPLACED)]
            words += ["--host=127.0.0.1", f"--port={self.ports[index]}", f"--master-port={master}"]
            words += [f"--data-parallel-rpc-port={rpc}", "--dtype=float32", "--enforce-eager", "--api-server-count=1"]
            with self.logs[index].open("w") as log:
                self.pods.append(
                    subprocess.Popen(
                        [real_python().parent / "vllm", "serve", model, *words],
                        env={**os.environ, **QUIET, **CPU, "VLLM_LOGGING_LEVEL": "INFO"},
                        stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                    )
                )  # fmt: skip
            stack.callback(self.end, self.pods[-1])

    @staticmethod
    def end(pod: subprocess.Popen[bytes]) -> None:
        pod.terminate()
        try:
            pod.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(pod.pid, 9)
            pod.wait()

    def ask(self, index: int, path: str, body: dict[str, object] | None = None) -> str:
        """The answer of one pod; empty when it refuses the connection."""
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[index]}{path}", data, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return str(answer.read().decode()) or "yes"
        except (urllib.error.URLError, OSError):
            return ""

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not all(self.ask(index, "/health") for index in range(2)):
            ended = [index for index, pod in enumerate(self.pods) if pod.poll() is not None]
            said = "\n".join(log.read_text()[-2000:] for log in self.logs)
            assert not ended, f"pods {ended} ended:\n{said}"
            assert time.monotonic() < deadline, f"not ready after {READY_SECONDS} s:\n{said}"
            time.sleep(1)

    def engines(self, index: int) -> set[str]:
        """Ranks whose figures a pod's /metrics shows."""
        return set(re.findall(r'vllm:num_requests_running\{engine="(\d+)"', self.ask(index, "/metrics")))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


@pytest.mark.parametrize("kind", ["experts", "dense"])
def test_each_pod_serves_its_own_ranks(kind: str, tmp_path: Path, stack: ExitStack):
    model = tmp_path / kind
    subprocess.run([real_python(), REPOSITORY / "e2e/vllm/tiny_model.py", model, kind], check=True, capture_output=True)
    group = Group(model, tmp_path, stack)
    group.wait_ready()
    assert [group.engines(index) for index in range(2)] == [{"0", "1"}, {"2", "3"}]
    for index in range(2 if kind == "dense" else 0):
        body = {"model": "a/b", "max_tokens": 4, "messages": [{"role": "user", "content": "shards"}]}
        answer = json.loads(group.ask(index, "/v1/chat/completions", body))
        assert answer["usage"]["completion_tokens"] > 0
