"""What is done to kind's nodes, and to processes in them, from outside. Knows nothing of Shardwright."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from support.kubectl import Object


def docker(*words: str) -> str:
    """Standard output of `docker WORDS`."""
    done = subprocess.run(["docker", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr.strip()}"
    return done.stdout.strip()


def kill_first_process(pod: Object) -> None:
    """SIGKILL the first process of a pod's container, as its node sees it: nothing in the container can know."""
    container = pod["status"]["containerStatuses"][0]["containerID"].partition("://")[2]
    node = pod["spec"]["nodeName"]
    tasks = docker("exec", node, "ctr", "--namespace", "k8s.io", "tasks", "list")
    pid = next(line.split()[1] for line in tasks.splitlines() if line.startswith(container))
    docker("exec", node, "kill", "-9", pid)


@contextmanager
def power_cut(node: str) -> Iterator[None]:
    """Inside, the node is dead without a word; it is started again afterwards."""
    docker("kill", node)
    try:
        yield
    finally:
        docker("start", node)


@contextmanager
def frozen(node: str) -> Iterator[None]:
    """Inside, every process of the node stands still, with all its connections open."""
    docker("pause", node)
    try:
        yield
    finally:
        docker("unpause", node)


@contextmanager
def api_server_frozen(control_plane: str) -> Iterator[None]:
    """Inside, the API server takes connections and answers nothing."""
    docker("exec", control_plane, "sh", "-c", "kill -STOP $(pidof kube-apiserver)")
    try:
        yield
    finally:
        docker("exec", control_plane, "sh", "-c", "kill -CONT $(pidof kube-apiserver)")
