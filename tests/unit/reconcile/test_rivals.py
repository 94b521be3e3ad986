"""Who yields to whom: in any tangle of half-placed groups the oldest stays, and nobody is left who blocks an older."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shardwright.api import labels
from shardwright.cluster import kinds
from shardwright.cluster.store import Store
from shardwright.controller.rivals import Rivals
from shardwright.reconcile.ledger import Ledger
from shardwright.reconcile.types import Reservation

GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class Half:
    """A group of two pods: one runs, the other finds no place."""

    age: int
    held: str
    open: str

    @property
    def uid(self) -> str:
        return f"uid-{self.age}"


def pod(group: Half, index: int, version: int) -> dict[str, Any]:
    marks = {
        labels.MANAGED_BY: "shardwright", labels.DEPLOYMENT: f"d{group.age}", labels.DEPLOYMENT_UID: group.uid,
        labels.REPLICA: "0", labels.POD_INDEX: str(index),
    }  # fmt: skip
    refused = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": ""}]
    name = f"d{group.age}-0-{index}"
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": str(version), "labels": marks},
        "spec": {"nodeName": None if index else group.held,
                 "containers": [{"resources": {"limits": {GPU: "4"}}}]},
        "status": {"phase": "Pending", "conditions": refused if index else []},
    }  # fmt: skip


def tangle(groups: list[Half]) -> Rivals:
    store, ledger = Store(), Ledger()
    for number, one in enumerate(groups):
        metadata = {"name": f"d{one.age}", "namespace": "ns", "uid": one.uid, "resourceVersion": str(number + 1)}
        store.put(kinds.DEPLOYMENT, {"metadata": metadata, "spec": {}})
        for index in range(2):
            store.put(kinds.POD, pod(one, index, 100 + 2 * number + index))
        ledger.reserve(one.uid, f"{one.age:04}", [Reservation(0, 4, (one.held, one.open), GPU)], {0: [one.held]})
    return Rivals(store, ledger)


def test_of_two_that_block_each_other_the_younger_yields() -> None:
    older, younger = Half(1, "a", "b"), Half(2, "b", "a")
    rivals = tangle([younger, older])
    assert rivals.older(younger.uid, 0, Counter(["b"])) == "ns/d1"
    assert rivals.older(older.uid, 0, Counter(["a"])) == ""
    assert rivals.going(older.uid, 0, "b", GPU) == 4, "the older may count on what the younger will let go of"
    assert rivals.going(younger.uid, 0, "a", GPU) == 0


def test_of_two_groups_of_one_deployment_the_higher_number_yields() -> None:
    store, ledger = Store(), Ledger()
    metadata = {"name": "d", "namespace": "ns", "uid": "u", "resourceVersion": "1"}
    store.put(kinds.DEPLOYMENT, {"metadata": metadata, "spec": {}})
    for replica, held in ((0, "a"), (1, "b")):
        for index in range(2):
            document = pod(Half(9, held, ""), index, 10 + 2 * replica + index)
            document["metadata"] |= {"name": f"d-{replica}-{index}", "uid": f"d-{replica}-{index}"}
            document["metadata"]["labels"] |= {
                labels.DEPLOYMENT: "d", labels.DEPLOYMENT_UID: "u", labels.REPLICA: str(replica),
            }  # fmt: skip
            store.put(kinds.POD, document)
    seats = [Reservation(0, 4, ("a", "b"), GPU), Reservation(1, 4, ("b", "a"), GPU)]
    ledger.reserve("u", "0001", seats, {0: ["a"], 1: ["b"]})
    rivals = Rivals(store, ledger)
    assert rivals.older("u", 1, Counter(["b"])) == "ns/d, replica 0"
    assert rivals.older("u", 0, Counter(["a"])) == ""


nodes = st.permutations("abcd").map(lambda order: (order[0], order[1]))


@given(st.lists(nodes, min_size=1, max_size=6))
def test_a_tangle_comes_loose(places: list[tuple[str, str]]) -> None:
    groups = [Half(age, *place) for age, place in enumerate(places)]
    rivals = tangle(groups)
    stay = [one for one in groups if not rivals.older(one.uid, 0, Counter([one.held]))]
    assert groups[0] in stay
    for one in stay:
        assert not [other for other in groups if other.age < one.age and other.open == one.held]
