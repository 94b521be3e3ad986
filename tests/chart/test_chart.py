"""The chart: what it renders, what its schema refuses, and that its copies and names agree with the operator's."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from shardwright import settings
from shardwright.cluster import kinds
from shardwright.metrics import certificates
from support.cluster import programs

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "shardwright"
SNAPSHOTS = Path(__file__).parent / "snapshots"
CASES = {
    "defaults": [],
    "everything": [
        "--set=externalMetrics.install=true,namespaces={team-a,team-b},settings.resyncSeconds=30,settings.cacheHostPath=/cache",
        "--set=image.repository=registry.example/op,image.tag=v1,engineImages.vllm.nvidia=registry.example/vllm:1",
        "--set=imagePullSecrets[0].name=pull,priorityClassName=high,nodeSelector.zone=a,podAnnotations.a=b,podLabels.c=d",
        "--set=expectedPools[0].name=gpu-h100,expectedPools[0].gpus=8,expectedPools[0].maxNodes=4",
        "--set=expectedPools[0].labels.team=ml",
        "--set=tolerations[0].operator=Exists,serviceAccount.annotations.role=r,metricsService.annotations.scrape=yes",
    ],
    "annotate-nodes": [
        "--show-only=templates/annotate-nodes.yaml",
        "--set=annotateNodes.enabled=true,annotateNodes.runtimeClassName=nvidia,imagePullSecrets[0].name=pull",
    ],
    "own-identity": ["--set=serviceAccount.create=false,serviceAccount.name=mine,rbac.create=false"],
}


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(programs() / "helm"), *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def template(*options: str) -> list[dict]:
    done = helm("template", "shardwright", str(CHART), "--namespace", "shardwright-system", *options)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def one(objects: list[dict], kind: str, name: str = "shardwright") -> dict:
    return next(item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name)


def test_lint_has_nothing_to_say():
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("case", CASES)
def test_renders_as_the_snapshot(case):
    rendered = yaml.safe_dump_all(template(*CASES[case]), sort_keys=True, width=120)
    kept = SNAPSHOTS / f"{case}.yaml"
    if os.environ.get("REWRITE_SNAPSHOTS"):
        kept.write_text(rendered)
    assert rendered == kept.read_text(), f"{kept}: review the difference, then REWRITE_SNAPSHOTS=1 pytest tests/chart"


@pytest.mark.parametrize(
    "option",
    [
        "externalMetrics.install=perhaps", "image.pullPolicy=Sometimes", "log.level=LOUD", "settings.workers=0",
        "settings.nope=1", "nope=1", "namespaces={Not_A_Name}", "settings.scrapeSeconds=0", "image.repository=",
        "annotateNodes.everySeconds=1", "annotateNodes.enabled=maybe",
        "engineImages.sglang.nvidia=x", "settings.cacheHostPath=relative", "expectedPools[0].name=x",
    ],
)  # fmt: skip
def test_schema_refuses_nonsense(option):
    done = helm("template", "shardwright", str(CHART), "--set", option)
    assert done.returncode != 0
    assert option.split("=")[0].split(".")[0].rstrip("{").partition("[")[0] in done.stderr


def test_definitions_are_byte_copies():
    ours = {path.name: path.read_bytes() for path in (CHART / "crds").glob("*.yaml")}
    assert ours == {path.name: path.read_bytes() for path in (ROOT / "crds").glob("*.yaml")}, (
        "cp crds/*.yaml charts/shardwright/crds/"
    )


def test_every_setting_of_the_operator_can_be_set():
    known = json.loads((CHART / "values.schema.json").read_text())["properties"]["settings"]["properties"]
    ports = {"HEALTH_PORT", "METRICS_PORT", "EXTERNAL_METRICS_PORT"}
    set_by_the_chart = {"OWN_NAMESPACE", "BIND_ADDRESS", "EXTERNAL_METRICS_SERVICE", "FACTS_IMAGE"}
    speeds = {*settings._NUMBERS, *settings._TEXTS} - ports - set_by_the_chart
    assert {camel(name) for name in speeds} | {"hub"} == set(known)
    for name in settings._NUMBERS:
        if name not in ports:
            _attribute, least, most = settings._NUMBERS[name]
            assert (known[camel(name)]["minimum"], known[camel(name)]["maximum"]) == (least, most)


def camel(name: str) -> str:
    first, *rest = name.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


def test_environment_is_read_by_the_operator():
    container = one(template(*CASES["everything"]), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    read = settings.from_environment({entry["name"]: entry.get("value", "") for entry in container["env"]})
    assert read.namespaces == ("team-a", "team-b")
    assert [(pool.name, pool.gpus, pool.max_nodes, pool.labels) for pool in read.expected_pools] == [
        ("gpu-h100", 8, 4, {"team": "ml"})
    ]
    assert (read.resync_seconds, read.cache_host_path) == (30, "/cache")
    assert read.images["vllm", "nvidia"] == "registry.example/vllm:1"
    assert read.external_metrics_service == "shardwright-external-metrics"


def test_operator_runs_without_privileges():
    spec = one(template(), "Deployment")["spec"]
    pod = spec["template"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip


def test_rules_name_every_child_and_no_wildcard():
    rules = one(template("--set=externalMetrics.install=true"), "ClusterRole")["rules"]
    granted = {
        (group, resource): set(rule["verbs"])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    for kind in (*kinds.CHILDREN, kinds.CLAIM_TEMPLATE, kinds.COMPUTE_DOMAIN):
        assert granted[(kind.group, kind.plural)] == {"get", "list", "watch", "create", "patch", "delete"}
    assert granted[("", "resourcequotas")] == granted[("", "nodes")] == {"get", "list", "watch"}
    assert granted[("", "pods")] == {"get", "list", "watch", "delete"}
    assert [granted[kind.group, kind.plural] for kind in kinds.DEVICES] == [{"list", "watch"}] * 2
    assert not [rule for rule in rules if "*" in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]]
    assert granted["", "secrets"] == {"create"}, "Secrets are made, never read"


def test_annotate_nodes_is_installed_only_when_asked():
    assert not [item for item in template() if item["kind"] in {"DaemonSet", "ValidatingAdmissionPolicy"}]
    objects = template("--set=annotateNodes.enabled=true,annotateNodes.nodeSelector.zone=a,annotateNodes.image=mine:1")
    name = "shardwright-annotate-nodes"
    pod = one(objects, "DaemonSet", name)["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"zone": "a"}
    assert "affinity" not in pod
    assert pod["containers"][0]["image"] == "mine:1"
    assert pod["serviceAccountName"] == name
    assert one(objects, "ClusterRole", name)["rules"] == [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]}
    ]
    policy = one(objects, "ValidatingAdmissionPolicy", name)["spec"]["matchConditions"][0]["expression"]
    assert policy == f'request.userInfo.username == "system:serviceaccount:shardwright-system:{name}"'
    labels = one(objects, "DaemonSet", name)["spec"]["template"]["metadata"]["labels"]
    service = one(objects, "Service", "shardwright-metrics")["spec"]["selector"]
    assert not service.items() <= labels.items(), "no Service of the operator selects it"


def test_external_metrics_are_installed_only_when_asked():
    assert not [item for item in template() if item["kind"] in {"APIService", "RoleBinding", "Role"}]
    objects = template("--set=externalMetrics.install=true")
    service = one(objects, "APIService", "v1beta1.external.metrics.k8s.io")["spec"]["service"]
    assert one(objects, "Service", service["name"])["spec"]["ports"][0]["port"] == service["port"]
    named = [rule for rule in one(objects, "Role")["rules"] if "resourceNames" in rule]
    assert named[0]["resourceNames"] == [certificates.SECRET_NAME]
