"""Which changes of a status are worth an Event. Looks at two statuses, knows no cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NORMAL, WARNING = "Normal", "Warning"

_GOOD = {"Accepted": "True", "Planned": "True", "Available": "True", "Degraded": "False", "ScalingActive": "True"}
"""Conditions that are told, and the status at which all is well."""

_ASKED_FOR = frozenset(
    {"AutoscalingDisabled", "AutoscalingManaged", "AutoscalingExternal", "Suspended", "ScaledToZero"}
)
"""What the user asked for: told, but no warning."""
_ON_THE_WAY = frozenset(
    {"ModelFactsPending", "ReplicasStarting", "NoReplicaReady", "MetricsUnavailable", "WaitingForNodes"}
)
"""What every start goes through: told only when it ends something that was well."""
_BAD_NEWS_ONLY = frozenset({"Accepted", "Degraded", "ScalingActive"})
"""Told as good only after having been bad."""


@dataclass(frozen=True, slots=True)
class EventNote:
    """One Event to post."""

    type: str
    reason: str
    message: str


def transitions(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[EventNote, ...]:
    """Compare two statuses: a note for each told condition whose status or reason changed, and for a new plan.

    Of conditions that changed for one reason the first tells it: it stands nearest to the cause.
    """
    before = _by_type(old)
    notes: dict[tuple[str, str], EventNote] = {}
    for kind, item in _by_type(new).items():
        was = before.get(kind, {})
        changed = (was.get("status"), was.get("reason")) != (item["status"], item["reason"])
        replanned = kind == "Planned" and _hash(old) != _hash(new)
        note = _note(kind, item, str(was.get("status", ""))) if kind in _GOOD and (changed or replanned) else None
        if note is not None:
            notes.setdefault((note.type, note.reason), note)
    return tuple(notes.values())


def _note(kind: str, item: Mapping[str, Any], was: str) -> EventNote | None:
    """Write the note of one changed condition, or None where it is no news."""
    status, reason, message = str(item["status"]), str(item["reason"]), str(item["message"])[:1024]
    good = _GOOD[kind]
    if status == "Unknown":
        return None
    if status == good:
        healed = was not in ("", "Unknown", good)
        return EventNote(NORMAL, reason, message) if healed or kind not in _BAD_NEWS_ONLY else None
    if reason in _ASKED_FOR:
        return EventNote(NORMAL, reason, message) if was else None
    if reason in _ON_THE_WAY and was != good:
        return None
    return EventNote(WARNING, reason, message)


def _by_type(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    items = status.get("conditions")
    return {str(item.get("type")): item for item in items} if isinstance(items, list) else {}


def _hash(status: Mapping[str, Any]) -> object:
    plan = status.get("plan")
    return plan.get("hash") if isinstance(plan, Mapping) else None
