"""The external metrics API behind a real aggregation layer: who gets in, what is told, an autoscaler that scales."""

import base64
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardwright.api.labels import PLURAL
from shardwright.api.spec import AutoscalingSpec, MetricTarget
from shardwright.manifests.hpa import QUEUE_DEPTH_METRIC, REQUESTS_IN_HAND_METRIC, horizontal_pod_autoscaler
from shardwright.manifests.identity import DeploymentIdentity
from shardwright.metrics.certificates import SECRET_NAME
from shardwright.metrics.scrape import Load
from shardwright.status import build_status
from support.cluster import ControlPlane
from support.external_metrics import Client, ServedMetrics
from support.kubectl import KubectlError
from support.operator_process import free_port
from support.situations import plan, pod, replica, situation
from support.waiting import eventually, steadily

SYSTEM = "shardwright-system"
API = "/apis/external.metrics.k8s.io/v1beta1"
API_SERVICE = "v1beta1.external.metrics.k8s.io"


def path(namespace: str, name: str = "qwen", metric: str = QUEUE_DEPTH_METRIC) -> str:
    return f"{API}/namespaces/{namespace}/{metric}?labelSelector=shardwright.io%2Fdeployment%3D{name}"


@pytest.fixture(scope="module")
def served(control_plane: ControlPlane, operator_account: str, tmp_path_factory) -> Iterator[ServedMetrics]:
    """Served by the operator's own identity and rights, reached through the API server."""
    port = free_port()
    service = control_plane.serve_external_metrics_at(port)
    kubeconfig = control_plane.kubeconfig_of(
        operator_account, SYSTEM, tmp_path_factory.mktemp("metrics") / "kubeconfig"
    )
    metrics = ServedMetrics(kubeconfig, SYSTEM, service, port)
    metrics.start()
    eventually(lambda: metrics.server and metrics.server.serving, what="the server listens")
    metrics.refresh()
    control_plane.kubectl.run("wait", f"apiservice/{API_SERVICE}", "--for=condition=Available", "--timeout=30s")
    yield metrics
    metrics.stop()
    control_plane.kubectl.delete("apiservice", API_SERVICE)


@pytest.fixture
def front_proxy(control_plane: ControlPlane, served: ServedMetrics) -> Client:
    """The client certificate by which this API server's front proxy shows itself."""
    pki = control_plane.folder / "pki"
    return Client(served.port, pki / "admin.crt", pki / "admin.key")


def test_a_figure_comes_through_the_api_server(control_plane, served):
    served.figures["team-a", "qwen"] = Load(running=7, waiting=5)
    for metric, value in ((QUEUE_DEPTH_METRIC, "5"), (REQUESTS_IN_HAND_METRIC, "12")):
        answer = json.loads(control_plane.kubectl.run("get", "--raw", path("team-a", metric=metric)))
        assert answer["kind"] == "ExternalMetricValueList"
        assert [(item["metricName"], item["value"]) for item in answer["items"]] == [(metric, value)]
    assert served.answers[-1] == 200


def test_it_is_discovered(control_plane, served):
    resources = json.loads(control_plane.kubectl.run("get", "--raw", API))["resources"]
    assert [resource["name"] for resource in resources] == [QUEUE_DEPTH_METRIC, REQUESTS_IN_HAND_METRIC]


def test_a_namespace_can_be_deleted_while_it_is_served(control_plane, served):
    """The namespace controller waits for ever while any part of discovery is stale."""
    name = control_plane.make_namespace()
    control_plane.kubectl.run("delete", "namespace", name, "--timeout=100s", timeout_seconds=110)


