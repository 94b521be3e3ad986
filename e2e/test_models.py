"""Models from a hub, a claim, a folder of the node and an image, on real kubelets: there before the engine, read-only.

The hub is the one that install.sh put into the cluster; what a model's revision is called says what goes wrong.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from support.cluster import Cluster, script
from support.hub import LLAMA, llama_tensors, safetensors_head
from support.installed import SMALL, Installed, condition
from support.kubectl import Object
from support.waiting import eventually

MODEL = SMALL["model"]["id"]
TINY_IMAGE = "shardwright/tiny-model:dev"
FOLDER = "/var/lib/shardwright-test/tiny"
CLAIM = "tiny"


def of_revision(revision: str, **more: Any) -> dict[str, Any]:
    """A deployment whose model comes from the hub at a revision."""
    return {**SMALL, "model": {**SMALL["model"], "revision": revision}, **more}


def asked(installed: Installed) -> dict[str, int]:
    """How often the hub was asked for what."""
    found: dict[str, int] = json.loads(
        installed.kubectl.run("get", "--raw", "/api/v1/namespaces/fake-hub/services/hub:80/proxy/asked")
    )
    return found


def weights(revision: str) -> str:
    commit = hashlib.sha1(f"{MODEL}@{revision}".encode()).hexdigest()
    return f"GET /{MODEL}/resolve/{commit}/model.safetensors"


def l40s_node(installed: Installed) -> str:
    """Name of a node where small deployments go."""
    node, *_ = installed.kubectl.list("nodes", None, "nvidia.com/gpu.product=NVIDIA-L40S")
    return str(node["metadata"]["name"])


def pods_of(installed: Installed, namespace: str, name: str) -> list[Object]:
    return installed.kubectl.list("pods", namespace, f"shardwright.io/deployment={name}")


def test_two_pods_on_a_node_download_once_and_a_later_one_nothing(installed: Installed):
    namespace = installed.namespace()
    before = asked(installed).get(weights("slow"), 0)
    node = l40s_node(installed)
    here = {**SMALL["placement"], "nodeSelector": {"kubernetes.io/hostname": node}}
    installed.apply("small", namespace, of_revision("slow", replicas=2, placement=here))
    status = installed.available("small", namespace)
    eventually(
        lambda: installed.get("small", namespace)["status"]["readyReplicas"] == 2,
        within_seconds=90,
        what="both replicas are ready",
    )
    pods = pods_of(installed, namespace, "small")
    assert {pod["spec"]["nodeName"] for pod in pods} == {node}
    assert asked(installed)[weights("slow")] == before + 1
    said = [installed.kubectl.run("logs", pod["metadata"]["name"], "-n", namespace, "-c", "model") for pod in pods]
    assert sum("another pod downloads it" in text for text in said) == 1
    assert "TP1·PP1" in installed.ask(status["endpoint"], "small")
    engine = pods[0]["spec"]["containers"][0]
    read_only = {mount["name"]: mount.get("readOnly") for mount in engine["volumeMounts"]}
    assert read_only["model-store"] and read_only["model-view"]
    installed.kubectl.patch("infd", "small", {"spec": {"replicas": 3}}, namespace)
    eventually(
        lambda: installed.get("small", namespace)["status"]["readyReplicas"] == 3,
        within_seconds=90,
        what="a third replica is ready",
    )
    assert asked(installed)[weights("slow")] == before + 1


def test_what_keeps_a_model_away_is_in_the_conditions(installed: Installed):
    namespace = installed.namespace()
    wrong = {
        "none": ("ModelNotFound", "has no Qwen/Qwen3-8B at revision none"),
        "gated": ("ModelAccessDenied", "no token was given"),
        "huge": ("DiskFull", "free"),
    }
    for revision in wrong:
        installed.apply(revision, namespace, of_revision(revision))
    for revision, (reason, words) in wrong.items():
        told = eventually(
            lambda revision=revision, reason=reason: reason_told(installed, revision, namespace, reason),
            within_seconds=90,
            what=f"{revision} is told as {reason}",
        )
        assert words in told["message"] and f"pod {revision}-0-0" in told["message"], told
        assert condition(installed.get(revision, namespace), "Available")["status"] == "False"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub", "namespace": namespace}}
    installed.kubectl.apply({**secret, "data": {"token": base64.b64encode(b"hf_right").decode()}})
    source = {"hub": {"tokenSecretRef": {"name": "hub", "key": "token"}}}
    installed.kubectl.patch("infd", "gated", {"spec": {"model": {"source": source}}}, namespace)
    status = installed.available("gated", namespace, within_seconds=180)
    assert "TP1·PP1" in installed.ask(status["endpoint"], "small")
    (pod,) = pods_of(installed, namespace, "gated")
    assert "HF_TOKEN" not in {row["name"] for row in pod["spec"]["containers"][0]["env"]}


def reason_told(installed: Installed, name: str, namespace: str, reason: str) -> dict[str, Any] | None:
    state = installed.replica(name, namespace, ready=False)
    degraded = condition(installed.get(name, namespace), "Degraded") if state else {}
    return degraded if state.get("reason") == degraded.get("reason") == reason else None


@pytest.fixture(scope="module")
def tiny(kind: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A checkpoint that no catalogue knows: in a folder of every worker, and as an image."""
    folder: Path = tmp_path_factory.mktemp("tiny")
    (folder / "config.json").write_text(json.dumps(LLAMA))
    (folder / "tokenizer.json").write_text("{}")
    head, _ = safetensors_head(llama_tensors(LLAMA))
    (folder / "model.safetensors").write_bytes(head)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(folder, "tiny", filter=for_everybody)
    subprocess.run(["docker", "import", "-", TINY_IMAGE], input=archive.getvalue(), check=True, capture_output=True)
    script("load-images.sh", kind.name, TINY_IMAGE)
    for node in workers(kind):
        into = [
            "docker",
            "exec",
            "-i",
            node,
            "sh",
            "-c",
            f"mkdir -p {Path(FOLDER).parent} && tar -x -C {Path(FOLDER).parent}",
        ]
        subprocess.run(into, input=archive.getvalue(), check=True)


