"""Where an engine finds its model, and what runs before it so that it is there."""

import json
from typing import Any

import pytest

from golden.cases import Case, objects_of
from shardwright.manifests.identity import ManifestSettings
from shardwright.plan.types import Layout

MODEL = "Qwen/Qwen3-8B"


def pod(model: dict[str, Any] | None = None, settings: ManifestSettings | None = None, **spec: Any) -> dict[str, Any]:
    """The pod of a replica."""
    case = Case(
        "x", {"model": {"id": MODEL, **(model or {})}, **spec}, Layout(), settings=settings or ManifestSettings()
    )
    found = next(one for one in objects_of(case) if one["kind"] == "StatefulSet")
    template: dict[str, Any] = found["spec"]["template"]["spec"]
    return template


def variables(container: dict[str, Any]) -> dict[str, Any]:
    return {row["name"]: row.get("value", row.get("valueFrom")) for row in container["env"]}


def mounts(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in container["volumeMounts"]}


def volume(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next({k: v for k, v in row.items() if k != "name"} for row in found["volumes"] if row["name"] == name)


def test_a_hub_model_is_downloaded_before_and_only_read_by_the_engine():
    source = {"hub": {"endpoint": "http://mirror.svc", "tokenSecretRef": {"name": "hub", "key": "token"}}}
    found = pod({"source": source, "revision": "v2"}, podTemplate={"env": [{"name": "HTTPS_PROXY", "value": "p"}]})
    (before,), (engine,) = found["initContainers"], found["containers"]
    assert before["image"] == engine["image"]
    env = variables(before)
    assert json.loads(env["SHARDWRIGHT_MODELS"]) == [[MODEL, "v2", "weights"]]
    assert env["HF_ENDPOINT"] == "http://mirror.svc" and env["HTTPS_PROXY"] == "p"
    assert env["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
    after = variables(engine)
    assert "HF_TOKEN" not in after and after["HF_HUB_OFFLINE"] == "1"
    assert after["HF_HUB_CACHE"] == mounts(engine)["model-view"]["mountPath"]
    assert mounts(before)["model-store"]["mountPath"] == mounts(engine)["model-store"]["mountPath"]
    assert mounts(engine)["model-store"]["readOnly"] and mounts(engine)["model-view"]["readOnly"]
    assert "readOnly" not in mounts(before)["model-store"]
    assert not {name for kind in before["resources"].values() for name in kind if "gpu" in name}
    assert volume(found, "model-store") == {"emptyDir": {}}, "without a shared folder each pod has its own"


def test_a_node_s_folder_is_kept_apart_by_namespace():
    found = pod(settings=ManifestSettings(cache_host_path="/cache"))
    (before,), (engine,) = found["initContainers"], found["containers"]
    assert volume(found, "model-store") == {"hostPath": {"path": "/cache", "type": "DirectoryOrCreate"}}
    assert mounts(before)["model-store"]["subPath"] == mounts(engine)["model-store"]["subPath"] == "models/models"
    assert mounts(engine)["cache"]["subPath"] == "models/engine"


def test_a_cache_of_the_spec_s_own_replaces_the_node_s():
    settings = ManifestSettings(cache_host_path="/cache")
    claim = pod({"source": {"hub": {"cache": {"claimName": "shared"}}}}, settings)
    assert volume(claim, "model-store") == {"persistentVolumeClaim": {"claimName": "shared", "readOnly": False}}
    own = pod({"source": {"hub": {"cache": {"size": "200Gi", "storageClassName": "fast"}}}}, settings)
    spec = volume(own, "model-store")["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert spec["storageClassName"] == "fast" and spec["resources"] == {"requests": {"storage": "200Gi"}}


def test_without_a_hub_nothing_is_asked():
    (before,) = pod(settings=ManifestSettings(hub=""))["initContainers"]
    assert variables(before)["HF_HUB_OFFLINE"] == "1" and "HF_ENDPOINT" not in variables(before)


@pytest.mark.parametrize("name", ["HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"])
def test_who_names_a_cache_keeps_it(name: str):
    found = pod(engine={"env": [{"name": name, "value": "/mine"}]})
    assert "initContainers" not in found
    assert variables(found["containers"][0])[name] == "/mine"


def test_ids_of_other_places_are_the_engine_s_own_business():
    assert "initContainers" not in pod({"id": "s3://bucket/model"})
    assert "initContainers" not in pod({"id": "/opt/model"})


@pytest.mark.parametrize(
    ("args", "rows"),
    [
        ({"tokenizer": "org/words"}, [[MODEL, "main", "weights"], ["org/words", "main", "texts"]]),
        ({"tokenizer": "/opt/words"}, [[MODEL, "main", "weights"]]),
        ({"load-format": "mistral"}, [[MODEL, "main", "all"]]),
        ({"load_format": "dummy"}, [[MODEL, "main", "texts"]]),
        (
            {"speculative-config": '{"method": "eagle3", "model": "org/draft", "num_speculative_tokens": 3}'},
            [[MODEL, "main", "weights"], ["org/draft", "main", "weights"]],
        ),
        ({"speculative-config": "no json"}, [[MODEL, "main", "weights"]]),
    ],
)
def test_what_options_name_comes_too(args: dict[str, str], rows: list[list[str]]):
    (before,) = pod(engine={"args": args})["initContainers"]
    assert json.loads(variables(before)["SHARDWRIGHT_MODELS"]) == rows


def test_the_user_s_own_come_first_and_quality_of_service_is_kept():
    limits = {"cpu": "4", "memory": "64Gi"}
    template = {"initContainers": [{"name": "warm", "image": "w"}], "resources": {"limits": limits, "requests": limits}}
    before = pod(podTemplate=template)["initContainers"]
    assert [container["name"] for container in before] == ["warm", "model"]
    assert before[1]["resources"] == {"limits": limits, "requests": limits}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"hostPath": {"path": "/srv/m"}}, {"hostPath": {"path": "/srv/m", "type": "Directory"}}),
        (
            {"persistentVolumeClaim": {"claimName": "c"}},
            {"persistentVolumeClaim": {"claimName": "c", "readOnly": True}},
        ),
        ({"image": {"reference": "r/m:1"}}, {"image": {"reference": "r/m:1", "pullPolicy": "IfNotPresent"}}),
    ],
)
def test_what_lies_on_a_volume_is_only_mounted(source: dict[str, Any], expected: dict[str, Any]):
    found = pod({"source": source})
    assert "initContainers" not in found and volume(found, "model") == expected
    assert mounts(found["containers"][0])["model"]["readOnly"]
    assert variables(found["containers"][0])["HF_HUB_OFFLINE"] == "1"