@pytest.mark.parametrize(
    ("asked", "figure", "words"),
    [
        (path("team-a", "silent"), "qwen-0-0: /metrics does not answer", "qwen-0-0: /metrics does not answer"),
        (path("team-a", "nobody"), None, "no InferenceDeployment team-a/nobody"),
        (path("team-b"), None, "no InferenceDeployment team-b/qwen"),
        (path("team-a", metric="other"), None, "no metric other"),
        (f"{API}/namespaces/team-a/{QUEUE_DEPTH_METRIC}", None, "labelSelector must be"),
        (f"{API}/namespaces/team-a/{QUEUE_DEPTH_METRIC}?labelSelector=app%3Dx", None, "labelSelector must be"),
        (
            f"{API}/namespaces/team-a/{QUEUE_DEPTH_METRIC}?labelSelector=shardwright.io%2Fdeployment%21%3Dx",
            None,
            "must be",
        ),
    ],
)
def test_what_is_not_known_is_an_error_never_zero(control_plane, served, asked, figure, words):
    if figure is not None:
        served.figures["team-a", "silent"] = figure
    with pytest.raises(KubectlError, match=words):
        control_plane.kubectl.run("get", "--raw", asked)


def test_nobody_gets_in_without_the_front_proxys_certificate(served):
    status, answer = Client(served.port).get(path("team-a"), X_Remote_User="admin", X_Remote_Group="system:masters")
    assert (status, answer["reason"], answer["kind"]) == (401, "Unauthorized", "Status")


def test_a_certificate_of_the_same_authority_but_another_name_is_not_the_front_proxy(control_plane, served, tmp_path):
    client = Client(served.port, *issue(tmp_path, "somebody", control_plane.folder / "pki"))
    status, answer = client.get(path("team-a"), X_Remote_User="admin", X_Remote_Group="system:masters")
    assert status == 401
    assert "somebody" in answer["message"]


def test_a_certificate_of_another_authority_is_refused_by_tls(served, tmp_path):
    certificate, key = issue(tmp_path, "kwok-admin", None)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Client(served.port, certificate, key).get(path("team-a"), X_Remote_User="admin")


def test_the_front_proxy_must_name_a_user(front_proxy):
    assert front_proxy.get(path("team-a"))[0] == 401


