"""Pods of one replica without a cluster: the rendered container in namespaces of its own, and a wire between two.

Each pod has its own network, processes, host name and /etc/hosts (the group's DNS names), so its first process is the
rendered command itself. Needs root and iproute2; nothing of the machine's own network is touched.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from golden.cases import Case, objects_of
from golden.commands import engine_container, environment, expand
from shardwright.engines.mpi import LAUNCH_PATH
from shardwright.engines.program import FILES_PATH
from support.waiting import eventually

ROOT = Path(__file__).parents[2]
FAKE_ENGINE = ROOT / "images/fake-engine"
ADDRESSES = ("198.18.251.10", "198.18.251.11")
START = 'hostname "$0" && mount --bind "$1" /etc/hosts && ip link set lo up && shift && exec "$@"'
ASK = """
import sys, urllib.request, urllib.error
try:
    with urllib.request.urlopen(urllib.request.Request(sys.argv[1], sys.argv[2].encode() or None,
            {"Content-Type": "application/json"}), timeout=60) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code)
except OSError:
    print(0)
"""


class Pod:
    """One pod of the group."""

    def __init__(self, group: Pods, index: int) -> None:
        self.group, self.index = group, index
        self.host = group.hosts[index]
        self.namespace = f"sw-test-{os.getpid()}-{index}"
        self.log_path = group.folder / f"pod-{index}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, secret: str = "one secret for all", **more: str) -> None:
        """Start the container's first process, with its files and its devices."""
        folder = self.group.folder / f"pod-{self.index}"
        folder.mkdir()
        (folder / "secret").write_text(secret)
        for name, text in self.group.files.items():
            (folder / name).write_text(text)
        known = environment(self.group.container, self.index) | {"SHARDWRIGHT_INCARNATION": "0"}
        known["HF_HUB_OFFLINE"] = "0"  # nothing prepared this pod
        words = [expand(word, known) for word in (*self.group.container["command"], *self.group.container["args"])]
        known |= {
            "PATH": f"{FAKE_ENGINE / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(FAKE_ENGINE),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(folder),
            "NVIDIA_VISIBLE_DEVICES": ",".join(f"GPU-{self.index}-{n}" for n in range(self.group.gpus)),
        } | more
        alone = ("ip", "netns", "exec", self.namespace, "unshare", "--mount", "--uts", "--pid", "--fork")
        inside = ("--kill-child", "--mount-proc", "sh", "-c", START, self.host.partition(".")[0], self.group.names)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*alone, *inside, *(_at(word, folder) for word in words)],
                env={name: _at(value, folder) for name, value in known.items()},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """What the pod's processes said."""
        return self.log_path.read_text(errors="replace")

    def ask(self, path: str, port: int, body: Any = None) -> tuple[int, str]:
        """HTTP from inside the pod; status 0 where nobody answers."""
        text = json.dumps(body) if body else ""
        words = (
            "ip",
            "netns",
            "exec",
            self.namespace,
            sys.executable,
            "-c",
            ASK,
            f"http://127.0.0.1:{port}{path}",
            text,
        )
        answer = subprocess.run(words, capture_output=True, text=True, check=True, timeout=90).stdout
        status, _, said = answer.partition(" ")
        return int(status), said

    def stop(self) -> None:
        """SIGTERM to the first process, as a kubelet does."""
        assert self.process
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=True)
        os.kill(int(found.stdout), signal.SIGTERM)

    def kill(self) -> None:
        """End everything in it at once."""
        if self.process:
            with suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()

    def ends(self, within_seconds: float) -> int:
        """Exit status of the container."""
        assert self.process
        return self.process.wait(within_seconds)


class Pods:
    """The two pods of a case's first replica."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.folder, self.container = folder, engine_container(case)
        self.gpus = case.layout.gpus_per_pod
        self.hosts = environment(self.container, 0)["SHARDWRIGHT_GROUP"].split(",")
        self.files: dict[str, str] = {}
        for document in objects_of(case):
            self.files |= document.get("data", {})
        self.names = str(folder / "hosts")
        rows = ["127.0.0.1 localhost"]
        rows += [f"{a} {host} {host.partition('.')[0]}" for a, host in zip(ADDRESSES, self.hosts, strict=True)]
        Path(self.names).write_text("\n".join(rows) + "\n")
        self.pods = [Pod(self, index) for index in range(2)]

    def ready(self, within_seconds: float = 60) -> None:
        """Wait until the leader's readiness is good."""

        def answers() -> bool:
            for pod in self.pods:
                assert pod.process, "not started"
                assert pod.process.poll() is None, f"pod {pod.index} ended: {pod.log}"
            return self.pods[0].ask("/ready", 29480)[0] == 200

        try:
            eventually(answers, within_seconds=within_seconds, what="the leader is ready")
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *(f"pod {p.index}: {p.log}" for p in self.pods)])) from None


def _at(word: str, folder: Path) -> str:
    """Where the mounts of the pod are in this test."""
    return word.replace(LAUNCH_PATH, str(folder)).replace(FILES_PATH, str(folder))


@contextmanager
def two_pods(case: Case, folder: Path) -> Iterator[Pods]:
    """Networks for both and the wire between them; all gone afterwards."""
    pods = Pods(case, folder)
    with ExitStack() as stack:
        for pod in pods.pods:
            _ip("netns", "add", pod.namespace)
            stack.callback(_ip, "netns", "delete", pod.namespace)
            stack.callback(pod.kill)
        leader, follower = (pod.namespace for pod in pods.pods)
        _ip("link", "add", "eth0", "netns", leader, "type", "veth", "peer", "name", "eth0", "netns", follower)
        for pod, address in zip(pods.pods, ADDRESSES, strict=True):
            for words in (("addr", "add", f"{address}/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
                _ip("-n", pod.namespace, *words)
            _ip("-n", pod.namespace, "link", "set", "lo", "up")
        yield pods


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
