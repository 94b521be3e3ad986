"""What restarts an engine and what does not."""

from dataclasses import replace

import pytest

from golden.cases import Case, objects_of
from shardwright.api import labels
from shardwright.manifests.hashes import same_plan
from shardwright.manifests.identity import ManifestSettings
from shardwright.plan.types import Layout

PLAIN = {"model": {"id": "a/b"}}
GROUP = Case("x", PLAIN, Layout(tensor=4, pipeline=2, nodes_per_replica=2))


def plan_hash(case: Case) -> str:
    found = next(document for document in objects_of(case) if document["kind"] == "StatefulSet")
    value: str = found["metadata"]["annotations"][labels.PLAN_HASH]
    assert found["spec"]["template"]["metadata"]["annotations"][labels.PLAN_HASH] == value
    return value


HARMLESS = [
    {"podTemplate": {"labels": {"team": "a"}}},
    {"podTemplate": {"annotations": {"a": "b"}}},
    {"podTemplate": {"affinity": {"podAffinity": {}}}},
    {"podTemplate": {"terminationGracePeriodSeconds": 300}},
    {"placement": {"tolerations": [{"key": "a", "operator": "Exists"}]}},
    {"placement": {"nodeSelector": {"a": "b"}}},
    {"placement": {"priorityClassName": "high"}},
    {"startupTimeout": "2h"},
    {"service": {"port": 80}},
    {"replicas": 7},
    {"autoscaling": {}},
]
RESTARTING = [
    {"model": {"id": "a/c"}},
    {"model": {"id": "a/b", "revision": "v2"}},
    {"engine": {"version": "0.33.0"}},
    {"engine": {"image": "other"}},
    {"engine": {"args": {"max-num-seqs": "4"}}},
    {"engine": {"env": [{"name": "A", "value": "b"}]}},
    {"podTemplate": {"resources": {"limits": {"memory": "1Gi"}}}},
    {"podTemplate": {"volumes": [{"name": "a", "emptyDir": {}}]}},
]


@pytest.mark.parametrize("base", [Case("x", PLAIN, Layout()), GROUP], ids=["pod", "group"])
@pytest.mark.parametrize("change", HARMLESS, ids=str)
def test_not_restarted(base, change):
    assert plan_hash(replace(base, spec=PLAIN | change)) == plan_hash(base)


@pytest.mark.parametrize("base", [Case("x", PLAIN, Layout()), GROUP], ids=["pod", "group"])
@pytest.mark.parametrize("change", RESTARTING, ids=str)
def test_restarted(base, change):
    assert plan_hash(replace(base, spec=PLAIN | change)) != plan_hash(base)


def test_other_nodes_another_incarnation_and_patience_restart_nothing():
    assert plan_hash(replace(GROUP, incarnation=4)) == plan_hash(GROUP)
    assert plan_hash(replace(GROUP, selector_known=False)) == plan_hash(GROUP)
    assert plan_hash(replace(GROUP, settings=ManifestSettings(unreachable_seconds=99))) == plan_hash(GROUP)


def test_another_layout_restarts():
    assert plan_hash(replace(GROUP, layout=Layout(tensor=2, pipeline=4, nodes_per_replica=2))) != plan_hash(GROUP)


def test_hashes_of_unlike_versions_do_not_ask_for_a_restart():
    assert same_plan("1-aaaa", "2-bbbb")
    assert not same_plan("1-aaaa", "1-bbbb")


def test_the_applied_hash_changes_with_anything():
    before = {d["metadata"]["name"]: d["metadata"]["annotations"][labels.APPLIED_HASH] for d in objects_of(GROUP)}
    changed = replace(GROUP, spec=PLAIN | {"podTemplate": {"labels": {"team": "a"}}})
    after = {d["metadata"]["name"]: d["metadata"]["annotations"][labels.APPLIED_HASH] for d in objects_of(changed)}
    assert [name for name in before if before[name] != after[name]] == ["x-0"]
