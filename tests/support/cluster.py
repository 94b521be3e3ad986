"""Test clusters as Python objects: a control plane with simulated nodes, and kind.

The scripts in e2e/cluster do the work. This module knows how clusters, nodes and identities are made;
it knows nothing of what the operator does in them.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from support.kubectl import Kubectl, KubectlError, Object
from support.waiting import eventually

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "e2e" / "cluster"
CHART = REPOSITORY / "charts" / "shardwright"
EXTERNAL_METRICS = ("--set", "externalMetrics.install=true")
CRDS = REPOSITORY / "crds"
TEST_NAMESPACES = {"shardwright.io/test": "true"}
MACHINE = {"cpu": "128", "memory": "2Ti", "pods": "110"}


def script(name: str, *arguments: str, **environment: str) -> str:
    """Run a script of e2e/cluster; its last line on stdout. Its progress lines go to stderr as they come."""
    done = subprocess.run(
        [str(SCRIPTS / name), *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{name} {' '.join(arguments)} failed with {done.returncode}; what it said is above")
    return (done.stdout.strip().splitlines() or [""])[-1]


@cache
def programs() -> Path:
    """The folder of kubectl, helm, kwokctl and the rest; built on first use."""
    return Path(script("build-binaries.sh"))


def unique_name(prefix: str) -> str:
    """A cluster name that tells which process made it, so that a later run can remove what a killed one left."""
    return f"{prefix}-p{os.getpid()}-{secrets.token_hex(2)}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """What both kinds of cluster can do."""

    name: str
    kubeconfig: Path

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(programs() / "kubectl", self.kubeconfig)

    def helm(self, *arguments: str) -> str:
        """Standard output of `helm ARGUMENTS` against this cluster."""
        command = [str(programs() / "helm"), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr.strip()}"
        return done.stdout

    def rendered_chart(self, namespace: str = "shardwright-system", *options: str) -> list[Object]:
        """The chart's objects as `helm template` prints them."""
        text = self.helm("template", "shardwright", str(CHART), "--namespace", namespace, *options)
        return [item for item in yaml.safe_load_all(text) if item]

    def make_namespace(self, prefix: str = "t") -> str:
        """A new namespace that clean() removes."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        self.kubectl.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": TEST_NAMESPACES}}
        )
        eventually(lambda: self.kubectl.get("serviceaccount", "default", name), what=f"the service account of {name}")
        return name

    def kubeconfig_of(
        self, service_account: str, namespace: str, target: Path, through: Mapping[str, str] | None = None
    ) -> Path:
        """A kubeconfig with a token of that ServiceAccount, its real RBAC identity.

        `through` is the kubeconfig_cluster of a proxy that stands in between.
        """
        cluster = dict(through or yaml.safe_load(self.kubeconfig.read_text())["clusters"][0]["cluster"])
        token = self.kubectl.run("create", "token", service_account, "-n", namespace, "--duration=24h").strip()
        text = yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        })  # fmt: skip
        target.touch(mode=0o600)
        target.write_text(text)
        return target


@dataclass(frozen=True, slots=True)
class ControlPlane(Cluster):
    """etcd, API server, controllers and scheduler for real; nodes and pods simulated by kwok."""

    folder: Path

    def add_gpu_node(
        self, name: str, product: str = "h100", *, gpus: int | None = None, resource: str = "nvidia.com/gpu",
        labels: Mapping[str, str | None] | None = None, annotations: Mapping[str, str] | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """A node that says what GPU Feature Discovery says of `product`, a file of e2e/cluster/fleet ("" for none).

        labels adds to that; None takes a label away.
        """
        every = {**gpu_labels(product), **(labels or {})}
        count = gpus if gpus is not None else int(every.get("nvidia.com/gpu.count") or 0)
        if gpus is not None and product in {"h100", "l40s"}:
            every["nvidia.com/gpu.count"] = str(gpus)
        self.add_node(
            name, {resource: str(count)}, {k: v for k, v in every.items() if v is not None}, annotations, spec
        )

    def add_node(
        self, name: str, capacity: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None, spec: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """A Ready node with exactly these labels, annotations and extra capacity."""
        everything = {**MACHINE, **(capacity or {})}
        usual = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        self.kubectl.apply({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {**usual, **(labels or {})},
                "annotations": {"kwok.x-k8s.io/node": "fake", **(annotations or {})},
            },
            "spec": dict(spec or {}),
            "status": {"capacity": everything, "allocatable": everything},
        }, server_side=False)  # fmt: skip
        self.kubectl.run("wait", "node", name, "--for=condition=Ready", "--timeout=20s")

    def remove_node(self, name: str) -> None:
        self.kubectl.delete("node", name)

    def install(self, namespace: str = "shardwright-system", *options: str) -> str:
        """The CRDs and the chart's identity (ServiceAccount and RBAC, no Deployment); the ServiceAccount's name."""
        self.kubectl.apply(*sorted(CRDS.glob("*.yaml")))
        self.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        objects = self.rendered_chart(namespace, *EXTERNAL_METRICS, *options)
        identity = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
        self.kubectl.apply(*[item for item in objects if item["kind"] in identity])
        account: str = next(item for item in objects if item["kind"] == "Deployment")["spec"]["template"]["spec"][
            "serviceAccountName"
        ]
        return account

    def serve_external_metrics_at(self, port: int, namespace: str = "shardwright-system") -> str:
        """Let the API server find the chart's aggregated API at a port of this host; the name of its Service."""
        objects = self.rendered_chart(namespace, *EXTERNAL_METRICS)
        api_service = next(item for item in objects if item["kind"] == "APIService")
        name: str = api_service["spec"]["service"]["name"]
        service = next(item for item in objects if item["kind"] == "Service" and item["metadata"]["name"] == name)
        self.aggregate(service, api_service, port)
        return name

    def aggregate(self, service: Object, api_service: Object, port: int) -> None:
        """Let the API server find an aggregated API at a port of this host.

        The Service becomes an ExternalName `localhost`: an operator that runs as a process has no pod to select.
        """
        self.kubectl.apply({**service, "spec": {"type": "ExternalName", "externalName": "localhost"}})
        spec = {**api_service["spec"], "service": {**api_service["spec"]["service"], "port": port}}
        self.kubectl.apply({**api_service, "spec": spec})

    @contextmanager
    def api_server_down(self) -> Iterator[None]:
        """Inside, the API server is dead (SIGKILL); it is up again afterwards."""
        pid_file = self.folder / "pids" / "kube-apiserver.pid"
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
        pid_file.unlink()  # a zombie that nobody reaps would pass for a running server
        try:
            yield
        finally:
            script("kwok-restart.sh", self.name)
            eventually(self._answers, within_seconds=30, what="the API server answers again")

    def restart_api_server(self, down_seconds: float = 0) -> None:
        """Kill the API server and start it again after a while."""
        with self.api_server_down():
            time.sleep(down_seconds)

    def clean(self) -> None:
        """Back to an empty cluster: no InferenceDeployment, StatefulSet, pod or node.

        Test namespaces go in their own time (the namespace controller takes 5 s or more for each).
        """
        if "inferencedeployments" in self.kubectl.run("api-resources", "-o", "name"):
            self.kubectl.run("delete", "inferencedeployments", "-A", "--all", "--wait=true")
        self.kubectl.run("delete", "namespaces", "-l", "shardwright.io/test=true", "--wait=false")
        self.kubectl.run("delete", "statefulsets", "-A", "--all", "--wait=false")
        self.kubectl.run("delete", "pods", "-A", "--all", "--force", "--grace-period=0", "--wait=false")
        self.kubectl.run("delete", "nodes", "--all", "--wait=true")
        eventually(lambda: not self.kubectl.list("pods", None), what="no pod is left")

    def _answers(self) -> bool:
        try:
            return self.kubectl.run("get", "--raw", "/readyz", "--request-timeout=2s").strip() == "ok"
        except KubectlError:
            return False


