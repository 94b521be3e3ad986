"""The real API server judges the CRD: schema, rules and their cost, columns, subresources, refusals."""

import json

import pytest

from shardwright.api.labels import KIND, PLURAL
from shardwright.api.parse import check_name, parse_spec
from shardwright.status import build_status
from support.cluster import CRDS, ControlPlane
from support.kubectl import KubectlError
from support.malformed import Malformed, become_conditions, refused
from support.situations import plan, situation

CRD = f"{PLURAL}.shardwright.io"


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> ControlPlane:
    control_plane.kubectl.apply(*sorted(CRDS.glob("*.yaml")))
    control_plane.kubectl.run("wait", f"crd/{CRD}", "--for=condition=Established", "--timeout=20s")
    return control_plane


@pytest.fixture
def deployment(api: ControlPlane):
    manifest = {
        "apiVersion": "shardwright.io/v1alpha1",
        "kind": KIND,
        "metadata": {"name": "qwen", "namespace": "default"},
        "spec": {"model": {"id": "Qwen/Qwen3-32B"}},
    }
    api.kubectl.apply(manifest)
    yield manifest
    api.kubectl.delete(PLURAL, "qwen")


CACHES = (
    {}, {"claimName": "c"}, {"size": "1Gi"}, {"size": "1Gi", "storageClassName": "fast"}, {"storageClassName": "fast"},
    {"claimName": "c", "size": "200Gi"}, {"claimName": "c", "storageClassName": "fast"}, {"size": "much"},
)  # fmt: skip


