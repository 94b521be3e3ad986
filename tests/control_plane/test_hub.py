"""Models the catalogue does not know, read from a hub on this machine by an operator with the chart's permissions."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import deployments as infd
from support.cluster import REPOSITORY, ControlPlane
from support.deployments import StartOperator
from support.hub import LLAMA, File, LocalHub, llama_tensors, safetensors_head
from support.waiting import eventually, steadily

MODEL = "org/unheard-of"
CONFIG = f"/{MODEL}/resolve/main/config.json"


@pytest.fixture
def fleet(cluster: ControlPlane) -> ControlPlane:
    """One H100 node with 8 GPUs."""
    cluster.add_gpu_node("h100-a", "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})
    return cluster


def test_an_unknown_model_is_planned_and_outlives_its_hub(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    with LocalHub() as hub:
        hub.put_model(MODEL, shards=3)
        operator = start_operator(SHARDWRIGHT_HUB=hub.url)
        infd.apply(fleet, namespace, "small", model=MODEL, replicas=1)
        found = infd.wait_available(fleet, namespace, "small", 1)
        assert infd.condition(found, "Planned")["status"] == "True"
        assert hub.paths().count(CONFIG) == 1 and len(hub.paths()) == 1 + 1 + 1 + 3
    operator.stop()
    operator.start()
    fleet.kubectl.patch(infd.KIND, "small", {"spec": {"replicas": 2}}, namespace)
    found = infd.wait_available(fleet, namespace, "small", 2)
    assert infd.condition(found, "Accepted")["status"] == "True"


def test_what_is_missing_is_said_and_asked_for_again(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    with LocalHub() as hub:
        hub.put(MODEL, "config.json", File(b"{}", delay_seconds=3, status=404))
        start_operator(SHARDWRIGHT_HUB=hub.url, SHARDWRIGHT_HUB_FIRST_RETRY_SECONDS="2")
        infd.apply(fleet, namespace, "small", model=MODEL, replicas=1)
        infd.wait_for(fleet, namespace, "small", "Accepted", "Unknown", "ModelFactsPending")
        found = infd.wait_for(fleet, namespace, "small", "Accepted", "False", "ModelNotFound")
        assert "spec.model.id" in infd.condition(found, "Accepted")["message"]
        hub.put_model(MODEL)
        infd.wait_available(fleet, namespace, "small", 1)


def test_a_hub_that_is_down_is_asked_seldom(fleet: ControlPlane, namespace: str, start_operator: StartOperator) -> None:
    with LocalHub() as hub:
        hub.put(MODEL, "config.json", File(status=500))
        start_operator(SHARDWRIGHT_HUB=hub.url)
        for name in ("one", "two", "three"):
            infd.apply(fleet, namespace, name, model=MODEL, replicas=1)
        for name in ("one", "two", "three"):
            infd.wait_for(fleet, namespace, name, "Accepted", "False", "HubUnreachable")
        steadily(lambda: hub.paths() == [CONFIG], for_seconds=5, what="it is asked once for all of them")


def test_a_token_needs_a_permission_that_the_chart_gives_only_when_asked(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    token = base64.b64encode(b"hf_secret\n").decode()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub", "namespace": namespace}}
    fleet.kubectl.apply({**secret, "data": {"token": token}})
    source = {"hub": {"tokenSecretRef": {"name": "hub", "key": "token"}}}
    with LocalHub() as hub:
        hub.put_model(MODEL)
        for file in hub.files.values():
            file.needs_token = "hf_secret"
        start_operator(SHARDWRIGHT_HUB=hub.url, SHARDWRIGHT_HUB_FIRST_RETRY_SECONDS="1")
        infd.apply(fleet, namespace, "gated", replicas=1, **{"model": MODEL})
        infd.wait_for(fleet, namespace, "gated", "Accepted", "False", "ModelAccessDenied")
        fleet.kubectl.patch(infd.KIND, "gated", {"spec": {"model": {"source": source}}}, namespace)
        found = infd.wait_for(fleet, namespace, "gated", "Accepted", "False", "ModelAccessDenied")
        assert "rbac.readTokenSecrets=true" in infd.condition(found, "Accepted")["message"]
        allow_one_secret(fleet, namespace, "hub")
        infd.wait_available(fleet, namespace, "gated", 1)


def allow_one_secret(cluster: ControlPlane, namespace: str, name: str) -> None:
    """What a user may do instead of the chart's value: let the operator read this one Secret."""
    api, metadata = "rbac.authorization.k8s.io/v1", {"name": "hub-token", "namespace": namespace}
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": ["get"]}
    cluster.kubectl.apply({"apiVersion": api, "kind": "Role", "metadata": metadata, "rules": [rule]})
    account = {"kind": "ServiceAccount", "name": "shardwright", "namespace": "shardwright-system"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "hub-token"}
    binding = {"apiVersion": api, "kind": "RoleBinding", "metadata": metadata, "roleRef": role, "subjects": [account]}
    cluster.kubectl.apply(binding)


