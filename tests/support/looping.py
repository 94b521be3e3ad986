"""A client pod that asks without end, and what became of its requests while something was broken."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from support.installed import CLIENT, Installed
from support.waiting import eventually

PROGRAM = Path(__file__).parents[2] / "e2e" / "looping_client.py"
TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, by the clock of this machine, which every node of the cluster shares."""

    started: float
    seconds: float
    outcome: str
    detail: str

    @property
    def ended(self) -> float:
        return self.started + self.seconds


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Requests that were under way at, or begun after, a moment."""

    since: float
    asked: tuple[Asked, ...]

    def of(self, outcome: str) -> list[Asked]:
        return [one for one in self.asked if one.outcome == outcome]

    @property
    def bad(self) -> list[Asked]:
        return [one for one in self.asked if one.outcome != "answered"]

    @property
    def gap_seconds(self) -> float:
        """From the moment to the start of the last request that was not answered; 0 where all were."""
        return max((one.started - self.since for one in self.bad), default=0.0)

    def __str__(self) -> str:
        counts = ", ".join(f"{len(self.of(word))} {word}" for word in ("answered", "failed", "hung", "wrong"))
        return f"{counts}; last bad one begun {self.gap_seconds:.1f} s after"


@dataclass(frozen=True, slots=True)
class LoopingClient:
    """A running client pod."""

    installed: Installed
    namespace: str
    pod: str

    def outcomes(self, since: float, until: float | None = None) -> Outcomes:
        """What became of every request that ended after `since` and began before `until`."""
        text = self.installed.kubectl.run("logs", "-n", self.namespace, self.pod)
        asked = [_read(line) for line in text.splitlines() if line.strip()]
        found = [one for one in asked if one.ended >= since and (until is None or one.started < until)]
        return Outcomes(since, tuple(found))


def start_client(installed: Installed, host: str, model: str, expected: str, *, node_product: str) -> LoopingClient:
    """Start one in a namespace of its own, on a node of that GPU product (one that no fault will hit)."""
    namespace = installed.cluster.make_namespace("loop")
    pod = f"looping-{secrets.token_hex(3)}"
    words = [host, "8000", model, expected, "6", "0.3", str(TIMEOUT_SECONDS)]
    installed.kubectl.apply(
        {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "client", "namespace": namespace},
            "data": {"looping_client.py": PROGRAM.read_text()},
        },
        {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod, "namespace": namespace},
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "enableServiceLinks": False,
                "nodeSelector": {"nvidia.com/gpu.product": node_product},
                "volumes": [{"name": "program", "configMap": {"name": "client"}}],
                "containers": [{
                    "name": "client", "image": CLIENT, "imagePullPolicy": "Never",
                    "command": ["python3", "/program/looping_client.py", *words],
                    "volumeMounts": [{"name": "program", "mountPath": "/program"}],
                }],
            },
        },
    )  # fmt: skip
    client = LoopingClient(installed, namespace, pod)
    eventually(lambda: client.outcomes(0).of("answered"), within_seconds=60, what="the looping client is answered")
    return client


def _read(line: str) -> Asked:
    started, seconds, outcome, *detail = line.split(" ", 3)
    return Asked(float(started), float(seconds), outcome, "".join(detail))
