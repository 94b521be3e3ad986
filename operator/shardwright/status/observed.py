"""What is seen of a replica, and whether the whole of it runs.

A replica is a group of pods that live and die together. It is ready only when its leader answers and every other pod of
the group runs too: an answering leader with a dead follower is a replica that hangs at the next request. Nothing here
knows why a replica should exist, or what is to be done about one that is broken.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shardwright.api.labels import INCARNATION, POD_INDEX
from shardwright.api.reasons import Reason

_FORMING = timedelta(seconds=5)
"""A leader is ready only after its group has formed; what is nearer than this may be two clocks or whole seconds."""
_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})


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

    @property
    def leader(self) -> ObservedPod | None:
        """The pod with the HTTP API, unless it is on its way out."""
        return next((pod for pod in self.pods if pod.index == 0 and not pod.terminating), None)


@dataclass(frozen=True, slots=True)
class ReplicaHealth:
    """Whether a replica serves, and if not, the one thing to look at first."""

    ready: bool
    reason: Reason
    message: str = ""

    @property
    def broken(self) -> bool:
        """Whether it is more than on its way up."""
        return not self.ready and self.reason is not Reason.REPLICAS_STARTING


READY = ReplicaHealth(True, Reason.ALL_REPLICAS_READY)


def health(replica: ObservedReplica) -> ReplicaHealth:
    """Judge a group as a whole; the first trouble in pod order is named, the caller's own before any."""
    if replica.trouble is not None:
        return ReplicaHealth(False, replica.trouble, replica.message)
    return next(_troubles(replica), READY)


def _troubles(replica: ObservedReplica) -> Iterator[ReplicaHealth]:
    members = {pod.index: pod for pod in replica.pods if not pod.terminating and pod.incarnation == replica.incarnation}
    for index in sorted(members):
        if members[index].trouble is not None:
            yield _of(members[index], members[index].trouble or Reason.POD_NOT_READY)
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


def _of(pod: ObservedPod, reason: Reason, fallback: str = "") -> ReplicaHealth:
    detail = pod.message or fallback or f"is {pod.phase}{'' if pod.ready else ', not ready'}"
    return ReplicaHealth(False, reason, f"pod {pod.name}: {detail}")


def observe_pod(pod: Mapping[str, Any]) -> ObservedPod:
    """Reduce a Pod; odd or missing parts read as "not there yet", never as an error."""
    metadata, status = pod.get("metadata") or {}, pod.get("status") or {}
    ready = _condition(status, "Ready")
    container: Mapping[str, Any] = next(iter(status.get("containerStatuses") or ()), {})
    trouble, message = _trouble(status)
    return ObservedPod(
        name=str(metadata.get("name", "")),
        index=_number((metadata.get("labels") or {}).get(POD_INDEX)),
        phase=str(status.get("phase", "Pending")),
        ready=ready.get("status") == "True",
        ready_since=str(ready.get("lastTransitionTime") or ""),
        node=(pod.get("spec") or {}).get("nodeName"),
        terminating=bool(metadata.get("deletionTimestamp")),
        incarnation=_number((metadata.get("annotations") or {}).get(INCARNATION)),
        restarts=_number(container.get("restartCount")),
        created_at=str(metadata.get("creationTimestamp") or ""),
        started_at=str(((container.get("state") or {}).get("running") or {}).get("startedAt") or ""),
        trouble=trouble,
        message=message,
    )


def _trouble(status: Mapping[str, Any]) -> tuple[Reason | None, str]:
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return Reason.POD_UNSCHEDULABLE, str(scheduled.get("message", ""))
    containers = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    for container in containers:
        state, last = container.get("state") or {}, container.get("lastState") or {}
        waiting = state.get("waiting") or {}
        ended = state.get("terminated") or last.get("terminated") or {}
        if waiting.get("reason") in _IMAGE_REASONS:
            return Reason.IMAGE_PULL_FAILED, f"{container.get('image', '')}: {_pull_error(waiting)}"
        if ended.get("reason") == "OOMKilled" and not container.get("ready"):
            return Reason.OUT_OF_MEMORY, "the kernel killed it for using more memory than its limit or the node has"
        if waiting.get("reason") == "CrashLoopBackOff":
            return Reason.CRASH_LOOP, f"exits again and again, last with code {ended.get('exitCode', 'unknown')}"
    if status.get("phase") == "Failed":
        return Reason.POD_LOST, str(status.get("message") or status.get("reason") or "failed")
    return None, ""


def _pull_error(waiting: Mapping[str, Any]) -> str:
    """Reduce the two messages between which kubelet swings to the one cause that both hold."""
    text = str(waiting.get("message") or waiting.get("reason"))
    return text.rpartition("ErrImagePull: ")[2]


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((item for item in status.get("conditions") or () if item.get("type") == kind), {})


def _number(value: object) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else 0
