"""Which objects a deployment gets, and where its pods may run."""

import pytest

from golden.cases import CASES, UID, Case, objects_of
from shardwright.api import labels
from shardwright.manifests import names, pdb
from shardwright.manifests.identity import DeploymentIdentity, ReplicaAssignment
from shardwright.plan.types import Layout

PLAIN = {"model": {"id": "a/b"}}
GROUP_LAYOUT = Layout(tensor=4, pipeline=2, nodes_per_replica=2)
BY_NAME = {case.name: case for case in CASES}


def kinds(case: Case) -> list[str]:
    return [f"{document['kind']}/{document['metadata']['name']}" for document in objects_of(case)]


def pod(case: Case, replica: int = 0) -> dict:
    sets = [document for document in objects_of(case) if document["kind"] == "StatefulSet"]
    return sets[replica]["spec"]["template"]["spec"]


def test_single_pods_share_a_budget():
    assert kinds(Case("x", PLAIN, Layout(), replicas=2)) == [
        "Service/x-pods",
        "Service/x",
        "PodDisruptionBudget/x",
        "ConfigMap/x-0",
        "StatefulSet/x-0",
        "ConfigMap/x-1",
        "StatefulSet/x-1",
    ]


def test_each_group_has_its_own_budget_and_files():
    assert kinds(Case("x", PLAIN, GROUP_LAYOUT, replicas=2)) == [
        "Service/x-pods",
        "Service/x",
        "ConfigMap/x-0",
        "PodDisruptionBudget/x-0",
        "StatefulSet/x-0",
        "ConfigMap/x-1",
        "PodDisruptionBudget/x-1",
        "StatefulSet/x-1",
    ]


@pytest.mark.parametrize(("evictable", "allowed"), [(False, 0), (True, 2)])
def test_a_group_is_evicted_only_where_it_has_nowhere_to_go(evictable: bool, allowed: int):
    replica = ReplicaAssignment(0, 0, ("a", "b"), evictable=evictable)
    budget = pdb.group_budget(DeploymentIdentity("x", "ns", UID), replica)
    assert budget["spec"]["maxUnavailable"] == allowed


def test_suspended_keeps_its_services():
    assert kinds(BY_NAME["suspended"]) == ["Service/suspended-pods", "Service/suspended"]


def test_an_external_autoscaler_is_left_alone():
    assert not any(
        "Autoscaler" in kind for kind in kinds(Case("x", PLAIN | {"autoscaling": {"mode": "External"}}, Layout()))
    )


def test_the_autoscaler_without_a_ceiling_takes_what_would_fit():
    scaler = next(
        d for d in objects_of(BY_NAME["autoscaled-without-ceiling"]) if d["kind"] == "HorizontalPodAutoscaler"
    )
    assert scaler["spec"]["maxReplicas"] == 3
    assert scaler["spec"]["scaleTargetRef"]["kind"] == labels.KIND


def scaled_on(autoscaling: dict, **spec: object) -> list[tuple[str, str]]:
    case = Case("x", PLAIN | {"autoscaling": autoscaling} | spec, Layout(), "l40s-4")
    scaler = next(d for d in objects_of(case) if d["kind"] == "HorizontalPodAutoscaler")
    metrics = [metric["external"] for metric in scaler["spec"]["metrics"]]
    assert all(metric["metric"]["selector"] == {"matchLabels": {labels.DEPLOYMENT: "x"}} for metric in metrics)
    return [(metric["metric"]["name"], metric["target"]["averageValue"]) for metric in metrics]


def test_every_metric_that_is_asked_for_reaches_the_autoscaler_under_its_own_name():
    asked = [{"type": "queueDepth", "target": 4}, {"type": "requestsInHand", "target": 64}]
    assert scaled_on({"metrics": asked}) == [("shardwright_queue_depth", "4"), ("shardwright_requests_in_hand", "64")]
    assert scaled_on({"metrics": asked[:1]}) == [("shardwright_queue_depth", "4")]


@pytest.mark.parametrize(
    ("spec", "in_hand"),
    [
        ({}, "117"),
        ({"engine": {"args": {"max-num-seqs": "16"}}}, "12"),
        ({"engine": {"args": {"max-num-seqs": "1"}}}, "1"),
        ({"objective": {"typicalPromptTokens": 8192, "typicalOutputTokens": 1808}}, "15"),
    ],
)
def test_without_metrics_the_target_is_what_a_replica_can_do_and_a_queue_is_borne_as_little(spec, in_hand):
    assert scaled_on({}, **spec) == [("shardwright_requests_in_hand", in_hand), ("shardwright_queue_depth", "4")]


def test_a_group_is_pinned_to_its_nodes_one_pod_each():
    affinity = pod(Case("x", PLAIN, GROUP_LAYOUT, "l40s-4", replicas=2), replica=1)["affinity"]
    terms = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [term["matchFields"][0]["values"] for term in terms] == [["l40s-4-2"], ["l40s-4-3"]]
    (apart,) = affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["labelSelector"]["matchLabels"] == {labels.DEPLOYMENT: "x", labels.REPLICA: "1"}


def test_a_single_pod_requires_its_pool_and_prefers_its_node():
    node = pod(Case("x", PLAIN, Layout(), "l40s-4"))["affinity"]["nodeAffinity"]
    (term,) = node["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["NVIDIA-L40S"]
    (wish,) = node["preferredDuringSchedulingIgnoredDuringExecution"]
    assert wish["preference"]["matchFields"][0]["values"] == ["l40s-4-0"]


def test_the_users_affinity_holds_too():
    node = pod(BY_NAME["pod-template"])["affinity"]["nodeAffinity"]
    terms = node["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [[e["key"] for e in term["matchExpressions"]] for term in terms] == [["nvidia.com/gpu.product", "zone"]] * 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_pod(case):
    for document in objects_of(case):
        if document["kind"] != "StatefulSet":
            continue
        template = document["spec"]["template"]
        assert template["spec"]["enableServiceLinks"] is False
        assert document["spec"]["podManagementPolicy"] == "Parallel"
        assert document["spec"]["updateStrategy"] == {"type": "OnDelete"}
        assert template["metadata"]["labels"][labels.DEPLOYMENT_UID] == UID
        assert document["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        (container,) = template["spec"]["containers"]
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {
            v["name"] for v in template["spec"]["volumes"]
        }
        drain = template["spec"]["terminationGracePeriodSeconds"]
        assert container["lifecycle"]["preStop"]["sleep"]["seconds"] < drain


def test_model_volumes_are_read_only():
    for name in ("from-claim", "from-host-path", "from-image", "trtllm-from-claim"):
        (mount,) = [m for m in pod(BY_NAME[name])["containers"][0]["volumeMounts"] if m["name"] == "model"]
        assert mount["readOnly"] is True


def test_names_stay_within_kubernetes_limits():
    name = "x" * 40
    assert len(names.replica(name, 99_999)) <= 52
    assert len(names.pod(name, 99_999, 9_999)) <= 63
    assert len(names.group_service(name)) <= 63


def test_the_client_service_never_breaks_other_engines():
    assert names.client_service("vllm") == "vllm-api"
    assert names.endpoint("vllm", "models", 80) == "http://vllm-api.models.svc:80/v1"


def test_without_grace_nothing_waits_before_the_signal():
    container = pod(Case("x", PLAIN | {"podTemplate": {"terminationGracePeriodSeconds": 0}}, Layout()))["containers"][0]
    assert "lifecycle" not in container
