"""Two replicas of a two-pod group under a client that never stops asking: what a fault does to them, in figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from support.installed import Installed, wait_gone
from support.kubectl import Object
from support.looping import LoopingClient, Outcomes, start_client
from support.waiting import eventually

NAME = "wide"
MODEL = "meta-llama/Llama-3.3-70B-Instruct"
EXPECTED = f"vllm 0.32.0 {MODEL} TP8·PP2"
SPEC: dict[str, Any] = {
    "model": {"id": MODEL, "servedName": NAME},
    "engine": {"env": [{"name": "FAKE_ENGINE_STEP_MILLISECONDS", "value": "2"}]},
    "objective": {"contextLength": 16384},
    "layout": {"tensor": 8, "pipeline": 2, "nodesPerReplica": 2},
    "placement": {"gpuProducts": ["H100-SXM"]},
    "replicas": 2,
    "restart": {"budget": 20, "resetAfter": "1s"},
}
"""A pod takes all GPUs of its node, so that no node is in two groups; each fault meets a group with no restarts held
against it."""
SETTLE_SECONDS = 3.0
"""How long the client goes on after a fault is over, so that what comes late is still counted."""


@dataclass(frozen=True, slots=True)
class Group:
    """One replica's pods, leader first."""

    replica: int
    pods: tuple[Object, ...]

    @property
    def uids(self) -> frozenset[str]:
        return frozenset(pod["metadata"]["uid"] for pod in self.pods)

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(pod["spec"]["nodeName"] for pod in self.pods)


@dataclass(frozen=True, slots=True)
class UnderLoad:
    """The deployment and its client."""

    installed: Installed
    namespace: str
    client: LoopingClient

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.installed.get(NAME, self.namespace).get("status", {})
        return found

    def pods(self) -> list[Object]:
        return self.installed.kubectl.list("pods", self.namespace, f"shardwright.io/deployment={NAME}")

    def uids(self) -> frozenset[str]:
        return frozenset(pod["metadata"]["uid"] for pod in self.pods())

    def group(self, replica: int) -> Group:
        mine = [pod for pod in self.pods() if pod["metadata"]["labels"]["shardwright.io/replica"] == str(replica)]
        return Group(replica, tuple(sorted(mine, key=lambda pod: pod["metadata"]["name"])))

    def all_ready(self, replicas: int = 2) -> bool:
        """Status and pods agree that every replica serves."""
        pods = self.pods()
        return (
            self.status.get("readyReplicas") == replicas
            and self.status.get("summary") == f"{replicas} of {replicas} replicas ready"
            and len(pods) == 2 * replicas
            and all(is_ready(pod) and not pod["metadata"].get("deletionTimestamp") for pod in pods)
        )

    def wait_all_ready(self, replicas: int = 2, within_seconds: float = 180) -> None:
        try:
            eventually(lambda: self.all_ready(replicas), within_seconds=within_seconds, what="all replicas are ready")
        except AssertionError as failed:
            raise AssertionError(f"{failed}\n{self.installed.story(self.namespace)}") from failed

    def wait_anew(self, before: Group, within_seconds: float) -> None:
        """Wait until the group consists of other pods and serves again."""
        try:
            eventually(
                lambda: not before.uids & self.group(before.replica).uids and self.all_ready(),
                within_seconds=within_seconds,
                what=f"replica {before.replica} is made anew",
            )
        except AssertionError as failed:
            raise AssertionError(f"{failed}\n{self.installed.story(self.namespace)}") from failed

    def fault(self, name: str, strike: Callable[[], object], recovered: Callable[[], object]) -> Outcomes:
        """Strike, wait until it is mended, and count; the figures are printed."""
        since = time.time()
        strike()
        struck = time.time()
        recovered()
        mended = time.time() - since
        time.sleep(SETTLE_SECONDS)
        found = self.client.outcomes(since)
        print(f"\nFAULT {name}: mended after {mended:.1f} s (struck in {struck - since:.1f} s); {found}")
        for one in found.bad:
            print(f"    {one.started - since:+.2f} s {one.seconds:.2f} s {one.outcome} {one.detail[:120]}")
        return found

    def operator_node(self) -> str:
        found = eventually(lambda: operator_pod(self.installed), what="the operator runs")
        assert found
        return str(found["spec"]["nodeName"])


def operator_pod(installed: Installed) -> Object | None:
    """The operator's pod that is ready, if one is."""
    pods = installed.kubectl.list("pods", "shardwright-system", "app.kubernetes.io/name=shardwright")
    return next((pod for pod in pods if not pod["metadata"].get("deletionTimestamp") and is_ready(pod)), None)


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


@contextmanager
def under_load(installed: Installed) -> Iterator[UnderLoad]:
    """The deployment, ready and asked without end, for as long as the block lasts."""
    before = set(installed.namespaces())
    namespace = installed.namespace()
    installed.apply(NAME, namespace, SPEC)
    installed.available(NAME, namespace)
    service = installed.kubectl.get("service", NAME, namespace)
    assert service
    host = service["spec"]["clusterIP"]  # not by name: DNS is one of the things that are taken away
    running = UnderLoad(installed, namespace, start_client(installed, host, NAME, EXPECTED, node_product="NVIDIA-L40S"))
    running.wait_all_ready()
    try:
        yield running
    finally:
        wait_gone(installed, [name for name in installed.namespaces() if name == namespace])
        for other in set(installed.namespaces()) - before:
            installed.kubectl.run("delete", "namespace", other, "--wait=false")