@cache
def _fleet_file(product: str) -> dict[str, str]:
    labels: dict[str, str] = yaml.safe_load((SCRIPTS / "fleet" / f"{product}.yaml").read_text())["metadata"]["labels"]
    return labels


def gpu_labels(product: str) -> dict[str, str | None]:
    """The labels of a file in e2e/cluster/fleet; "" means none."""
    return dict(_fleet_file(product)) if product else {}


@contextmanager
def control_plane_cluster(name: str = "") -> Iterator[ControlPlane]:
    """A control plane that exists inside the block."""
    name = name or unique_name("sw")
    remove_abandoned()
    kubeconfig = Path(script("kwok-up.sh", name))
    try:
        yield ControlPlane(name, kubeconfig, kubeconfig.parent / "kwok" / "clusters" / name)
    finally:
        script("kwok-down.sh", name)


@contextmanager
def kind_cluster(name: str = "", *, fleet: str = "h100 h100 l40s", extra_mounts: str = "") -> Iterator[Cluster]:
    """A kind cluster that exists inside the block; KEEP_CLUSTER=1 leaves it for a look around."""
    name = name or unique_name("sw")
    remove_abandoned()
    try:
        yield Cluster(name, Path(script("kind-up.sh", name, FLEET=fleet, EXTRA_MOUNTS=extra_mounts)))
    finally:
        if not os.environ.get("KEEP_CLUSTER"):
            script("kind-down.sh", name)


def existing_kind_cluster(name: str) -> Cluster:
    """A cluster that `kind-up.sh NAME` made before."""
    state = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shardwright" / "run"
    return Cluster(name, state / f"kind-{name}.kubeconfig")


def remove_abandoned() -> None:
    """Remove test clusters whose process is gone (a killed run cannot tidy up after itself)."""
    script("remove-abandoned.sh")
