"""What is seen of a replica, and whether the whole of it runs.

A replica is a group of pods that live and die together. It is ready only when its leader answers and every other pod of
the group runs too: an answering leader with a dead follower is a replica that hangs at the next request. Nothing here
knows why a replica should exist, or what is to be done about one that is broken.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from shardwright.api.reasons import Reason
from shardwright.catalog.failures import Level

_FORMING = timedelta(seconds=5)
"""A leader is ready only after its group has formed; what is nearer than this may be two clocks or whole seconds."""


@dataclass(frozen=True, slots=True)
class Death:
    """How a pod, or the container of it that ended last, ended."""

    reason: Reason
    words: str
    """Exit code, the line that tells why, what to do."""
    level: Level = Level.CAUSE
    finished_at: str = ""
    """RFC 3339; whole seconds."""
    init: bool = False
    """It ended before the engine began."""
    of_pod: bool = False
    """Kubelet refused or evicted the pod: a StatefulSet makes it anew without a pause."""
    memory: bool = False
    """The plan's memory forecast is worth telling."""


@dataclass(frozen=True, slots=True)
class ObservedPod:
    """One pod of a group, reduced to what health depends on."""

    name: str
    index: int
    """0 is the leader."""
    phase: str = "Pending"
    ready: bool = False
    ready_since: str = ""
    """When the Ready condition last changed, RFC 3339."""
    node: str | None = None
    terminating: bool = False
    incarnation: int = 0
    restarts: int = 0
    created_at: str = ""
    """RFC 3339."""
    started_at: str = ""
    """Start of the running container, RFC 3339."""
    trouble: Reason | None = None
    """What keeps it from running, where its own status tells."""
    message: str = ""
    uid: str = ""
    death: Death | None = None
    """The newest one, also where it runs again."""
    deaths: int = 0
    """How often containers of it ended."""

    @property
    def counts(self) -> bool:
        """Whether it says something of its replica: one on its way out does only if it failed before, as a whole."""
        return not self.terminating or (self.death is not None and self.death.of_pod)


@dataclass(frozen=True, slots=True)
class ObservedReplica:
    """One replica as it is wanted and as it is seen."""

    id: int
    nodes: tuple[str, ...]
    """Where its pods are or are to go, in pod order."""
    group_size: int = 1
    incarnation: int = 0
    pods: tuple[ObservedPod, ...] = ()
    trouble: Reason | None = None
    """What the caller knows beyond the pods: NodeLost, RestartBudgetSpent, QuotaExceeded, …"""
    message: str = ""
    forecast: str = ""
    """What the plan foresees of GPU memory, in words; told where memory is the trouble."""
    plan_hash: str = ""
    """What its pods run; what its set asks for where it has none, or unlike ones."""

    @property
    def leader(self) -> ObservedPod | None:
        """The pod with the HTTP API, unless it is on its way out."""
        return next((pod for pod in self.pods if pod.index == 0 and not pod.terminating), None)


ON_THE_WAY = frozenset({Reason.REPLICAS_STARTING, Reason.WAITING_FOR_NODES})
"""What every start may go through: nothing to mend."""


@dataclass(frozen=True, slots=True)
class ReplicaHealth:
    """Whether a replica serves, and if not, the one thing to look at first."""

    ready: bool
    reason: Reason
    message: str = ""

    @property
    def broken(self) -> bool:
        """Whether it is more than on its way up."""
        return not self.ready and self.reason not in ON_THE_WAY


READY = ReplicaHealth(True, Reason.ALL_REPLICAS_READY)


def health(replica: ObservedReplica) -> ReplicaHealth:
    """Judge a group as a whole; of pods in trouble the first to break is named, the caller's own trouble before any."""
    if replica.trouble is not None:
        return ReplicaHealth(False, replica.trouble, replica.message)
    return next(_troubles(replica), READY)


def _troubles(replica: ObservedReplica) -> Iterator[ReplicaHealth]:
    members = {pod.index: pod for pod in replica.pods if not pod.terminating and pod.incarnation == replica.incarnation}
    for member in sorted(members.values(), key=first_to_break):
        if member.trouble is not None:
            yield in_words(member, member.trouble, replica.forecast)
    leader = members.get(0)
    for index in range(replica.group_size):
        pod = members.get(index)
        if pod is None:
            was_up = leader is not None and leader.ready
            reason = Reason.POD_LOST if was_up else Reason.REPLICAS_STARTING
            yield ReplicaHealth(False, reason, f"pod {index} of {replica.group_size} is not there")
        elif leader is not None and leader.ready and pod.index > 0 and _joined_late(pod, leader):
            yield _of(pod, Reason.POD_RESTARTED, "began after its leader was ready, so it is not in the leader's group")
        elif pod.phase != "Running" or not pod.ready:
            yield _of(pod, _why_not_ready(pod))


def _joined_late(pod: ObservedPod, leader: ObservedPod) -> bool:
    """Whether a follower is not the one that the leader's group formed with: engines form a group once, at start."""
    began = pod.started_at if pod.restarts else pod.created_at
    return _later(began, leader.ready_since, by=_FORMING)


def _later(one: str, other: str, *, by: timedelta) -> bool:
    try:
        return datetime.fromisoformat(one) > datetime.fromisoformat(other) + by
    except (ValueError, TypeError):
        return False


def _why_not_ready(pod: ObservedPod) -> Reason:
    """Tell a first start from a restart, and both from a pod that answered before: its Ready turned after its start."""
    if pod.phase == "Running" and pod.started_at and pod.ready_since > pod.started_at:
        return Reason.POD_NOT_READY
    return Reason.POD_RESTARTED if pod.restarts else Reason.REPLICAS_STARTING


def first_to_break(pod: ObservedPod) -> tuple[int, str, int]:
    """Order pods so that the culprit comes first: causes before what follows from them, then by time, then by index."""
    if pod.death is None:
        return (Level.CAUSE if pod.trouble is not None else Level.CONSEQUENCE, "~", pod.index)
    return (pod.death.level, pod.death.finished_at or "~", pod.index)


def in_words(pod: ObservedPod, reason: Reason, forecast: str = "") -> ReplicaHealth:
    """Name a pod, its node, and what is wrong with it."""
    memory = f"; the forecast was: {forecast}" if forecast and pod.death is not None and pod.death.memory else ""
    where = f" on {pod.node}" if pod.node else ""
    return ReplicaHealth(False, reason, f"pod {pod.name}{where} {pod.message}{memory}")


def _of(pod: ObservedPod, reason: Reason, fallback: str = "") -> ReplicaHealth:
    detail = pod.message or fallback or f"is {pod.phase}{'' if pod.ready else ', not ready'}"
    return ReplicaHealth(False, reason, f"pod {pod.name}: {detail}")
