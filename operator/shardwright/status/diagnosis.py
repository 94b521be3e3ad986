"""What ended a container: from kubelet's word, the exit code and the last words to a reason and what to do. Pure.

The rows are in the catalogue (failures.yaml). A line that is quoted stands in the message; where no row fits, the
reason says no more than that the engine failed.
"""

from dataclasses import dataclass
from functools import lru_cache

from shardwright.api.reasons import Reason
from shardwright.catalog.failures import Failure, Level, failure_reasons, failures

MAX_LINE = 320
MAX_TAIL = 480
_SLACK_SECONDS = 10
"""Probes begin a moment after their container and come at whole seconds."""
_STOPPED = frozenset({0, 137, 143})
"""How a container ends that kubelet stopped: in time, by force, or by the signal itself."""


@dataclass(frozen=True, slots=True)
class Ending:
    """One end of a container, or of a pod that never ran one."""

    container: str = ""
    exit_code: int | None = None
    """None = no container ran."""
    kubelet: str = ""
    """Kubelet's word for it."""
    message: str = ""
    """The last words: the termination log, else the end of the container's log."""
    started_at: str = ""
    finished_at: str = ""
    """RFC 3339."""
    seconds: float | None = None
    """How long it ran."""
    was_ready: bool = False
    """It had answered before it ended."""
    startup_seconds: int = 0
    """How long its start may take."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why it ended, as far as can be told."""

    reason: Reason
    line: str
    """The line that tells it; empty where none does."""
    do: str
    level: Level
    memory: bool = False
    """The plan's memory forecast is worth telling."""
    tail: str = ""
    """The last lines, where they say more than `line`."""


@lru_cache(maxsize=1024)
def diagnose(ending: Ending) -> Diagnosis:
    """Find the reason. Never raises; a reason that is told in the first line (`Word: …`) is taken at its word."""
    lines = [line.strip() for line in ending.message.splitlines() if line.strip()]
    own = _own_word(lines)
    if own is not None:
        return own
    for row in failures():
        line = _fits(row, ending, lines)
        if line is not None and not (row.exit and not row.says and _stopped_by_kubelet(ending)):
            return Diagnosis(row.reason, _short(line), row.do, row.level, row.memory, _tail(lines, line))
    return _by_kubelet(ending, lines) or Diagnosis(
        Reason.ENGINE_FAILED, "", "its log tells more: kubectl logs --previous", Level.CAUSE, tail=_tail(lines, "")
    )


def _own_word(lines: list[str]) -> Diagnosis | None:
    """A program of ours names the reason itself."""
    word, colon, rest = lines[0].partition(":") if lines else ("", "", "")
    row = failure_reasons().get(word) if colon and word in set(Reason) else None  # type: ignore[call-overload]
    return Diagnosis(row.reason, _short(rest.strip()), row.do, row.level, row.memory) if row else None


def _fits(row: Failure, ending: Ending, lines: list[str]) -> str | None:
    """Return the line by which a row fits, empty where it asks for none; None where it does not fit."""
    if row.kubelet and ending.kubelet not in row.kubelet:
        return None
    if row.exit and ending.exit_code not in row.exit:
        return None
    if not row.says:
        return lines[-1] if row.kubelet and lines else ""
    return next((line for pattern in row.says for line in lines if pattern.search(line)), None)


def _stopped_by_kubelet(ending: Ending) -> bool:
    """Whether a probe's patience explains the end: nobody writes that into a pod's status."""
    return ending.exit_code in _STOPPED and (ending.was_ready or _outstayed(ending))


def _outstayed(ending: Ending) -> bool:
    limit = ending.startup_seconds
    return bool(limit) and not ending.was_ready and (ending.seconds or 0.0) >= limit - _SLACK_SECONDS


def _by_kubelet(ending: Ending, lines: list[str]) -> Diagnosis | None:
    if ending.exit_code not in _STOPPED:
        return None
    tail = _tail(lines, "")
    if _outstayed(ending):
        said = f"it did not answer within {ending.startup_seconds} s of its start (spec.startupTimeout)"
        do = "raise spec.startupTimeout if loading only needs longer; else kubectl logs --previous tells where it hung"
        return Diagnosis(Reason.STARTUP_TIMEOUT, said, do, Level.SYMPTOM, tail=tail)
    if ending.was_ready and ending.exit_code:
        said = "it had answered, then was killed: it did not answer its liveness probe, or somebody killed it"
        do = "kubelet's Events of the pod tell which; a stuck engine often waits for another rank or its GPU"
        return Diagnosis(Reason.NOT_ALIVE, said, do, Level.SYMPTOM, tail=tail)
    return None


def _short(line: str) -> str:
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 1]}…"


def _tail(lines: list[str], told: str) -> str:
    """The last lines that fit, without the one that is told anyway."""
    found: list[str] = []
    for line in reversed(lines):
        if line != told and sum(map(len, found)) + len(line) <= MAX_TAIL:
            found.append(line)
        if len(found) == 3:
            break
    return " | ".join(reversed(found))
