"""The operator as its own process, `python -m shardwright run`, with an identity of its own; to stop or kill."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.cluster import REPOSITORY

PORTS = ("HEALTH", "METRICS", "EXTERNAL_METRICS")


def free_port() -> int:
    """A TCP port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class OperatorProcess:
    """start() may be called again after stop() or kill(); the log keeps every life of it."""

    kubeconfig: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=lambda: {name: free_port() for name in PORTS})
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process, "the operator was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> OperatorProcess:
        assert not self.running, "the operator runs already"
        environment = {
            **{key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "LANG"}},
            "PYTHONPATH": str(REPOSITORY / "operator"), "PYTHONUNBUFFERED": "1", "KUBECONFIG": str(self.kubeconfig),
            "SHARDWRIGHT_BIND_ADDRESS": "127.0.0.1", "SHARDWRIGHT_HUB": "off",
            **{f"SHARDWRIGHT_{name}_PORT": str(port) for name, port in self.ports.items()},
            **self.environment,
        }  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "shardwright", "run"],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        return self

    @property
    def ready(self) -> bool:
        """What the readiness probe would be told."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['HEALTH']}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def metrics_text(self) -> str:
        """The operator's own metrics, in Prometheus' text format."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['METRICS']}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def stop(self, within_seconds: float = 20) -> int:
        """SIGTERM and wait; its exit status. An operator that does not end in time is killed and the test fails."""
        return self._end(signal.SIGTERM, within_seconds)

    def kill(self) -> int:
        """SIGKILL and wait; its exit status."""
        return self._end(signal.SIGKILL, 10)

    def wait(self, within_seconds: float) -> int:
        """Wait for an end that something else brings about; its exit status."""
        assert self._process, "the operator was not started"
        return self._process.wait(within_seconds)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _end(self, by: signal.Signals, within_seconds: float) -> int:
        assert self._process, "the operator was not started"
        if self.running:
            self._process.send_signal(by)
        try:
            return self._process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
            raise AssertionError(f"the operator did not end within {within_seconds:g} s of {by.name}") from None

    def __enter__(self) -> OperatorProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.kill()
