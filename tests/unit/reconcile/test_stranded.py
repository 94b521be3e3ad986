"""Pods that no kubelet will end: removed at once where the node is gone, after their grace where it is silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from shardwright.reconcile.live import LiveReplica
from shardwright.reconcile.stranded import AGAIN_SECONDS, stranded
from shardwright.status import observe_pod

NOW = "2026-11-21T12:00:00Z"
BEFORE, AFTER = "2026-11-21T11:59:50Z", "2026-11-21T12:00:07Z"


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes by their state: `there`, `silent`; all others are gone."""

    state: dict[str, str]

    def node_exists(self, name: str) -> bool:
        return name in self.state

    def node_unreachable(self, name: str) -> bool:
        return self.state.get(name) == "silent"


def pod(name: str, node: str, ends: str = "", claims: tuple[str, ...] = ()) -> dict[str, Any]:
    leaving = {"deletionTimestamp": ends} if ends else {}
    return {"metadata": {"name": name, "uid": name, **leaving}, "spec": {"nodeName": node, "claims": list(claims)}}


def judged(*pods: dict[str, Any], **nodes: str):
    live = {0: LiveReplica(0, None, tuple((raw, observe_pod(raw)) for raw in pods), (), 0)}
    return stranded(live, Nodes(nodes), NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "ends", "removed", "again"),
    [
        ("silent", BEFORE, True, AGAIN_SECONDS),
        ("silent", AFTER, False, 7.0),
        ("silent", "", False, None),
        ("there", BEFORE, False, AGAIN_SECONDS),
        ("gone", AFTER, True, 7.0),
        ("gone", "", False, None),
        ("silent", "nonsense", False, AGAIN_SECONDS),
    ],
)
def test_when_a_pod_is_removed_by_force(state: str, ends: str, removed: bool, again: float | None) -> None:
    nodes = {} if state == "gone" else {"a": state}
    found = judged(pod("p", "a", ends), **nodes)
    assert [(d.document["metadata"]["name"], d.grace_seconds) for d in found.deletions] == [("p", 0)] * removed
    assert found.again_in_seconds == again


def test_claims_hold_a_pod_of_a_silent_node_but_not_of_one_that_is_gone() -> None:
    pods = pod("p", "a", BEFORE, ("weights",)), pod("q", "b", BEFORE, ("weights",))
    assert [deletion.unless_tied for deletion in judged(*pods, a="silent").deletions] == [("weights",), ()]


def test_a_pod_that_was_never_bound_needs_no_force() -> None:
    raw = pod("p", "", BEFORE)
    assert not judged(raw).deletions
