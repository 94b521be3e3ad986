"""Manifests that pass the schema and are wrong: each gets the condition that names the field; nobody else notices."""

import time

import pytest

from support import deployments as infd
from support.cluster import ControlPlane
from support.malformed import Malformed, become_conditions
from support.waiting import eventually, steadily

CALLS_PER_MINUTE = 60
"""Of the operator, with all of them there and nothing changing: the resync, no retries."""


@pytest.fixture
def fleet(cluster: ControlPlane) -> ControlPlane:
    cluster.add_gpu_node("big", "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})
    return cluster


def condition_of(fleet: ControlPlane, namespace: str, case: Malformed) -> dict:
    """The condition that the case is about, once it says what the case wants."""
    kind, _, rest = case.condition.partition("=")
    status, reason = rest.split()
    return infd.condition(infd.wait_for(fleet, namespace, case.name, kind, status, reason), kind)


def test_each_is_named_without_a_hot_loop_and_the_neighbour_is_untouched(fleet, namespace, proxy, start_operator):
    start_operator(through=proxy)
    infd.apply(fleet, namespace, "healthy", replicas=1)
    before = infd.wait_available(fleet, namespace, "healthy", 1)
    cases = become_conditions()
    fleet.kubectl.apply(*({**case.manifest, "metadata": {"name": case.name, "namespace": namespace}} for case in cases))
    for case in cases:
        assert case.field in condition_of(fleet, namespace, case)["message"], case.name
    time.sleep(3)
    proxy.reset()
    started = time.monotonic()
    steadily(
        lambda: (
            infd.get(fleet, namespace, "healthy")["metadata"]["resourceVersion"]
            == before["metadata"]["resourceVersion"]
        ),
        for_seconds=15,
        every_seconds=5,
        what="the healthy one is not written",
    )
    calls = [call for call in proxy.calls if "watch=true" not in call.query]
    per_minute = len(calls) / (time.monotonic() - started) * 60
    print(f"{len(cases)} malformed deployments: {per_minute:.0f} API calls a minute")
    assert per_minute <= CALLS_PER_MINUTE, [f"{call.verb} {call.path}" for call in calls]
    assert proxy.writes() == []


def test_a_running_deployment_whose_new_spec_is_refused_runs_and_heals_on(fleet, namespace, start_operator):
    start_operator()
    infd.apply(fleet, namespace, "healthy", replicas=1)
    infd.wait_available(fleet, namespace, "healthy", 1)
    sets = {item["metadata"]["uid"] for item in fleet.kubectl.list("statefulsets", namespace)}
    fleet.kubectl.patch(infd.KIND, "healthy", {"spec": {"rollout": {"maxSurge": 1}}}, namespace)
    found = infd.wait_for(fleet, namespace, "healthy", "Accepted", "False", "NotSupportedYet")
    assert "spec.rollout.maxSurge" in infd.condition(found, "Accepted")["message"]
    (old,) = fleet.kubectl.list("pods", namespace, "apps.kubernetes.io/pod-index=0")
    fleet.kubectl.delete("pod", old["metadata"]["name"], namespace=namespace)
    eventually(
        lambda: (
            [
                pod["metadata"]["uid"] != old["metadata"]["uid"]
                for pod in fleet.kubectl.list("pods", namespace, "apps.kubernetes.io/pod-index=0")
            ]
            == [True]
        ),
        what="another pod in its place",
    )
    infd.wait_for(fleet, namespace, "healthy", "Available")
    assert {item["metadata"]["uid"] for item in fleet.kubectl.list("statefulsets", namespace)} == sets
    fleet.kubectl.patch(infd.KIND, "healthy", {"spec": {"rollout": None}}, namespace)
    infd.wait_for(fleet, namespace, "healthy", "Accepted", "True", "SpecValid")