def for_everybody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Engines and the facts Job are not root."""
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def workers(kind: Cluster) -> list[str]:
    """Nodes with GPUs."""
    return [node["metadata"]["name"] for node in kind.kubectl.list("nodes", None, "nvidia.com/gpu.product")]


def local_volume(installed: Installed, namespace: str) -> None:
    """A claim on the folder of one node, as an administrator prepares it."""
    at = {"key": "kubernetes.io/hostname", "operator": "In", "values": [l40s_node(installed)]}
    name = f"{CLAIM}-{namespace}"
    size = {"storage": "1Gi"}
    modes = ["ReadOnlyMany"]
    installed.kubectl.apply(
        {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "capacity": size, "accessModes": modes, "storageClassName": "by-hand", "local": {"path": FOLDER},
                "claimRef": {"namespace": namespace, "name": CLAIM},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [at]}]}},
            },
        },
        {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM, "namespace": namespace},
            "spec": {
                "accessModes": modes, "storageClassName": "by-hand", "volumeName": name,
                "resources": {"requests": size},
            },
        },
    )  # fmt: skip


def test_models_on_a_claim_in_a_folder_and_in_an_image_are_read_and_answer(installed: Installed, tiny: None):
    """Nobody tells their facts: the operator's Job reads them where they lie."""
    namespace = installed.namespace()
    local_volume(installed, namespace)
    sources: dict[str, dict[str, Any]] = {
        "claim": {"persistentVolumeClaim": {"claimName": CLAIM}},
        "folder": {"hostPath": {"path": FOLDER}},
        "image": {"image": {"reference": TINY_IMAGE, "path": "tiny"}},
    }
    try:
        for name, source in sources.items():
            spec = {**SMALL, "model": {"id": "tiny", "servedName": "tiny", "source": source}, "objective": {}}
            installed.apply(name, namespace, {**spec, "engine": {}})
        for name in sources:
            status = installed.available(name, namespace, within_seconds=180)
            assert "TP1·PP1" in installed.ask(status["endpoint"], "tiny")
            (pod,) = pods_of(installed, namespace, name)
            mounts = {mount["name"]: mount for mount in pod["spec"]["containers"][0]["volumeMounts"]}
            assert mounts["model"]["readOnly"] and "initContainers" not in pod["spec"]
            written = "try: open('/models/x', 'w')\nexcept OSError as error: print(error.errno)"
            said = installed.kubectl.run(
                "exec", pod["metadata"]["name"], "-n", namespace, "--", "python3", "-c", written
            )
            assert said.strip() in {"30", "13"}, "read-only, or not this user's"
        assert not installed.kubectl.list("jobs", namespace), "the Jobs are removed"
    finally:
        installed.kubectl.run("delete", "persistentvolume", f"{CLAIM}-{namespace}", "--wait=false")
