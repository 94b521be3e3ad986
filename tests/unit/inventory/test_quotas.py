"""ResourceQuotas as they are written, and whose pods they count."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardwright.inventory import PodClass, read_ask, read_quota
from shardwright.inventory.quotas import PodAsk, Scope


def quota(hard: dict[str, Any], status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "team"}, "spec": {"hard": hard, **spec}, "status": status or {}}


def test_gpus_and_pods_are_read_and_nothing_else() -> None:
    hard = {"requests.nvidia.com/gpu": "8", "requests.amd.com/gpu": 4, "pods": "10", "count/pods": "7",
            "requests.cpu": "100", "nvidia.com/gpu": "1", "requests.nvidia.com/mig-1g.10gb": "2"}  # fmt: skip
    found = read_quota(quota(hard))
    assert dict(found.hard) == {"nvidia.com/gpu": 8, "amd.com/gpu": 4, "pods": 7, "nvidia.com/mig-1g.10gb": 2}


def test_the_stricter_of_wish_and_status_bounds() -> None:
    key = "requests.nvidia.com/gpu"
    assert read_quota(quota({key: "16"}, {"hard": {key: "8"}, "used": {key: "3"}})).hard == (("nvidia.com/gpu", 8),)
    assert read_quota(quota({key: "4"}, {"hard": {key: "8"}, "used": {key: "3"}})).hard == (("nvidia.com/gpu", 4),)
    assert read_quota(quota({key: "4"}, {"hard": {key: "8"}, "used": {key: "3"}})).used == (("nvidia.com/gpu", 3),)


PLAIN, HIGH = PodClass(), PodClass("high")


@pytest.mark.parametrize(
    ("spec", "pod", "counts"),
    [
        ({}, PLAIN, True),
        ({"scopes": ["NotTerminating"]}, PLAIN, True),
        ({"scopes": ["Terminating"]}, PLAIN, False),
        ({"scopes": ["Terminating"]}, PodClass(has_deadline=True), True),
        ({"scopes": ["BestEffort"]}, PLAIN, False),
        ({"scopes": ["NotBestEffort"]}, PLAIN, True),
        ({"scopes": ["NotBestEffort", "Terminating"]}, PLAIN, False),
        ({"scopes": ["PriorityClass"]}, PLAIN, False),
        ({"scopes": ["PriorityClass"]}, HIGH, True),
        ({"scopes": ["CrossNamespacePodAffinity"]}, PLAIN, False),
        ({"scopes": ["SomethingNew"]}, PLAIN, False),
    ],
)
def test_scopes(spec: dict[str, Any], pod: PodClass, counts: bool) -> None:
    assert read_quota(quota({"pods": "1"}, **spec)).counts(pod) is counts


@pytest.mark.parametrize(
    ("operator", "values", "pods"),
    [
        ("In", ["high", "low"], {HIGH}),
        ("NotIn", ["low"], {PLAIN, HIGH}),
        ("Exists", [], {HIGH}),
        ("DoesNotExist", [], {PLAIN}),
    ],
)
def test_scope_selectors_of_priority_classes(operator: str, values: list[str], pods: set[PodClass]) -> None:
    row = {"scopeName": "PriorityClass", "operator": operator, "values": values}
    found = read_quota(quota({"pods": "1"}, scopeSelector={"matchExpressions": [row]}))
    assert {pod for pod in (PLAIN, HIGH) if found.counts(pod)} == pods
    assert found.scopes == (Scope("PriorityClass", operator, tuple(sorted(values))),)


def pod(phase: str = "Pending", **spec: Any) -> dict[str, Any]:
    gpu = {"resources": {"limits": {"nvidia.com/gpu": "4"}}}
    return {"metadata": {"labels": {"shardwright.io/replica": "2"}}, "status": {"phase": phase},
            "spec": {"containers": [gpu], **spec}}  # fmt: skip


def test_a_pod_counts_from_its_creation_to_its_end() -> None:
    assert read_ask(pod()) == PodAsk(PodClass(best_effort=True), (("nvidia.com/gpu", 4), ("pods", 1)), 2)
    assert read_ask(pod("Succeeded")) is None
    assert read_ask(pod("Failed")) is None
    leaving = {**pod(), "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert read_ask(leaving) == PodAsk(PodClass(best_effort=True), (("nvidia.com/gpu", 4), ("pods", 1)), -1, True)


def test_what_scopes_look_at_is_read_from_the_pod() -> None:
    asks_memory = {"resources": {"requests": {"memory": "1Gi"}}}
    found = read_ask(pod(priorityClassName="high", activeDeadlineSeconds=60, initContainers=[asks_memory]))
    assert found is not None
    assert found.pod_class == PodClass("high", has_deadline=True, best_effort=False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_nothing_raises(one: Any, other: Any) -> None:
    read_quota({"metadata": {"name": one}, "spec": {"hard": {"pods": one, "requests.nvidia.com/gpu": other}},
                "status": {"hard": other}})  # fmt: skip
    read_quota({"spec": {"hard": one, "scopes": other, "scopeSelector": {"matchExpressions": one}}, "status": other})
    read_ask({"metadata": one, "spec": other, "status": one})