def test_it_is_structural_and_within_the_cost_of_its_rules(api):
    conditions = {item["type"]: item["status"] for item in api.kubectl.get("crd", CRD)["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


def test_a_client_side_apply_keeps_a_copy_in_an_annotation_and_still_fits(api):
    files = [f"-f{path}" for path in sorted(CRDS.glob("*.yaml"))]
    assert CRD in api.kubectl.run("apply", "--server-side=false", "--dry-run=server", *files)


@pytest.mark.parametrize("case", refused(), ids=lambda case: case.name)
def test_it_is_refused_at_apply_with_the_field_named(api: ControlPlane, case: Malformed):
    with pytest.raises(KubectlError) as refusal:
        api.kubectl.run("apply", "--dry-run=server", "-f", str(case.path))
    assert case.field in str(refusal.value), refusal.value


@pytest.mark.parametrize("case", become_conditions(), ids=lambda case: case.name)
def test_it_passes_the_schema_and_is_left_to_the_operator(api: ControlPlane, case: Malformed):
    assert "created (server dry run)" in api.kubectl.run("apply", "--dry-run=server", "-f", str(case.path))


def test_an_unknown_field_is_named_at_apply(api, deployment):
    with pytest.raises(KubectlError, match=r"spec\.model\.revison"):
        api.kubectl.run(
            "apply",
            "--dry-run=server",
            "-f",
            "-",
            stdin=json.dumps(deployment | {"spec": {"model": {"id": "a", "revison": "b"}}}),
        )


def test_every_rule_agrees_with_its_form_in_python(api):
    """Values at and beside each border, judged by both; one list so that a new rule is easily added to it."""
    model = {"id": "a/b"}
    border = [
        {"model": model, "engine": {"args": {"pipeline_parallel_size": "2"}}},
        {"model": model, "engine": {"args": {"max_num_seqs": "2"}}},
        {"model": model, "objective": {"contextLength": 4096, "typicalPromptTokens": 4000, "typicalOutputTokens": 96}},
        {"model": model, "objective": {"contextLength": 4096, "typicalPromptTokens": 4000, "typicalOutputTokens": 97}},
        {"model": model, "layout": {"tensor": 4, "pipeline": 2, "data": 1, "nodesPerReplica": 2}},
        {"model": model, "layout": {"tensor": 0, "pipeline": 3, "data": 1, "nodesPerReplica": 2}},
        {"model": model, "layout": {"tensor": 3, "nodesPerReplica": 2}},
        {"model": model, "placement": {"tolerations": [{"operator": "Exists", "value": ""}]}},
        {"model": model, "placement": {"tolerations": [{"key": "", "operator": "Equal"}]}},
        {"model": model, "placement": {"tolerations": [{"key": "a", "tolerationSeconds": 3, "effect": "NoExecute"}]}},
        {"model": model, "placement": {"tolerations": [{"key": "a", "tolerationSeconds": 3}]}},
        {"model": model, "autoscaling": {"minReplicas": 2, "maxReplicas": 2}},
        {"model": model, "autoscaling": {"maxReplicas": 1}},
        {"model": model, "autoscaling": {"mode": "External"}},
        {"model": model, "autoscaling": {"mode": "External", "minReplicas": 1}},
        {"model": model, "rollout": {"maxUnavailable": 0, "maxSurge": 1}},
        {"model": model, "rollout": {"maxSurge": 0}},
        {"model": model, "podTemplate": {"labels": {"apps.kubernetes.io/pod-index": "0"}}},
        {"model": model, "podTemplate": {"labels": {"app.kubernetes.io/part-of": "x"}}},
        {"model": model | {"revision": "main", "source": {"hub": {}}}},
        {"model": model | {"revision": "main", "source": {"hostPath": {"path": "/m"}}}},
        {"model": model | {"source": {"persistentVolumeClaim": {"claimName": "c", "path": "a..b/c"}}}},
        {"model": model | {"source": {"persistentVolumeClaim": {"claimName": "c", "path": "a/../b"}}}},
        {"model": model | {"source": {"image": {"reference": "x", "path": "/a"}}}},
        *({"model": model | {"source": {"hub": {"cache": cache}}}} for cache in CACHES),
    ]
    disagreements = [
        spec for spec in border if _server_accepts(api, "border", spec) == isinstance(parse_spec(spec), tuple)
    ]
    assert disagreements == []


@pytest.mark.parametrize("name", ["a" * 40, "a" * 41, "a-1", "1-a", "a.b"])
def test_names_are_judged_alike(api, name):
    assert _server_accepts(api, name, {"model": {"id": "a/b"}}) == (check_name(name) == ())


def test_the_server_adds_nothing_to_what_the_user_wrote(api, deployment):
    assert api.kubectl.get(PLURAL, "qwen")["spec"] == {"model": {"id": "Qwen/Qwen3-32B"}}


def test_a_whole_status_is_kept_and_shown_in_the_columns(api, deployment):
    lost = situation(plan=plan(skipped_nodes=(("n1", "UnknownGpu: X"),)), name="qwen", derived_replicas=1)
    status = build_status(lost)
    api.kubectl.apply({**deployment, "status": status}, options=("--subresource=status",))
    assert api.kubectl.get(PLURAL, "qwen")["status"] == status
    header, row = api.kubectl.run("get", "infd", "qwen").splitlines()
    assert header.split() == ["NAME", "MODEL", "LAYOUT", "GPU", "READY", "STATUS", "AGE"]
    assert row.split("  ")[0] == "qwen"
    assert all(word in row for word in ("Qwen/Qwen3-32B", "TP4·PP1 × 1", "H100-SXM", "1/1", "Available"))


def test_it_scales_like_a_deployment(api, deployment):
    api.kubectl.apply({**deployment, "status": build_status(situation(name="qwen"))}, options=("--subresource=status",))
    api.kubectl.run("scale", "infd", "qwen", "--replicas=3")
    path = f"/apis/shardwright.io/v1alpha1/namespaces/default/{PLURAL}/qwen/scale"
    scale = json.loads(api.kubectl.run("get", "--raw", path))
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"]["replicas"] == 1
    assert scale["status"]["selector"] == "shardwright.io/deployment=qwen,apps.kubernetes.io/pod-index=0"


def test_waiting_for_a_condition_works(api, deployment):
    api.kubectl.apply({**deployment, "status": build_status(situation(name="qwen"))}, options=("--subresource=status",))
    api.kubectl.run("wait", "infd/qwen", "--for=condition=Available", "--timeout=5s")


def _server_accepts(api: ControlPlane, name: str, spec: dict) -> bool:
    manifest = {"apiVersion": "shardwright.io/v1alpha1", "kind": KIND, "metadata": {"name": name}, "spec": spec}
    try:
        api.kubectl.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))
    except KubectlError as error:
        assert "invalid" in str(error), error
        return False
    return True
