"""The ring itself: what every other test of this folder relies on."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from support.cluster import ControlPlane
from support.kubectl import Kubectl, KubectlError, Object
from support.operator_process import OperatorProcess, free_port
from support.proxy import CountingProxy
from support.waiting import eventually


def stateful_set(namespace: str, gpus: int, replicas: int = 1) -> Object:
    labels = {"app": "engine"}
    container = {"name": "engine", "image": "engine", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
    return {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "engine", "namespace": namespace},
        "spec": {
            "replicas": replicas, "serviceName": "engine", "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }  # fmt: skip


def placed(cluster: ControlPlane, namespace: str) -> dict[str, str]:
    pods = cluster.kubectl.list("pods", namespace)
    return {
        pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in pods if pod["status"]["phase"] == "Running"
    }


def through(proxy: CountingProxy, cluster: ControlPlane, folder: Path) -> Kubectl:
    cluster.kubectl.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "writer", "namespace": "default"}}
    )
    cluster.kubectl.apply({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "writer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": "writer", "namespace": "default"}],
    })  # fmt: skip
    target = cluster.kubeconfig_of("writer", "default", folder / "writer.kubeconfig", proxy.kubeconfig_cluster)
    return Kubectl(cluster.kubectl.program, target)


def test_gpu_pods_are_scheduled_by_capacity(cluster: ControlPlane, namespace: str) -> None:
    cluster.add_gpu_node("big", "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})
    cluster.add_gpu_node("small", "l40s", gpus=2)
    cluster.kubectl.apply(stateful_set(namespace, gpus=4, replicas=3))
    eventually(lambda: len(placed(cluster, namespace)) == 2, what="two pods of 4 GPUs fit the node of 8")
    assert set(placed(cluster, namespace).values()) == {"big"}


def test_pod_addresses_end_on_this_machine(cluster: ControlPlane, namespace: str) -> None:
    cluster.add_gpu_node("one", "h100")
    cluster.kubectl.apply(stateful_set(namespace, gpus=1))
    eventually(lambda: placed(cluster, namespace))
    address = cluster.kubectl.list("pods", namespace)[0]["status"]["podIP"]
    route = subprocess.run(["ip", "route", "get", address], capture_output=True, text=True, check=True).stdout
    assert route.startswith("local "), route


def test_a_token_has_the_rights_of_its_roles_only(
    cluster: ControlPlane, namespace: str, proxy: CountingProxy, tmp_path: Path
) -> None:
    kubectl = through(proxy, cluster, tmp_path)
    kubectl.run("create", "configmap", "made", "-n", namespace)
    with pytest.raises(KubectlError, match="forbidden"):
        kubectl.run("get", "nodes")
    assert proxy.count() == {("POST", f"/api/v1/namespaces/{namespace}/configmaps"): 1}


@pytest.fixture
def writer(proxy: CountingProxy, cluster: ControlPlane, tmp_path: Path) -> Kubectl:
    return through(proxy, cluster, tmp_path)


@pytest.mark.parametrize(("moment", "exists"), [("before", False), ("after", True)])
def test_a_process_dies_around_its_write(
    writer: Kubectl, cluster: ControlPlane, namespace: str, proxy: CountingProxy, moment: str, *, exists: bool
) -> None:
    create = f"{writer.program} --kubeconfig {writer.kubeconfig} create configmap -n {namespace}"
    command = f"for i in 1 2 3; do {create} c$i; done; sleep 60"
    with subprocess.Popen(["bash", "-c", command]) as process:
        done = proxy.kill_at_write(process.pid, 2, moment)  # type: ignore[arg-type]
        assert process.wait(30) == -9
        assert done.is_set()
    names = {item["metadata"]["name"] for item in cluster.kubectl.list("configmaps", namespace)}
    assert ("c1" in names, "c2" in names) == (True, exists)


def test_watches_stream_and_can_be_cut(
    cluster: ControlPlane, namespace: str, proxy: CountingProxy, tmp_path: Path
) -> None:
    kubectl = through(proxy, cluster, tmp_path)
    watch = [
        str(kubectl.program),
        "--kubeconfig",
        str(kubectl.kubeconfig),
        "get",
        "configmaps",
        "-n",
        namespace,
        "-o",
        "name",
        "--watch-only",
    ]
    with subprocess.Popen(watch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        eventually(lambda: any("watch=true" in call.query for call in proxy.calls), what="the watch is open")
        cluster.kubectl.run("create", "configmap", "seen", "-n", namespace)
        assert process.stdout.readline().strip() == "configmap/seen"
        with proxy.watches_cut():
            assert process.wait(10) is not None
            anyone = ssl._create_unverified_context()
            with pytest.raises(ConnectionError):
                urllib.request.urlopen(
                    proxy.kubeconfig_cluster["server"] + "/api/v1/pods?watch=true", timeout=5, context=anyone
                )
            assert kubectl.list("configmaps", namespace)


def test_the_api_server_comes_back_with_what_it_knew(cluster: ControlPlane, namespace: str) -> None:
    cluster.kubectl.run("create", "configmap", "kept", "-n", namespace)
    with cluster.api_server_down(), pytest.raises(KubectlError):
        cluster.kubectl.get("configmap", "kept", namespace)
    assert cluster.kubectl.get("configmap", "kept", namespace)


def test_an_operator_starts_with_its_own_rights_and_dies_when_told(
    start_operator: Callable[..., OperatorProcess], proxy: CountingProxy
) -> None:
    operator = start_operator(through=proxy)
    eventually(lambda: operator.ready, within_seconds=30, what="the operator is ready")
    assert "shardwright" in operator.metrics_text()
    refused = [call for call in proxy.calls if call.status in {401, 403}]
    assert not refused, "the chart gives every right that is used"
    assert operator.stop() == 0


def test_the_aggregated_api_of_an_operator_process_is_found(
    cluster: ControlPlane, start_operator: Callable[..., OperatorProcess]
) -> None:
    port = free_port()
    service = cluster.serve_external_metrics_at(port)
    operator = start_operator(SHARDWRIGHT_EXTERNAL_METRICS_SERVICE=service, SHARDWRIGHT_EXTERNAL_METRICS_PORT=str(port))
    name = "v1beta1.external.metrics.k8s.io"
    try:
        cluster.kubectl.run("wait", "apiservice", name, "--for=condition=Available", "--timeout=40s")
        found = json.loads(cluster.kubectl.run("get", "--raw", "/apis/external.metrics.k8s.io/v1beta1"))
        assert found["kind"] == "APIResourceList"
    finally:
        cluster.kubectl.delete("apiservice", name)
    assert operator.stop() == 0