def test_a_model_on_a_volume_is_read_by_a_job_without_rights(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator, tmp_path: Path
) -> None:
    """No kubelet runs the pod here: the test runs what the Job says and writes its last words into the pod's status."""
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    head, _ = safetensors_head(llama_tensors(LLAMA))
    (tmp_path / "model.safetensors").write_bytes(head)
    start_operator(SHARDWRIGHT_FACTS_IMAGE="operator:test")
    source = {"persistentVolumeClaim": {"claimName": "models", "path": "llama"}}
    document = infd.manifest(namespace, "onpvc", model="mine", replicas=1)
    document["spec"]["model"]["source"] = source
    cluster.kubectl.apply(document)
    infd.wait_for(cluster, namespace, "onpvc", "Accepted", "Unknown", "ModelFactsPending")
    pod = eventually(lambda: next(iter(cluster.kubectl.list("pods", namespace)), None), what="the Job's pod")
    container = pod["spec"]["containers"][0]
    assert pod["spec"]["automountServiceAccountToken"] is False and container["args"][2] == "/model/llama"
    done = subprocess.run(
        [sys.executable, "-m", "shardwright", *container["args"][:2], str(tmp_path)],
        env={"PYTHONPATH": str(REPOSITORY / "operator"), "PATH": os.environ["PATH"]},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    ended = {"exitCode": 0, "reason": "Completed", "message": done.stdout.strip()}
    status = {
        "name": "facts", "image": "operator:test", "imageID": "", "ready": False, "restartCount": 0,
        "state": {"terminated": ended},
    }  # fmt: skip
    body = json.dumps({"status": {"phase": "Succeeded", "containerStatuses": [status]}})
    cluster.kubectl.run(
        "patch", "pod", pod["metadata"]["name"], "-n", namespace, "--subresource=status", "--type=merge", "-p", body
    )
    infd.wait_for(cluster, namespace, "onpvc", "Accepted", "True")
    eventually(lambda: not cluster.kubectl.list("jobs", namespace), what="the Job is removed")
    cluster.add_gpu_node("h100-a", "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})
    infd.wait_for(cluster, namespace, "onpvc", "Planned", "True")


def test_a_claim_for_one_node_is_refused_to_pods_on_two(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    for name in ("h100-a", "h100-b"):
        cluster.add_gpu_node(name, "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})
    for name, mode in (("one", "ReadWriteOnce"), ("many", "ReadWriteMany")):
        spec = {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "none"}
        metadata = {"name": name, "namespace": namespace}
        cluster.kubectl.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    start_operator()
    document = infd.manifest(namespace, "wide", model="Qwen/Qwen3-32B", replicas=1)
    document["spec"]["model"]["source"] = {"persistentVolumeClaim": {"claimName": "one"}}
    document["spec"]["layout"] = {"tensor": 8, "pipeline": 2, "nodesPerReplica": 2}
    cluster.kubectl.apply(document)
    found = infd.wait_for(cluster, namespace, "wide", "Degraded", "True", "ClaimNotShared")
    message = infd.condition(found, "Degraded")["message"]
    assert "claim one (spec.model.source.persistentVolumeClaim) is ReadWriteOnce" in message
    assert not cluster.kubectl.list("statefulsets", namespace)
    source = {"source": {"persistentVolumeClaim": {"claimName": "many"}}}
    cluster.kubectl.patch(infd.KIND, "wide", {"spec": {"model": source}}, namespace)
    eventually(lambda: cluster.kubectl.list("statefulsets", namespace), what="with a claim for many it is made")
