"""annotate-node writes on a real API server, and leaves alone what somebody else wrote."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from support.cluster import ControlPlane
from support.kubectl import KubectlError
from support.waiting import eventually

DUMP = Path(__file__).parents[1] / "data" / "topology" / "topo" / "46-h100-pcie-x8-bridge-crosses-sockets.txt"
ISLANDS, LINK = "shardwright.io/gpu-islands", "shardwright.io/gpu-link"


def annotate(cluster: ControlPlane, node: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shardwright", "annotate-node", "--node-name", node, "--topology", str(DUMP), *options],
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def annotations(cluster: ControlPlane, node: str) -> dict[str, str]:
    found = cluster.kubectl.get("node", node)
    return dict(found["metadata"]["annotations"]) if found else {}


def test_writes_its_own_and_leaves_others_alone(cluster: ControlPlane) -> None:
    cluster.add_gpu_node("bridged", "h100")
    done = annotate(cluster, "bridged", "--sysfs", "/nonexistent")
    assert done.returncode == 0, done.stderr
    assert annotations(cluster, "bridged")[ISLANDS] == "0,5;1-2;3-4;6-7"

    cluster.kubectl.run("annotate", "node", "bridged", "--overwrite", f"{LINK}=pcie")
    refused = annotate(cluster, "bridged", "--sysfs", "/nonexistent")
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert annotations(cluster, "bridged")[LINK] == "pcie"

    assert annotate(cluster, "bridged", "--sysfs", "/nonexistent", "--force").returncode == 0
    assert annotations(cluster, "bridged")[LINK] == "nvlink-bridge"
    assert "Traceback" not in done.stderr + refused.stderr


def test_what_a_person_wrote_stays_and_the_rest_is_written(cluster: ControlPlane) -> None:
    cluster.add_gpu_node("bridged", "h100", annotations={LINK: "pcie"})
    refused = annotate(cluster, "bridged", "--sysfs", "/nonexistent")
    assert refused.returncode == 1
    found = annotations(cluster, "bridged")
    assert (found[LINK], found[ISLANDS]) == ("pcie", "0,5;1-2;3-4;6-7")


ACCOUNT = "shardwright-annotate-nodes"
IDENTITY = {
    "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}  # fmt: skip


@pytest.fixture
def identity(cluster: ControlPlane, tmp_path: Path) -> Iterator[ControlPlane]:
    """The cluster as the chart's DaemonSet sees it on the node `bridged`: its account, rights and admission policy."""
    namespace = "shardwright-system"
    cluster.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    chart = cluster.rendered_chart(namespace, "--set", "annotateNodes.enabled=true")
    objects = [item for item in chart if item["kind"] in IDENTITY and item["metadata"]["name"] == ACCOUNT]
    assert {item["kind"] for item in objects} == IDENTITY
    cluster.kubectl.apply(*objects)
    for name in ("bridged", "other"):
        cluster.add_gpu_node(name, "h100", annotations={"example.com/mine": "kept"})
    file = cluster.kubeconfig_of(ACCOUNT, namespace, tmp_path / "kubeconfig")
    token = cluster.kubectl.run(
        "create", "token", ACCOUNT, "-n", namespace, "--bound-object-kind=Node", "--bound-object-name=bridged"
    ).strip()
    config = yaml.safe_load(file.read_text())
    config["users"][0]["user"]["token"] = token
    file.write_text(yaml.safe_dump(config))
    seen = replace(cluster, kubeconfig=file)
    eventually(
        lambda: "no other" in refusal(seen, "other", {"annotations": {ISLANDS: "0-7"}}),
        within_seconds=60, what="the admission policy holds",
    )  # fmt: skip
    yield seen
    for item in objects:
        if item["kind"].startswith("Validating"):
            cluster.kubectl.run("delete", item["kind"], ACCOUNT)


