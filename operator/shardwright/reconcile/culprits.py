"""Which pod broke a group first, and how. Pure.

A pod that ended because another one did is never named while the other can be: causes stand before symptoms, these
before consequences, and among equals the earliest end counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from shardwright.api.reasons import Reason
from shardwright.catalog.failures import Level
from shardwright.reconcile.moments import moment, seconds_between
from shardwright.status import ObservedPod, ObservedReplica, ReplicaHealth, first_to_break

_AT_ONCE = timedelta(seconds=5)
"""Pods of a group are made together; clocks show whole seconds and a busy controller takes its time."""
_WORDS_ARRIVE_SECONDS = 5.0
"""Within which all kubelets of a group have told how their pods ended."""
_BREAKS_A_GROUP = frozenset({Reason.POD_RESTARTED, Reason.CRASH_LOOP})
"""Judged from the group as a whole. A pod that is merely not there may not have been made yet."""


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a group's past that its pods do not tell."""

    moved: bool = False
    """It gets other nodes."""
    was_ready: bool = False
    """The status called this incarnation ready."""
    lost_a_pod: bool = False
    """A pod of the group as it was when whole is gone."""


@dataclass(frozen=True, slots=True)
class Culprit:
    """The pod that broke a group, in words that begin with the reason."""

    text: str
    of_pod: bool = False
    """Kubelet refused or evicted it."""
    final: bool = False
    """Kubelet tried again as often as the budget allows: making the group anew would try the same."""
    wait_seconds: float = 0.0
    """A likelier culprit may still speak."""


def culprit_of(seen: ObservedReplica, health: ReplicaHealth, history: History, now: str, budget: int) -> Culprit | None:
    """Find the pod that broke the group; None where it is whole or on its way up."""
    members = [pod for pod in seen.pods if pod.incarnation == seen.incarnation and not pod.terminating]
    speak = [pod for pod in seen.pods if pod.incarnation == seen.incarnation and pod.counts]
    dead = [] if health.ready else sorted(filter(_broke, speak), key=first_to_break)
    lost = _lost(seen.group_size, members, history)
    if dead and not (lost and dead[0].death and dead[0].death.level is Level.CONSEQUENCE):
        return _of(dead[0], seen.forecast, wait=_patience(dead[0], len(speak) - len(dead), now))
    if lost:
        return Culprit(lost)
    if health.reason in _BREAKS_A_GROUP:
        return Culprit(f"{health.reason}: {health.message}")
    stuck = [pod for pod in members if pod.death and pod.death.init and pod.deaths > budget and not pod.ready]
    return _of(stuck[0], seen.forecast, final=True) if stuck else None


def told(pod: ObservedPod, forecast: str) -> str:
    """Name a pod and how it ended, the reason first."""
    if pod.death is None:
        return f"{Reason.POD_RESTARTED}: pod {pod.name} {pod.message or f'restarted {pod.restarts} times'}"
    where = f" on {pod.node}" if pod.node else ""
    memory = f"; the forecast was: {forecast}" if forecast and pod.death.memory else ""
    return f"{pod.death.reason}: pod {pod.name}{where} {pod.death.words}{memory}"


def _of(pod: ObservedPod, forecast: str, *, final: bool = False, wait: float = 0.0) -> Culprit:
    return Culprit(told(pod, forecast), pod.death is not None and pod.death.of_pod, final, wait)


def _broke(pod: ObservedPod) -> bool:
    """Whether its engine ended; what ends before it has begun (a download) is kubelet's to try again."""
    return (pod.death is not None and not pod.death.init) or bool(pod.restarts) or pod.phase == "Failed"


def _patience(pod: ObservedPod, others: int, now: str) -> float:
    """How long to wait for a cause where the first to speak tells a symptom and others have not ended yet."""
    if pod.death is None or pod.death.level is Level.CAUSE or not others:
        return 0.0
    passed = seconds_between(pod.death.finished_at, now, _WORDS_ARRIVE_SECONDS)
    clocks_agree = passed > -_WORDS_ARRIVE_SECONDS
    return max(0.0, _WORDS_ARRIVE_SECONDS - passed) if clocks_agree else 0.0


def _lost(size: int, members: Sequence[ObservedPod], history: History) -> str:
    """The pod that a group which had formed lost, in words; its name may be another pod's already."""
    if not (history.was_ready or history.lost_a_pod):
        return ""
    present = {pod.index for pod in members}
    missing = next((index for index in range(size) if index not in present), None)
    if missing is not None:
        return f"{Reason.POD_LOST}: pod {missing} of the group is gone"
    newest = max(members, key=lambda pod: (pod.phase == "Pending", pod.created_at))
    certain = history.lost_a_pod or newest.phase == "Pending"
    if certain or _apart(min(pod.created_at for pod in members), newest.created_at):
        return f"{Reason.POD_LOST}: pod {newest.name} was replaced after the group had formed"
    return ""


def _apart(first: str, second: str) -> bool:
    one, other = moment(first), moment(second)
    return one is not None and other is not None and other - one > _AT_ONCE
