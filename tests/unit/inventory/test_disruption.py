"""Taints that say that a node is about to go, and those that only might."""

from __future__ import annotations

from pathlib import Path

import pytest

from shardwright.api.reasons import Reason
from shardwright.inventory import NodeFacts, SkippedNode, read_node
from shardwright.inventory.disruption import DISRUPTION_TAINTS
from support.nodes import h100_sxm_8

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


@pytest.mark.parametrize("key", sorted(DISRUPTION_TAINTS))
@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_a_node_that_is_about_to_go_takes_nothing_new(key: str, effect: str) -> None:
    found = read_node(h100_sxm_8("a", taints=[{"key": key, "effect": effect}]))
    assert isinstance(found, SkippedNode)
    assert (found.reason, key in found.message) == (Reason.NODE_BEING_DELETED, True)


@pytest.mark.parametrize("key", ["DeletionCandidateOfClusterAutoscaler", "example.com/busy"])
def test_a_hint_is_no_departure(key: str) -> None:
    assert isinstance(read_node(h100_sxm_8("a", taints=[{"key": key, "effect": "PreferNoSchedule"}])), NodeFacts)


@pytest.mark.parametrize("key", sorted(DISRUPTION_TAINTS))
def test_each_is_documented(key: str) -> None:
    assert key.rpartition("/")[2] in OPERATIONS.read_text()
