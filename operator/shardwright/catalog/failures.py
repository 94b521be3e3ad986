"""What containers end with and what that means: the rows of failures.yaml, in their order. Knows no cluster."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from shardwright.api.reasons import Reason


class Level(IntEnum):
    """How near to the cause a failure stands; the smallest of a group names the culprit."""

    CAUSE = 0
    SYMPTOM = 1
    """Something else may have happened before it, here or in another pod."""
    CONSEQUENCE = 2
    """Another member of the group broke first."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One row; every condition that it states must hold."""

    reason: Reason
    do: str
    """What a person can do about it."""
    source: str
    level: Level = Level.CAUSE
    kubelet: frozenset[str] = frozenset()
    """Reasons of the container's end or of the pod's; empty = any."""
    exit: frozenset[int] = frozenset()
    """Exit codes; empty = any."""
    says: tuple[re.Pattern[str], ...] = ()
    """One of them is found in the message; empty = whatever it says."""
    memory: bool = False
    """The plan's memory forecast is worth telling."""


@cache
def failures() -> tuple[Failure, ...]:
    """Every row, in the order in which they are asked."""
    text = files("shardwright.catalog").joinpath("engines", "failures.yaml").read_text("utf-8")
    return tuple(_failure(row) for row in yaml.safe_load(text))


@cache
def failure_reasons() -> Mapping[Reason, Failure]:
    """The reasons that a container's end can have, each with its first row that is told by words or by kubelet."""
    found: dict[Reason, Failure] = {}
    for row in failures():
        found.setdefault(row.reason, row)
    return found


def _failure(row: Mapping[str, Any]) -> Failure:
    return Failure(
        reason=Reason(row["reason"]),
        do=row["do"],
        source=row["source"],
        level=Level[row.get("level", "cause").upper()],
        kubelet=frozenset(row.get("kubelet", ())),
        exit=frozenset(row.get("exit", ())),
        says=tuple(re.compile(pattern, re.MULTILINE) for pattern in row.get("says", ())),
        memory=row.get("memory", False),
    )
