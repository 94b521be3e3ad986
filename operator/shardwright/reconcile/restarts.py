"""When a broken group is made anew, how long it waits and when it is given up. A group's pods live and die together.

A restart is an incarnation: the number goes up in the status and in the set's pod template, then every pod of a lower
one is deleted. Single pods are kubelet's business. Times are RFC 3339 texts; nothing here reads a clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shardwright.api import labels
from shardwright.api.reasons import Reason
from shardwright.api.spec import RestartSpec
from shardwright.manifests.durations import seconds
from shardwright.reconcile.live import LiveReplica, number
from shardwright.status import ObservedPod, ObservedReplica, ReplicaHealth

FIRST_DELAY_SECONDS = 10
LONGEST_DELAY_SECONDS = 300
_AT_ONCE = timedelta(seconds=5)
"""Pods of a group are made together; clocks show whole seconds and a busy controller takes its time."""
_BREAKS_A_GROUP = frozenset({Reason.POD_RESTARTED, Reason.CRASH_LOOP, Reason.OUT_OF_MEMORY})
"""A pod that is merely not there may not have been made yet: only a group that was whole can lose one (`_lost`)."""


@dataclass(frozen=True, slots=True)
class Life:
    """Which incarnation a replica shall have, and what its set shall say about restarts."""

    incarnation: int
    count: int = 0
    time: str = ""
    culprit: str = ""
    gave_up: bool = False
    due_in_seconds: float | None = None
    """A restart is decided but waits for its back-off."""

    def annotations(self) -> dict[str, str]:
        """What outlives us on the set; nothing where the group was never restarted."""
        if not self.time:
            return {}
        return {
            labels.RESTART_COUNT: str(self.count),
            labels.RESTART_TIME: self.time,
            labels.RESTART_CULPRIT: self.culprit[:1024],
        }


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a group's past that its pods do not tell."""

    moved: bool = False
    """It gets other nodes."""
    was_ready: bool = False
    """The status called this incarnation ready."""
    lost_a_pod: bool = False
    """A pod of the group as it was when whole is gone."""


def life(
    live: LiveReplica, seen: ObservedReplica, health: ReplicaHealth, history: History, rules: tuple[RestartSpec, str]
) -> Life:
    """Judge one replica: the incarnation that it shall have, and what is to be remembered of its restarts.

    `rules` are the user's policy and the time, RFC 3339.
    """
    policy, now = rules
    known = Life(
        incarnation=live.incarnation,
        count=number(live.annotation(labels.RESTART_COUNT)),
        time=live.annotation(labels.RESTART_TIME),
        culprit=live.annotation(labels.RESTART_CULPRIT),
    )
    if history.moved:
        return Life(known.incarnation + 1, known.count, known.time, known.culprit)
    if seen.group_size == 1 or not live.exists:
        return known
    culprit = _culprit(seen, health, history)
    if not culprit:
        return _forgiven(known, health, policy, now)
    if known.count >= policy.budget:
        return Life(known.incarnation, known.count, known.time, known.culprit or culprit, gave_up=True)
    left = _back_off_left(known, now)
    if left > 0:
        return Life(known.incarnation, known.count, known.time, known.culprit, due_in_seconds=left)
    return Life(known.incarnation + 1, known.count + 1, now, culprit)


def _culprit(seen: ObservedReplica, health: ReplicaHealth, history: History) -> str:
    """The pod that broke the group, in words; empty where it is whole or on its way up."""
    if health.reason in _BREAKS_A_GROUP:
        return f"{health.reason}: {health.message}"
    members = [pod for pod in seen.pods if pod.incarnation == seen.incarnation and not pod.terminating]
    for pod in members:
        if pod.restarts or pod.phase == "Failed":
            return f"{Reason.POD_RESTARTED}: pod {pod.name} {pod.message or f'restarted {pod.restarts} times'}"
    if history.was_ready or history.lost_a_pod:
        return _lost(seen.group_size, members, certain=history.lost_a_pod)
    return ""


def _lost(size: int, members: Sequence[ObservedPod], *, certain: bool) -> str:
    """The pod that a group which had formed lost, in words; its name may be another pod's already."""
    present = {pod.index for pod in members}
    missing = next((index for index in range(size) if index not in present), None)
    if missing is not None:
        return f"{Reason.POD_LOST}: pod {missing} of the group is gone"
    newest = max(members, key=lambda pod: (pod.phase == "Pending", pod.created_at))
    if certain or newest.phase == "Pending" or _apart(min(pod.created_at for pod in members), newest.created_at):
        return f"{Reason.POD_LOST}: pod {newest.name} was replaced after the group had formed"
    return ""


def _forgiven(known: Life, health: ReplicaHealth, policy: RestartSpec, now: str) -> Life:
    """Restarts are forgotten once the group has been well for long enough."""
    if not known.count or not health.ready:
        return known
    left = seconds(policy.reset_after) - _seconds_between(known.time, now)
    if left > 0:
        return Life(known.incarnation, known.count, known.time, known.culprit, due_in_seconds=left)
    return Life(known.incarnation, 0, known.time, known.culprit)


def _back_off_left(known: Life, now: str) -> float:
    if not known.count or not known.time:
        return 0.0
    delay: int = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS << min(known.count - 1, 16))
    return delay - _seconds_between(known.time, now)


def _apart(first: str, second: str) -> bool:
    moments = [_moment(text) for text in (first, second)]
    return None not in moments and moments[1] - moments[0] > _AT_ONCE  # type: ignore[operator]


def _seconds_between(earlier: str, later: str) -> float:
    before, after = _moment(earlier), _moment(later)
    return (after - before).total_seconds() if before and after else float(LONGEST_DELAY_SECONDS)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
