"""When a half-placed group lets go: not before it is surely stuck, not for a younger one, later and later each time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from shardwright.reconcile.live import LiveReplica
from shardwright.reconcile.types import Yielded
from shardwright.reconcile.yielding import LONGEST_REST_SECONDS, PATIENCE_SECONDS, look, stuck_seconds
from shardwright.status import observe_pod

NOW = "2026-11-21T12:00:00Z"
BEFORE, LONG_BEFORE = "2026-11-21T11:59:55Z", "2026-11-21T11:59:00Z"


@dataclass
class Older:
    """Somebody older waits for these nodes."""

    nodes: tuple[str, ...] = ()
    crowded: bool = False
    asked: list[bool] = field(default_factory=list)

    def rival(self, replica: int, held: Counter[str], *, patient: bool) -> str:
        self.asked.append(patient)
        return "ns/older" if set(self.nodes) & set(held) and (patient or self.crowded) else ""


def pod(index: int, node: str = "", refused: str = "", **metadata: Any) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": refused}
    marks = {"apps.kubernetes.io/pod-index": str(index)}
    return {
        "metadata": {"name": f"p-{index}", "labels": marks, **metadata},
        "spec": {"nodeName": node or None},
        "status": {"phase": "Pending", "conditions": [condition] if refused else []},
    }


def group(*pods: dict[str, Any]) -> dict[int, LiveReplica]:
    return {0: LiveReplica(0, None, tuple((raw, observe_pod(raw)) for raw in pods), (), 0)}


HALF = group(pod(0, "a"), pod(1, refused=LONG_BEFORE))


def test_only_half_a_group_is_stuck() -> None:
    assert stuck_seconds(HALF[0], NOW) == 60
    assert stuck_seconds(group(pod(0, "a"), pod(1, "b"))[0], NOW) is None
    assert stuck_seconds(group(pod(0, refused=BEFORE), pod(1, refused=BEFORE))[0], NOW) is None
    assert stuck_seconds(group(pod(0, "a"), pod(1))[0], NOW) is None, "the scheduler has not looked at it yet"
    leaving = pod(0, "a", deletionTimestamp=NOW)
    assert stuck_seconds(group(leaving, pod(1, refused=BEFORE))[0], NOW) is None


def test_it_lets_go_of_what_somebody_older_waits_for() -> None:
    found = look(HALF, {}, Older(("a",)), NOW)  # type: ignore[arg-type]
    assert found.remembered == {0: Yielded(1, "2026-11-21T12:00:30Z", "ns/older")}
    assert "ns/older" in found.resting[0]
    assert found.again_in_seconds == 1


def test_it_keeps_what_nobody_older_waits_for_and_looks_again() -> None:
    found = look(HALF, {}, Older(("z",)), NOW)  # type: ignore[arg-type]
    assert (found.remembered, found.resting) == ({}, {})
    assert found.again_in_seconds is not None


def test_it_is_patient_unless_there_is_surely_no_room() -> None:
    young = group(pod(0, "a"), pod(1, refused=BEFORE))
    waits = look(young, {}, Older(("a",)), NOW)  # type: ignore[arg-type]
    assert (waits.resting, waits.again_in_seconds) == ({}, PATIENCE_SECONDS - 5)
    assert look(young, {}, Older(("a",), crowded=True), NOW).resting  # type: ignore[arg-type]


def test_it_rests_longer_each_time_until_it_was_whole() -> None:
    again = look(HALF, {0: Yielded(2, "2026-11-21T11:00:00Z", "x")}, Older(("a",)), NOW)  # type: ignore[arg-type]
    assert again.remembered[0] == Yielded(3, "2026-11-21T12:02:00Z", "ns/older")
    often = look(HALF, {0: Yielded(50, BEFORE, "x")}, Older(("a",)), NOW)  # type: ignore[arg-type]
    assert LONGEST_REST_SECONDS == 600
    assert often.remembered[0].until == "2026-11-21T12:10:00Z"
    ready = group({**pod(0, "a"), "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    assert look(ready, {0: Yielded(3, BEFORE, "x")}, Older(), NOW).remembered == {}  # type: ignore[arg-type]


def test_while_it_rests_nobody_is_asked() -> None:
    older = Older(("a",))
    found = look({0: LiveReplica(0, None, (), (), 0)}, {0: Yielded(1, "2026-11-21T12:00:10Z", "x")}, older, NOW)  # type: ignore[arg-type]
    assert (list(found.resting), found.again_in_seconds, older.asked) == ([0], 10, [])
