"""The mirror: late news never wins, a slow list brings nobody back, and only what concerns somebody is told."""

from __future__ import annotations

from typing import Any

from shardwright.api import labels
from shardwright.cluster import kinds
from shardwright.cluster.store import Store
from shardwright.inventory import PodClass
from support.nodes import node

KEY = ("default", "small")


def pod(
    name: str, version: int, *, at: str | None = None, gpus: int = 1, ours: bool = True, **status: Any
) -> dict[str, Any]:
    marks = {labels.MANAGED_BY: "shardwright", labels.DEPLOYMENT: "small", labels.REPLICA: "0"} if ours else {}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "labels": marks,
        },
        "spec": {"nodeName": at, "containers": [{"resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}]},
        "status": {"phase": "Pending", **status},
    }


def service(name: str, version: int, *, owner: str | None = "small", **spec: Any) -> dict[str, Any]:
    reference = {"apiVersion": labels.API_VERSION, "kind": labels.KIND, "name": owner, "uid": "u", "controller": True}
    return {
        "metadata": {
            "name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": str(version),
            "ownerReferences": [reference] if owner else [],
        },
        "spec": spec,
    }  # fmt: skip


def test_an_older_version_changes_nothing() -> None:
    store = Store()
    store.put(kinds.SERVICE, service("a", 5, x=1))
    assert store.put(kinds.SERVICE, service("a", 4, x=2)).key is None
    assert store.children(KEY)["Service", "a"]["spec"] == {"x": 1}


def test_only_what_matters_is_told() -> None:
    store = Store()
    assert store.put(kinds.SERVICE, service("a", 1, x=1)).key == KEY
    assert store.put(kinds.SERVICE, {**service("a", 2, x=1), "status": {"loadBalancer": {}}}).key is None
    assert store.put(kinds.SERVICE, service("a", 3, x=2)).key == KEY


def test_gpus_follow_the_pods() -> None:
    store = Store()
    assert store.put(kinds.POD, pod("p", 1)).node is None
    bound = store.put(kinds.POD, pod("p", 2, at="n", gpus=4))
    assert (bound.node, bound.freed, store.held()) == ("n", False, {("n", "nvidia.com/gpu"): 4})
    ended = store.put(kinds.POD, pod("p", 3, at="n", gpus=4, phase="Failed"))
    assert (ended.node, ended.freed, store.held()) == ("n", True, {})


def test_a_list_evicts_what_is_gone_and_spares_what_is_newer() -> None:
    store = Store()
    store.put(kinds.POD, pod("gone", 1, at="n"))
    store.begin_list(kinds.POD)
    store.put(kinds.POD, pod("newer", 12, at="n"))
    changes = store.end_list(kinds.POD, seen=[], version=10)
    assert [change.freed for change in changes] == [True]
    assert [item["metadata"]["name"] for item in store.pods(KEY)] == ["newer"]


def test_a_slow_list_does_not_bring_the_dead_back() -> None:
    store = Store()
    store.put(kinds.POD, pod("p", 1, at="n"))
    store.begin_list(kinds.POD)
    store.remove(kinds.POD, pod("p", 7, at="n"))
    store.put(kinds.POD, pod("p", 1, at="n"))
    store.end_list(kinds.POD, seen=["uid-p"], version=5)
    assert store.pods(KEY) == () and store.held() == {}


def test_a_deletion_of_an_earlier_object_of_that_name_is_ignored() -> None:
    store = Store()
    store.put(kinds.SERVICE, service("a", 5) | {"metadata": {**service("a", 5)["metadata"], "uid": "second"}})
    assert store.remove(kinds.SERVICE, service("a", 4)).key is None
    assert ("Service", "a") in store.children(KEY)


def test_a_known_object_in_a_list_tells_of_a_broken_watch() -> None:
    store = Store()
    assert not store.put(kinds.SERVICE, service("a", 1), listed=True).relisted
    assert store.put(kinds.SERVICE, service("a", 1), listed=True).relisted


def test_foreign_objects_take_names_and_give_them_back() -> None:
    store = Store()
    store.put(kinds.SERVICE, service("small", 1, owner=None))
    assert store.takes_name("Service", "default", "small") and not store.children(KEY)
    assert store.remove(kinds.SERVICE, service("small", 2, owner=None)).released == KEY
    assert not store.takes_name("Service", "default", "small")


def test_a_heartbeat_of_a_node_is_no_news() -> None:
    store = Store()
    first, second = node("n"), node("n")
    first["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"] = "1", "2"
    assert store.put(kinds.NODE, first).node == "n"
    assert store.put(kinds.NODE, second).node is None


def test_what_others_pods_hold_is_told_when_it_changes() -> None:
    store = Store()
    store.put(kinds.POD, pod("theirs", 1, gpus=4, ours=False))
    assert store.put(kinds.POD, pod("theirs", 2, at="n", gpus=4, ours=False)).node == "n"
    ended = store.put(kinds.POD, pod("theirs", 3, at="n", gpus=4, ours=False, phase="Succeeded"))
    assert (ended.node, ended.freed) == ("n", True)


def test_quotas_and_what_pods_take_of_them() -> None:
    store = Store()
    plain = PodClass(best_effort=True)
    quota = {
        "metadata": {"name": "team", "namespace": "default", "uid": "q", "resourceVersion": "1"},
        "spec": {"hard": {"requests.nvidia.com/gpu": "8"}},
    }
    assert store.put(kinds.RESOURCE_QUOTA, quota).quota_of == "default"
    quota["metadata"]["resourceVersion"] = "2"
    assert store.put(kinds.RESOURCE_QUOTA, quota).quota_of is None
    assert [one.hard for one in store.quotas("default")] == [(("nvidia.com/gpu", 8),)]
    assert store.quotas("elsewhere") == ()
    store.put(kinds.POD, pod("ours", 1, gpus=4))
    store.put(kinds.POD, pod("theirs", 2, gpus=2, ours=False))
    assert store.asked("default") == {(plain, "nvidia.com/gpu"): 6, (plain, "pods"): 2}
    assert [dict(ask.amounts)["nvidia.com/gpu"] for ask in store.asks(KEY)] == [4]
    store.remove(kinds.POD, pod("ours", 3, gpus=4))
    store.put(kinds.POD, pod("theirs", 4, gpus=2, ours=False, phase="Failed"))
    assert store.asked("default") == {}
    assert store.remove(kinds.RESOURCE_QUOTA, quota).quota_of == "default"


def test_the_last_pod_that_kubelet_refused_is_remembered_until_its_deployment_goes() -> None:
    """A StatefulSet takes a refused pod away at once: whoever looks a moment later would never know."""
    store = Store()
    owner = {"metadata": {"name": "small", "namespace": "default", "uid": "u", "resourceVersion": "1"}}
    store.put(kinds.DEPLOYMENT, owner)
    refused = pod("small-0-0", 2, phase="Failed", reason="UnexpectedAdmissionError")
    store.put(kinds.POD, refused)
    assert store.refused(KEY) == ()
    store.remove(kinds.POD, refused)
    (gone,) = store.refused(KEY)
    assert gone["gone"]
    assert gone["metadata"]["deletionTimestamp"]
    next_one = pod("small-0-0", 4)
    next_one["metadata"]["uid"] = "another"
    store.put(kinds.POD, next_one)
    assert [one["metadata"]["uid"] for one in store.pods(KEY)] == ["another"]
    assert len(store.refused(KEY)) == 1
    assert not store.held().get(("h100-a", "nvidia.com/gpu"))
    store.remove(kinds.POD, next_one)
    store.remove(kinds.DEPLOYMENT, owner)
    assert store.refused(KEY) == ()


def test_an_evicted_pod_that_was_only_seen_to_be_deleted_is_remembered_too() -> None:
    store = Store()
    store.put(kinds.POD, pod("small-0-0", 2))
    store.remove(kinds.POD, pod("small-0-0", 3, phase="Failed", reason="Evicted"))
    assert [one["status"]["reason"] for one in store.refused(KEY)] == ["Evicted"]
