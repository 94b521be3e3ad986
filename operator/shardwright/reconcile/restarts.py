"""When a broken replica is made anew, how long it waits and when it is given up. Nothing here reads a clock.

A group's pods live and die together: its restart is an incarnation. The number goes up in the status and in the set's
pod template, then every pod of a lower one is deleted. A replica of one pod is restarted by kubelet, in its place; here
its restarts are only counted. Pods that kubelet refuses or evicts would be made anew without a pause: their set is
parked, which is to have no pods, until the back-off is over. Times are RFC 3339 texts.
"""

from dataclasses import dataclass, replace

from shardwright.api import labels
from shardwright.api.reasons import Reason
from shardwright.api.spec import RestartSpec
from shardwright.manifests.durations import seconds
from shardwright.reconcile.culprits import Culprit, History, culprit_of, told
from shardwright.reconcile.live import LiveReplica, number
from shardwright.reconcile.moments import seconds_between
from shardwright.status import ObservedReplica, ReplicaHealth

FIRST_DELAY_SECONDS = 10
LONGEST_DELAY_SECONDS = 300
MAX_CULPRIT = 2048
TRUE = "true"
UNTOLD = f"{Reason.POD_RESTARTED}: a pod of the group ended, and the last words of the others are awaited"


@dataclass(frozen=True, slots=True)
class Life:
    """Which incarnation a replica shall have, and what its set shall say about restarts."""

    incarnation: int
    count: int = 0
    """Restarts since it was last well: of a group ours, of a single pod the ends of its containers."""
    time: str = ""
    culprit: str = ""
    """The first pod that broke, and how, at the newest restart."""
    gave_up: bool = False
    parked: bool = False
    seen: str = ""
    """Single pods: what is counted already, `<uid>/<number>`."""
    again: str = ""
    """The user's newest wish to try again that was followed."""
    due_in_seconds: float | None = None
    """A restart is decided but waits for its back-off, or for the rest of the group's last words."""
    pending: str = ""
    """What broke and waits for its restart; not kept."""

    def annotations(self) -> dict[str, str]:
        """What outlives us on the set; nothing where the replica never broke."""
        notes = {
            labels.RESTART_COUNT: str(self.count) if self.time else "",
            labels.RESTART_TIME: self.time,
            labels.RESTART_CULPRIT: self.culprit[:MAX_CULPRIT],
            labels.RESTART_SEEN: self.seen,
            labels.GAVE_UP: TRUE if self.gave_up else "",
            labels.PARKED: TRUE if self.parked else "",
            labels.TRY_AGAIN: self.again,
        }
        return {key: value for key, value in notes.items() if value}


@dataclass(frozen=True, slots=True)
class Rules:
    """What a judgement depends on besides the replica."""

    policy: RestartSpec
    now: str
    """RFC 3339 in UTC."""
    again: str = ""
    """The user's annotation that asks for a new start; empty = never asked."""


def life(live: LiveReplica, seen: ObservedReplica, health: ReplicaHealth, history: History, rules: Rules) -> Life:
    """Judge one replica: the incarnation that it shall have, and what is to be remembered of its restarts."""
    known = _known(live)
    if history.moved:
        return replace(known, incarnation=known.incarnation + 1, gave_up=False, parked=False)
    if not live.exists:
        return known
    if rules.again and rules.again != known.again and known.time and (known.parked or not health.ready):
        return Life(known.incarnation + 1, again=rules.again)
    if known.gave_up and (known.parked or not health.ready) and _spent(known, seen, rules):
        return known  # a parked one that is ready is a pod on its way out
    known = replace(known, gave_up=False)
    if known.parked:
        return _parked(known, seen, rules)
    return _single(known, seen, health, rules) if seen.group_size == 1 else _group(known, seen, health, history, rules)


def _known(live: LiveReplica) -> Life:
    return Life(
        incarnation=live.incarnation,
        count=number(live.annotation(labels.RESTART_COUNT)),
        time=live.annotation(labels.RESTART_TIME),
        culprit=live.annotation(labels.RESTART_CULPRIT),
        gave_up=live.annotation(labels.GAVE_UP) == TRUE,
        parked=live.annotation(labels.PARKED) == TRUE,
        seen=live.annotation(labels.RESTART_SEEN),
        again=live.annotation(labels.TRY_AGAIN),
    )


