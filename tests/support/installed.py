"""Shardwright installed in a cluster, as tests of the kind ring use it: apply, wait, ask, load."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.cluster import Cluster
from support.kubectl import Kubectl, Object
from support.waiting import eventually

INSTALL = Path(__file__).parents[2] / "e2e" / "install.sh"
CLIENT = "shardwright/client:dev"
SMALL: dict[str, Any] = {
    "model": {"id": "Qwen/Qwen3-8B", "servedName": "small"},
    "objective": {"contextLength": 8192},
    "placement": {"gpuProducts": ["L40S"]},
    "replicas": 1,
}
"""A deployment of one pod with one GPU."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A cluster in which our chart is installed."""

    cluster: Cluster

    @property
    def kubectl(self) -> Kubectl:
        return self.cluster.kubectl

    def install(self) -> None:
        """Build and load images, and install the chart; what is there is kept."""
        done = subprocess.run([str(INSTALL), self.cluster.name], stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 0, "install.sh failed; what it said is above"

    def namespace(self) -> str:
        """A namespace of the test's own, that is removed after it."""
        return self.cluster.make_namespace()

    def namespaces(self) -> list[str]:
        """Test namespaces that are not being removed."""
        found = self.kubectl.list("namespaces", None, "shardwright.io/test=true")
        return [item["metadata"]["name"] for item in found if item["status"]["phase"] == "Active"]

    def apply(self, name: str, namespace: str, spec: Mapping[str, Any]) -> None:
        self.kubectl.apply({
            "apiVersion": "shardwright.io/v1alpha1", "kind": "InferenceDeployment",
            "metadata": {"name": name, "namespace": namespace}, "spec": dict(spec),
        })  # fmt: skip

    def get(self, name: str, namespace: str) -> Object:
        found = self.kubectl.get("infd", name, namespace)
        assert found, f"there is no InferenceDeployment {namespace}/{name}"
        return found

    def available(self, name: str, namespace: str, within_seconds: float = 120) -> dict[str, Any]:
        """Wait as a user would; the status then. On failure the whole story is in the message."""
        try:
            self.kubectl.run(
                "wait", "infd", name, "-n", namespace, "--for=condition=Available", f"--timeout={int(within_seconds)}s",
                timeout_seconds=within_seconds + 10,
            )  # fmt: skip
        except AssertionError as failed:
            raise AssertionError(f"{failed}\n{self.story(namespace)}") from failed
        status: dict[str, Any] = self.get(name, namespace)["status"]
        return status

    def replica(self, name: str, namespace: str, *, ready: bool) -> dict[str, Any]:
        """The first replica's state when its readiness is as asked, else nothing."""
        states = self.get(name, namespace).get("status", {}).get("replicaStates") or [{}]
        return states[0] if states[0].get("ready") is ready else {}

    def ask(self, base_url: str, model: str, question: str = "Who are you?", *options: str) -> str:
        """The answer to one chat, asked with the openai client from a pod."""
        return self.finished(self._client(base_url, model, question, *options))

    def start_load(self, base_url: str, model: str, *, in_flight: int, seconds: int, tokens: int) -> str:
        """Start a client pod that keeps so many requests in flight; its name, for `finished`."""
        words = ("--load", str(in_flight), "--seconds", str(seconds), "--tokens", str(tokens))
        return self._client(base_url, model, "Tell me a story", *words)

    def finished(self, pod: str, within_seconds: float = 180) -> str:
        """Standard output of a client pod that succeeded; the pod is removed."""
        deadline = time.monotonic() + within_seconds
        phase = ""
        while phase not in {"Succeeded", "Failed"} and time.monotonic() < deadline:
            time.sleep(0.3)
            phase = str((self.kubectl.get("pod", pod) or {}).get("status", {}).get("phase"))
        said = self.kubectl.run("logs", pod)
        self.kubectl.delete("pod", pod, wait=False)
        assert phase == "Succeeded", f"the client pod ended as {phase}: {said}"
        return said

    def logs(self, pod: Object) -> str:
        return self.kubectl.run("logs", pod["metadata"]["name"], "-n", pod["metadata"]["namespace"])

    def story(self, namespace: str) -> str:
        """What a person would look at when something does not come up."""
        parts = [
            self.kubectl.run("get", "infd,pods,statefulsets,services,events", "-n", namespace, "-o", "wide"),
            self.kubectl.run("get", "infd", "-n", namespace, "-o", "yaml"),
            self.kubectl.run("logs", "-n", "shardwright-system", "deployment/shardwright", "--tail=40"),
        ]
        names = [pod["metadata"]["name"] for pod in self.kubectl.list("pods", namespace)]
        logs = ("logs", "-n", namespace, "--tail=20", "--ignore-errors")
        parts += [f"--- {name}\n{self.kubectl.run(*logs, name)}" for name in names]
        return "\n".join(parts)[-12000:]

    def _client(self, *words: str) -> str:
        name = f"client-{secrets.token_hex(3)}"
        self.kubectl.apply({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "enableServiceLinks": False,
                "containers": [{
                    "name": "client", "image": CLIENT, "imagePullPolicy": "Never", "args": list(words),
                    "securityContext": {"readOnlyRootFilesystem": True, "runAsNonRoot": True},
                }],
            },
        })  # fmt: skip
        return name


def condition(deployment: Object, kind: str) -> dict[str, Any]:
    """One condition of a status."""
    return next(item for item in deployment["status"]["conditions"] if item["type"] == kind)


def leader_pods(installed: Installed, name: str, namespace: str, *, ready: bool) -> list[Object]:
    """Leaders whose readiness is as asked."""
    pods = installed.kubectl.list("pods", namespace, f"shardwright.io/deployment={name},apps.kubernetes.io/pod-index=0")
    is_ready = [
        any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", [])) for pod in pods
    ]
    return [pod for pod, found in zip(pods, is_ready, strict=True) if found is ready]


def wait_gone(installed: Installed, namespaces: list[str]) -> None:
    """Delete namespaces and wait until their pods have given their GPUs back."""
    for namespace in namespaces:
        installed.kubectl.run("delete", "infd", "--all", "-n", namespace, "--wait=true")
        eventually(
            lambda namespace=namespace: not installed.kubectl.list("pods", namespace),
            within_seconds=120,
            what=f"the pods of {namespace} are gone",
        )
        installed.kubectl.run("delete", "namespace", namespace, "--wait=false")
