"""The clients' Service finds every pod only when no follower without an API is left."""

from typing import Any

import pytest

from golden.cases import CASES, Case, objects_of
from shardwright.plan.types import Layout
from shardwright.reconcile.endpoints import with_endpoints
from shardwright.reconcile.live import LiveReplica
from shardwright.status import observe_pod

(HYBRID,) = [case for case in CASES if case.name == "qwen3-235b-tp2-dp8-ep-hybrid"]
LEADERS = {"shardwright.io/deployment": HYBRID.name, "apps.kubernetes.io/pod-index": "0"}
EVERY_POD = {"shardwright.io/deployment": HYBRID.name}


def selector(documents: list[dict[str, Any]]) -> dict[str, str]:
    (found,) = [d["spec"]["selector"] for d in documents if d["metadata"]["name"] == HYBRID.name]
    return dict(found)


def object_of(size: int, every_pod: bool, **metadata: Any) -> dict[str, Any]:
    endpoints = {"shardwright.io/endpoints": "every-pod"} if every_pod else {}
    return {"metadata": {"labels": {"shardwright.io/group-size": str(size), **endpoints}, **metadata}}


GOING = {"deletionTimestamp": "2026-11-21T12:00:00Z"}


@pytest.mark.parametrize(
    ("live_set", "pods", "wanted"),
    [
        (None, [], EVERY_POD),
        (object_of(2, True), [object_of(2, True)], EVERY_POD),
        (object_of(1, False), [object_of(1, False)], EVERY_POD),
        (object_of(2, False), [], LEADERS),
        (object_of(2, True), [object_of(2, False)], LEADERS),
        (object_of(2, True), [object_of(2, False, **GOING)], EVERY_POD),
        (object_of(2, False, **GOING), [], EVERY_POD),
    ],
    ids=["nothing lives", "all serve", "single pods", "an old set", "an old pod", "it goes", "the set goes"],
)
def test_who_is_found(live_set, pods, wanted):
    live = {0: LiveReplica(0, live_set, tuple((pod, observe_pod(pod)) for pod in pods), (), 0)}
    documents = objects_of(HYBRID)
    found = with_endpoints(documents, live)
    assert selector(found) == wanted
    assert [d for d in found if d["metadata"]["name"] != HYBRID.name] == [
        d for d in documents if d["metadata"]["name"] != HYBRID.name
    ]


def test_a_plan_of_leaders_stays_one():
    case = Case("x", {"model": {"id": "a/b"}}, Layout(tensor=4, pipeline=2, nodes_per_replica=2))
    documents = objects_of(case)
    assert with_endpoints(documents, {0: LiveReplica(0, object_of(2, False), (), (), 0)}) == documents
