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

from support.waiting import eventually

AGENT = Path(__file__).parents[3] / "operator/shardwright/engines/files/mpi_agent.py"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Pod:
    """One pod's view: its secret, its incarnation, and a stand-in `orted` first on PATH."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        secret: str = "s3cret",
        incarnation: str = "1",
        group: str = "leader,127.0.0.1",
        daemon: str = "echo up",
    ) -> None:
        folder.mkdir()
        (folder / "secret").write_text(secret)
        (folder / "orted").write_text(f"#!/bin/sh\n{daemon}\n")
        (folder / "orted").chmod(0o755)
        self.environment = os.environ | {
            "SHARDWRIGHT_MPI_PORT": str(port),
            "SHARDWRIGHT_MPI_SECRET_FILE": str(folder / "secret"),
            "SHARDWRIGHT_INCARNATION": incarnation,
            "SHARDWRIGHT_GROUP": group,
            "SHARDWRIGHT_START_SECONDS": "10",
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


def listening(port: int) -> socket.socket:
    """Connect as soon as somebody listens."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


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
    status, output = leader.run(
        "rsh", "127.0.0.1", "OMPI_NOTE=hello ; export OMPI_NOTE ;", "orted", "-mca", "ess", "env"
    )
    assert (status, output) == (7, "hello\n")
    assert process.wait(10) == 7


def test_a_users_plain_shell_needs_no_profile(tmp_path, port, follower):
    follower(daemon="echo $1")
    said = Pod(tmp_path / "leader", port).run(
        "rsh", "127.0.0.1", "( test ! -r ./.profile || . ./.profile;", "orted", "-mca", ")"
    )
    assert said == (0, "-mca\n")


@pytest.mark.parametrize(
    ("facts", "command", "said"),
    [
        ({"secret": "another"}, "orted", "does not hold this deployment's secret"),
        ({"group": "leader,127.0.0.3"}, "orted", "of the group leader,127.0.0.3, this pod of leader,127.0.0.1"),
        ({"incarnation": "2"}, "orted", "of incarnation 2, this pod of 1"),
        ({}, "sh -c id", "only orted or prted is started here"),
        ({}, "orted | sh", "only orted or prted is started here"),
        ({}, "orted 'unclosed", "only orted or prted is started here"),
    ],
)
def test_anyone_else_is_refused_and_told_why_and_the_follower_waits_on(tmp_path, port, follower, facts, command, said):
    process = follower()
    status, output = Pod(tmp_path / "other", port, **facts).run("rsh", "127.0.0.1", command)
    assert status == 1
    assert said in output
    assert process.poll() is None
    assert Pod(tmp_path / "leader", port).run("rsh", "127.0.0.1", "orted") == (0, "up\n")


def test_a_recorded_request_cannot_be_replayed(tmp_path, port, follower):
    follower()
    payload = json.dumps({"group": "leader,127.0.0.1", "incarnation": "1", "command": "orted"}).encode()
    recorded = hmac.new(b"s3cret", b"an older nonce".ljust(32) + payload, hashlib.sha256).digest()
    with listening(port) as connection:
        connection.recv(32)
        for message in (recorded, payload):
            connection.sendall(struct.pack("!I", len(message)) + message)
        assert b"does not hold this deployment's secret" in connection.recv(1000)


def test_a_leader_that_dies_takes_the_daemon_along(tmp_path, port, follower):
    process = follower(daemon=f"touch {tmp_path}/up; sleep 60")
    process_up = tmp_path / "up"
    leader = Pod(tmp_path / "leader", port).start("rsh", "127.0.0.1", "orted")
    eventually(process_up.exists, within_seconds=15, what="the daemon runs")
    assert process.poll() is None
    leader.kill()
    leader.communicate()
    assert process.wait(15) != 0


def test_a_missing_follower_is_named(tmp_path, port):
    pod = Pod(tmp_path / "leader", port)
    pod.environment["SHARDWRIGHT_START_SECONDS"] = "1"
    status, output = pod.run("rsh", "127.0.0.1", "orted")
    assert status == 1
    assert f"127.0.0.1:{port} did not answer in 1 s" in output


def test_a_leader_whose_own_name_leads_elsewhere_says_so(tmp_path, port):
    status, output = Pod(tmp_path / "leader", port, group="127.0.0.1,b").run("rsh", "127.0.0.1", "orted")
    assert status == 1
    assert "its name does not resolve to its address" in output
