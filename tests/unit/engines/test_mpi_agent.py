"""The launch agent starts MPI's daemon for the group's own leader and for nobody else."""

import hashlib
import hmac
import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

AGENT = Path(__file__).parents[3] / "operator/shardwright/engines/files/mpi_agent.py"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Pod:
    """One pod's view: its secret, its incarnation, and a stand-in `orted` first on PATH."""

    def __init__(
        self, folder: Path, port: int, secret: str = "s3cret", incarnation: str = "1", daemon: str = "echo up"
    ) -> None:
        folder.mkdir()
        (folder / "secret").write_text(secret)
        (folder / "orted").write_text(f"#!/bin/sh\n{daemon}\n")
        (folder / "orted").chmod(0o755)
        self.environment = os.environ | {
            "SHARDWRIGHT_MPI_PORT": str(port),
            "SHARDWRIGHT_MPI_SECRET_FILE": str(folder / "secret"),
            "SHARDWRIGHT_INCARNATION": incarnation,
            "SHARDWRIGHT_MPI_WAIT_SECONDS": "10",
            "PATH": f"{folder}:{os.environ['PATH']}",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(AGENT), *arguments],
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=30)
        return process.returncode, output


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def follower(tmp_path, port):
    pods = []

    def start(**facts) -> subprocess.Popen[str]:
        pod = Pod(tmp_path / "follower", port, **facts)
        pods.append(pod.start("serve"))
        return pods[-1]

    yield start
    for process in pods:
        process.kill()
        process.communicate()


def test_the_leader_gets_the_daemons_output_and_status(tmp_path, port, follower):
    process = follower(daemon="echo $OMPI_NOTE; exit 7")
    leader = Pod(tmp_path / "leader", port)
    assert leader.run("wait", "127.0.0.1") == (0, "")
    status, output = leader.run(
        "rsh", "127.0.0.1", "OMPI_NOTE=hello ; export OMPI_NOTE ;", "orted", "-mca", "ess", "env"
    )
    assert (status, output) == (7, "hello\n")
    assert process.wait(10) == 7


@pytest.mark.parametrize(
    ("facts", "command", "said"),
    [
        ({"secret": "another"}, "orted", "does not hold this group's secret"),
        ({"incarnation": "2"}, "orted", "of incarnation 2, this pod of 1"),
        ({}, "sh -c id", "only orted or prted is started here"),
        ({}, "orted | sh", "only orted or prted is started here"),
        ({}, "orted 'unclosed", "only orted or prted is started here"),
    ],
)
def test_anyone_else_is_refused_and_told_why_and_the_follower_waits_on(  # noqa: PLR0917
    tmp_path, port, follower, facts, command, said
):
    process = follower()
    Pod(tmp_path / "honest", port).run("wait", "127.0.0.1")
    status, output = Pod(tmp_path / "other", port, **facts).run("rsh", "127.0.0.1", command)
    assert status == 1
    assert said in output
    assert process.poll() is None
    assert Pod(tmp_path / "leader", port).run("rsh", "127.0.0.1", "orted") == (0, "up\n")


def test_a_recorded_request_cannot_be_replayed(tmp_path, port, follower):
    follower()
    Pod(tmp_path / "honest", port).run("wait", "127.0.0.1")
    payload = json.dumps({"incarnation": "1", "command": "orted"}).encode()
    recorded = hmac.new(b"s3cret", b"an older nonce".ljust(32) + payload, hashlib.sha256).digest()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.recv(32)
        for message in (recorded, payload):
            connection.sendall(struct.pack("!I", len(message)) + message)
        assert b"does not hold this group's secret" in connection.recv(1000)


def test_a_leader_that_dies_takes_the_daemon_along(tmp_path, port, follower):
    process = follower(daemon="sleep 60")
    pod = Pod(tmp_path / "leader", port)
    pod.run("wait", "127.0.0.1")
    leader = pod.start("rsh", "127.0.0.1", "orted")
    time.sleep(1)
    assert process.poll() is None
    leader.kill()
    leader.communicate()
    assert process.wait(15) != 0


def test_a_missing_follower_is_named(tmp_path, port):
    pod = Pod(tmp_path / "leader", port)
    pod.environment["SHARDWRIGHT_MPI_WAIT_SECONDS"] = "1"
    status, output = pod.run("wait", "127.0.0.1")
    assert status == 1
    assert f"127.0.0.1:{port} did not answer in 1 s" in output