def refusal(cluster: ControlPlane, node: str, metadata: dict, **more: dict) -> str:
    """What the API server says to a patch of a Node; empty if it takes it. kubectl would read the Node first."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    ca = server.get("certificate-authority")
    data = base64.b64decode(server.get("certificate-authority-data", "")).decode() or None
    request = urllib.request.Request(
        f"{server['server']}/api/v1/nodes/{node}", json.dumps({"metadata": metadata, **more}).encode(), method="PATCH",
        headers={"Authorization": f"Bearer {user['token']}", "Content-Type": "application/merge-patch+json"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=ca, cadata=data)):
            return ""
    except urllib.error.HTTPError as error:
        return error.read().decode()


def test_the_daemonset_annotates_its_own_node_and_may_do_nothing_else(
    cluster: ControlPlane, identity: ControlPlane
) -> None:
    done = annotate(identity, "bridged", "--sysfs", "/nonexistent")
    assert done.returncode == 0, done.stderr
    assert annotations(cluster, "bridged")[ISLANDS] == "0,5;1-2;3-4;6-7"
    assert annotations(cluster, "bridged")["example.com/mine"] == "kept"

    assert "runs on" in annotate(identity, "other", "--sysfs", "/nonexistent").stderr
    assert "nothing else" in refusal(identity, "bridged", {"labels": {"a": "b"}})
    assert "nothing else" in refusal(identity, "bridged", {}, spec={"unschedulable": True})
    assert "nothing else" in refusal(identity, "bridged", {"finalizers": ["example.com/stay"]})
    assert "no others" in refusal(identity, "bridged", {"annotations": {"example.com/new": "x"}})
    assert "no others" in refusal(identity, "bridged", {"annotations": {"example.com/mine": "x"}})
    assert "no others" in refusal(identity, "bridged", {"annotations": {"example.com/mine": None}})
    assert not refusal(identity, "bridged", {"annotations": {ISLANDS: None}})
    for verb, what in (("get", "nodes"), ("delete", "node/bridged"), ("get", "pods"), ("get", "secrets")):
        with pytest.raises(KubectlError, match="orbidden"):
            identity.kubectl.run(verb, what)
    cluster.kubectl.run("label", "node", "other", "a=b")  # the policy binds nobody else


def test_as_a_daemon_it_writes_what_changed_and_stops_when_told(
    cluster: ControlPlane, identity: ControlPlane, tmp_path: Path
) -> None:
    dump = tmp_path / "topology.txt"
    dump.write_text(DUMP.read_text())
    daemon = subprocess.Popen(
        [sys.executable, "-m", "shardwright", "annotate-node", "--topology", str(dump), "--every-seconds=1",
         "--sysfs", str(tmp_path)],
        env={**os.environ, "KUBECONFIG": str(identity.kubeconfig), "NODE_NAME": "bridged"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        eventually(lambda: annotations(cluster, "bridged").get(ISLANDS) == "0,5;1-2;3-4;6-7", within_seconds=60)
        written = written_at(cluster)
        time.sleep(3)
        assert written_at(cluster) == written, "what is the same is not written again"
        dump.write_text("nonsense")
        time.sleep(2)
        assert annotations(cluster, "bridged")[LINK] == "nvlink-bridge", "what cannot be read changes nothing"
        dump.write_text((DUMP.parent / "08-h100x8-nv18-no-nic.txt").read_text())
        eventually(lambda: annotations(cluster, "bridged")[ISLANDS] == "0-7", within_seconds=30)
    finally:
        daemon.terminate()
        output, _ = daemon.communicate(timeout=10)
    assert daemon.returncode == 0
    assert output.count("bridged: ") == 2, output
    assert "Traceback" not in output


def written_at(cluster: ControlPlane) -> list[str]:
    """When annotate-node wrote last."""
    text = cluster.kubectl.run("get", "node", "bridged", "-o", "json", "--show-managed-fields")
    entries = json.loads(text)["metadata"]["managedFields"]
    return [entry["time"] for entry in entries if entry["manager"] == "shardwright-annotate-node"]


def test_the_daemonset_goes_to_nodes_with_gpus(cluster: ControlPlane, identity: ControlPlane) -> None:
    cluster.add_node("plain")
    chart = cluster.rendered_chart("shardwright-system", "--set", "annotateNodes.enabled=true")
    daemons = next(item for item in chart if item["kind"] == "DaemonSet")
    cluster.kubectl.apply(daemons)
    try:
        eventually(
            lambda: (
                {pod["spec"].get("nodeName") for pod in cluster.kubectl.list("pods", "shardwright-system")}
                == {"bridged", "other"}
            ),
            what="a pod on each node with GPUs, and on no other",
        )
    finally:
        cluster.kubectl.run("delete", "daemonset", ACCOUNT, "-n", "shardwright-system")
