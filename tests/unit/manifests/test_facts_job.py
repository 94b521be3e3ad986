"""The Job that reads a model where it lies, for each kind of place."""

from typing import Any

import kubernetes_validate
import pytest

from shardwright.manifests.facts_job import FactsPod, facts_job
from shardwright.manifests.identity import DeploymentIdentity
from shardwright.reconcile.facts import VolumeQuestion, volume_question

PLACES: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    (
        {"persistentVolumeClaim": {"claimName": "c", "path": "m"}},
        "claim c",
        {"persistentVolumeClaim": {"claimName": "c", "readOnly": True}},
    ),
    ({"hostPath": {"path": "/srv/m"}}, "a node's folder /srv/m", {"hostPath": {"path": "/srv/m", "type": "Directory"}}),
    ({"image": {"reference": "r/m:1"}}, "image r/m:1", {"image": {"reference": "r/m:1", "pullPolicy": "IfNotPresent"}}),
]


def question(source: dict[str, Any], model: str = "mine", **spec: Any) -> VolumeQuestion | None:
    return volume_question({"model": {"id": model, "source": source}, **spec}, None)


@pytest.mark.parametrize(("source", "place", "volume"), PLACES)
def test_each_place_is_mounted_read_only_where_the_engine_s_pods_may_go(source, place, volume):
    asked = question(
        source,
        placement={"nodeSelector": {"pool": "a"}, "tolerations": [{"key": "k", "operator": "Exists"}]},
        podTemplate={"imagePullSecrets": [{"name": "registry"}]},
    )
    assert asked is not None and asked.place == place
    where = FactsPod(asked.volume, asked.path, asked.tolerations, asked.node_selector, asked.pull_secrets)
    job = facts_job(DeploymentIdentity("d", "n", "u"), "operator:1", where)
    kubernetes_validate.validate(job, "1.37", strict=True)
    pod = job["spec"]["template"]["spec"]
    assert pod["volumes"] == [{"name": "model", **volume}]
    assert pod["containers"][0]["volumeMounts"] == [{"name": "model", "mountPath": "/model", "readOnly": True}]
    assert pod["nodeSelector"] == {"pool": "a"} and pod["imagePullSecrets"] == [{"name": "registry"}]
    assert {row["key"] for row in pod["tolerations"]} >= {"k", "nvidia.com/gpu"}
    assert pod["containers"][0]["args"][-1] == ("/model/m" if "persistentVolumeClaim" in source else "/model")


def test_other_places_have_other_names():
    owner = DeploymentIdentity("d", "n", "u")
    names = {
        facts_job(owner, "i", FactsPod(q.volume, q.path))["metadata"]["name"] for s, *_ in PLACES if (q := question(s))
    }
    assert len(names) == 3


def test_nothing_is_read_of_a_model_that_is_known():
    assert question({"hostPath": {"path": "/srv/m"}}, "Qwen/Qwen3-8B") is None
    assert question({"hub": {}}) is None