def test_what_a_user_may_read_is_the_api_servers_decision(control_plane, served, front_proxy):
    served.figures["team-a", "qwen"] = Load(0, 3)
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "metrics-reader"}
    everywhere = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "metrics-reader"},
    }
    rule = {"apiGroups": ["external.metrics.k8s.io"], "resources": ["*"], "verbs": ["get", "list"]}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "reader", "namespace": "team-a"},
        "roleRef": role,
        "subjects": [{"kind": "Group", "name": "readers", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    control_plane.kubectl.apply(namespace, {**everywhere, "rules": [rule]}, binding)
    reader = {"X_Remote_User": "rita", "X_Remote_Group": "readers"}
    eventually(
        lambda: front_proxy.get(path("team-a"), **reader)[0] == 200, within_seconds=15, what="rita may read team-a"
    )
    assert front_proxy.get(path("team-b"), **reader)[0] == 403
    status, answer = front_proxy.get(path("team-a"), X_Remote_User="norbert", X_Remote_Group="others")
    assert (status, answer["reason"]) == (403, "Forbidden")


def test_a_lost_certificate_is_made_anew_and_the_api_server_still_gets_in(control_plane, served):
    served.figures["team-a", "qwen"] = Load(0, 5)
    before = trusted(control_plane)
    control_plane.kubectl.delete("secret", SECRET_NAME, namespace=SYSTEM)
    served.refresh()
    assert trusted(control_plane) != before
    eventually(lambda: reads(control_plane), what="the API server trusts the new authority")


def test_a_certificate_that_was_edited_by_hand_is_replaced_and_its_authority_kept(control_plane, served):
    served.figures["team-a", "qwen"] = Load(0, 5)
    before = trusted(control_plane)
    control_plane.kubectl.patch("secret", SECRET_NAME, {"data": {"tls.key": base64.b64encode(b"x").decode()}}, SYSTEM)
    served.refresh()
    assert before.strip() in trusted(control_plane)
    eventually(lambda: reads(control_plane), what="the API server still gets in")
    served.refresh()
    assert trusted(control_plane).count(b"BEGIN CERTIFICATE") == 2


def test_a_bundle_that_was_edited_by_hand_is_put_right(control_plane, served):
    right = trusted(control_plane)
    control_plane.kubectl.patch("apiservice", API_SERVICE, {"spec": {"caBundle": None, "insecureSkipTLSVerify": True}})
    served.refresh()
    assert trusted(control_plane) == right
    assert not control_plane.kubectl.get("apiservice", API_SERVICE)["spec"].get("insecureSkipTLSVerify")


def test_the_real_autoscaler_scales_by_it_and_holds_still_when_figures_are_lost(cluster, served, namespace):
    served.figures[namespace, "qwen"] = Load(running=0, waiting=11)
    deployment = {
        "apiVersion": "shardwright.io/v1alpha1",
        "kind": "InferenceDeployment",
        "metadata": {"name": "qwen", "namespace": namespace},
        "spec": {"model": {"id": "Qwen/Qwen3-8B"}, "replicas": 1},
    }
    cluster.kubectl.apply(deployment)
    uid = cluster.kubectl.get(PLURAL, "qwen", namespace)["metadata"]["uid"]
    scaling = AutoscalingSpec(
        metrics=[MetricTarget(type="queueDepth", target=4)], behavior={"scaleDown": {"stabilizationWindowSeconds": 0}}
    )
    say_replicas(cluster, deployment, 1)
    cluster.kubectl.apply(horizontal_pod_autoscaler(DeploymentIdentity("qwen", namespace, uid), scaling, 8))
    eventually(lambda: wanted(cluster, namespace) == 3, within_seconds=40, what="11 waiting at 4 each make 3 replicas")
    say_replicas(cluster, deployment, 3)
    served.figures[namespace, "qwen"] = "qwen-0-0: /metrics does not answer"
    eventually(lambda: "does not answer" in scaling_message(cluster, namespace), what="the autoscaler says why")
    steadily(
        lambda: wanted(cluster, namespace) == 3, for_seconds=6, what="nothing is scaled on figures that are not there"
    )
    served.figures[namespace, "qwen"] = Load(9, 0)
    eventually(lambda: wanted(cluster, namespace) == 1, within_seconds=40, what="an empty queue needs one replica")


def say_replicas(cluster: ControlPlane, deployment: dict, count: int) -> None:
    groups = tuple(replica(pod(), number=number) for number in range(count))
    status = build_status(situation(name="qwen", wanted=count, plan=plan(count), replicas=groups))
    said = {**deployment, "spec": {"model": deployment["spec"]["model"]}, "status": status}
    cluster.kubectl.apply(said, options=("--subresource=status",))


def wanted(cluster: ControlPlane, namespace: str) -> int:
    return cluster.kubectl.get(PLURAL, "qwen", namespace)["spec"]["replicas"]


def scaling_message(cluster: ControlPlane, namespace: str) -> str:
    (autoscaler,) = cluster.kubectl.list("hpa", namespace)
    conditions = autoscaler["status"].get("conditions", [])
    return " ".join(
        item["message"] for item in conditions if item["type"] == "ScalingActive" and item["status"] == "False"
    )


def trusted(cluster: ControlPlane) -> bytes:
    return base64.b64decode(cluster.kubectl.get("apiservice", API_SERVICE)["spec"]["caBundle"])


def reads(cluster: ControlPlane) -> bool:
    return '"value": "5"' in cluster.kubectl.run("get", "--raw", path("team-a"))


def issue(folder: Path, name: str, pki: Path | None) -> tuple[Path, Path]:
    """A client certificate for a name, of an authority or of itself."""
    key, request, certificate = folder / "key.pem", folder / "request.pem", folder / "certificate.pem"
    new = [
        "openssl",
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        f"/CN={name}",
    ]
    if pki is None:
        subprocess.run([*new, "-x509", "-keyout", key, "-out", certificate], check=True, capture_output=True)
        return certificate, key
    subprocess.run([*new, "-keyout", key, "-out", request], check=True, capture_output=True)
    sign = [
        "openssl",
        "x509",
        "-req",
        "-in",
        request,
        "-CA",
        pki / "ca.crt",
        "-CAkey",
        pki / "ca.key",
        "-out",
        certificate,
    ]
    subprocess.run([*sign, "-CAcreateserial", "-CAserial", folder / "serial"], check=True, capture_output=True)
    return certificate, key
