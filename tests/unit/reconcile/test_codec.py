"""A plan that is kept is the plan that comes back; what is not a plan is an error and never a guess."""

from __future__ import annotations

import json

import pytest

from shardwright.api.reasons import Reason
from shardwright.plan.types import Layout, MemoryForecast, Placement, Plan, RankMemory, Rejection
from shardwright.reconcile.codec import CodecError, decode, encode

MEMORY = MemoryForecast(80, 70, (RankMemory(1, 2, 3, 4, 5),), 100, 3, 4096, fits=True, assumptions=("a",))
PLAN = Plan(
    placements=(
        Placement(
            "h100-8", "H100", "nvidia", "nvidia.com/gpu", Layout(4, 2), 1, 2, MEMORY, (("a", "b"),), (("k", "v"),)
        ),
    ),
    rejected=(Rejection("p", "TP1", Reason.SLOWER, 2, 1, "x"),),
    assumptions=("one",), why="because", context_length=4096, derived_replicas=2,
)  # fmt: skip


def test_there_and_back() -> None:
    assert decode(Plan, json.loads(json.dumps(encode(PLAN)))) == PLAN


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {"placements": {}},
        {"unheard": 1},
        {"placements": [{"pool": 3}]},
        {"placements": [], "reason": "NoSuchWord"},
    ],
)
def test_anything_else_is_an_error(wrong: object) -> None:
    with pytest.raises((CodecError, ValueError)):
        decode(Plan, wrong)