def _spent(known: Life, seen: ObservedReplica, rules: Rules) -> bool:
    """Whether the budget as it stands now leaves nothing; a raised one gives a replica that gave up a new chance."""
    return known.count + (seen.group_size > 1) > rules.policy.budget


def _group(known: Life, seen: ObservedReplica, health: ReplicaHealth, history: History, rules: Rules) -> Life:
    """Several pods: whatever breaks one of them, all are made anew."""
    culprit = culprit_of(seen, health, history, rules.now, rules.policy.budget)
    if culprit is None:
        return _forgiven(known, health, rules)
    if culprit.wait_seconds:
        return replace(known, due_in_seconds=culprit.wait_seconds, pending=UNTOLD)
    if culprit.final or _spent(known, seen, rules):
        return _given_up(known, culprit, rules)
    left = _back_off_left(known, rules.now)
    if left > 0:
        return replace(known, due_in_seconds=left, pending=culprit.text, parked=culprit.of_pod)
    return replace(
        known, incarnation=known.incarnation + 1, count=known.count + 1, time=rules.now, culprit=culprit.text
    )


def _given_up(known: Life, culprit: Culprit, rules: Rules) -> Life:
    count = max(known.count, rules.policy.budget)
    time = known.time or rules.now
    return replace(known, count=count, time=time, culprit=culprit.text, gave_up=True, parked=culprit.of_pod)


def _single(known: Life, seen: ObservedReplica, health: ReplicaHealth, rules: Rules) -> Life:
    """Count what kubelet does; a pod that was there before it was first looked at counts from where it is well."""
    ended = [pod for pod in seen.pods if pod.deaths and pod.counts and pod.incarnation == seen.incarnation]
    pod = max(ended, key=lambda one: one.created_at, default=None)
    if pod is None:
        return _forgiven(known, health, rules)
    uid, _, counted = known.seen.rpartition("/")
    fresh = max(0, pod.deaths - number(counted)) if uid == pod.uid else pod.deaths
    if health.ready and not known.seen:
        fresh = 0
    if fresh:
        known = replace(known, count=known.count + fresh, time=rules.now)
        known = replace(known, culprit=told(pod, seen.forecast) if pod.death else health.message)
    known = replace(known, seen=f"{pod.uid}/{max(pod.deaths, number(counted) if uid == pod.uid else 0)}")
    if health.ready:
        return _forgiven(known, health, rules)
    of_pod = pod.death is not None and pod.death.of_pod
    if _spent(known, seen, rules):
        return replace(known, gave_up=True, parked=of_pod)
    left = _back_off_left(known, rules.now)
    return replace(known, parked=True, due_in_seconds=left, pending=known.culprit) if of_pod and left > 0 else known


def _parked(known: Life, seen: ObservedReplica, rules: Rules) -> Life:
    """No pods until the back-off is over."""
    left = _back_off_left(known, rules.now)
    if left > 0:
        return replace(known, due_in_seconds=left, pending=known.culprit)
    freed = replace(known, parked=False, incarnation=known.incarnation + 1)
    return freed if seen.group_size == 1 else replace(freed, count=known.count + 1, time=rules.now)


def _forgiven(known: Life, health: ReplicaHealth, rules: Rules) -> Life:
    """Restarts are forgotten once the replica has been well for long enough."""
    if not known.count or not health.ready:
        return known
    left = seconds(rules.policy.reset_after) - seconds_between(known.time, rules.now, LONGEST_DELAY_SECONDS)
    return replace(known, due_in_seconds=left) if left > 0 else replace(known, count=0)


def _back_off_left(known: Life, now: str) -> float:
    if not known.count or not known.time:
        return 0.0
    delay: int = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS << min(known.count - 1, 16))
    return delay - seconds_between(known.time, now, LONGEST_DELAY_SECONDS)
