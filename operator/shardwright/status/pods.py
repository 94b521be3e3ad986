"""From a Pod to what health depends on: does it run, what keeps it from running, and how its containers ended. Pure.

Odd or missing parts read as "not there yet", never as an error.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shardwright.api.labels import INCARNATION, POD_INDEX
from shardwright.api.reasons import Reason
from shardwright.status.diagnosis import Diagnosis, Ending, diagnose
from shardwright.status.observed import Death, ObservedPod

_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_NOT_STARTED = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


def observe_pod(pod: Mapping[str, Any]) -> ObservedPod:
    """Reduce a Pod."""
    metadata, status = _map(pod.get("metadata")), _map(pod.get("status"))
    ready = _condition(status, "Ready")
    engine: Mapping[str, Any] = next(iter(_containers(status, "containerStatuses")), {})
    death = _death(pod, status, ready)
    trouble, message = _trouble(status)
    is_ready = ready.get("status") == "True"
    started_at = str(_map(_map(engine.get("state")).get("running")).get("startedAt") or "")
    ready_since = str(ready.get("lastTransitionTime") or "")
    answered_since = bool(started_at) and ready_since > started_at
    if trouble is None and death is not None and not is_ready and not answered_since:
        trouble, message = death.reason, death.words
    return ObservedPod(
        name=str(metadata.get("name", "")),
        index=_number(_map(metadata.get("labels")).get(POD_INDEX)),
        uid=str(metadata.get("uid") or ""),
        phase=str(status.get("phase", "Pending")),
        ready=is_ready,
        ready_since=ready_since,
        node=_map(pod.get("spec")).get("nodeName"),
        terminating=bool(metadata.get("deletionTimestamp")),
        incarnation=_number(_map(metadata.get("annotations")).get(INCARNATION)),
        restarts=_number(engine.get("restartCount")),
        created_at=str(metadata.get("creationTimestamp") or ""),
        started_at=started_at,
        trouble=trouble,
        message=message,
        death=death,
        deaths=_deaths(status),
    )


def _trouble(status: Mapping[str, Any]) -> tuple[Reason | None, str]:
    """What keeps a pod from running that is no container's end."""
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return Reason.POD_UNSCHEDULABLE, str(scheduled.get("message", ""))
    for container in _all_containers(status):
        waiting = _map(_map(container.get("state")).get("waiting"))
        if waiting.get("reason") in _IMAGE_REASONS:
            return Reason.IMAGE_PULL_FAILED, f"{container.get('image', '')}: {_pull_error(waiting)}"
        if waiting.get("reason") in _NOT_STARTED:
            return Reason.CONTAINER_NOT_STARTED, f"container {container.get('name', '')}: {waiting.get('message', '')}"
        if waiting.get("reason") == "CrashLoopBackOff" and not _ended(container):
            return Reason.CRASH_LOOP, "exits again and again"
    return None, ""


def _death(pod: Mapping[str, Any], status: Mapping[str, Any], ready: Mapping[str, Any]) -> Death | None:
    """How the pod, or the container of it that ended last, ended."""
    ends = [
        (_ending(container, pod, ready), init)
        for kind, init in (("initContainerStatuses", True), ("containerStatuses", False))
        for container in _containers(status, kind)
        if _ended(container) and not (init and _ended(container).get("exitCode") == 0)
    ]
    if status.get("phase") == "Failed":
        return _pods_own(status, max(ends, key=lambda pair: pair[0].finished_at)[0] if ends else None)
    if not ends:
        return None
    ending, init = max(ends, key=lambda pair: pair[0].finished_at)
    return _told(ending, diagnose(ending), init=init)


def _pods_own(status: Mapping[str, Any], ending: Ending | None) -> Death:
    """How a pod ended as a whole: kubelet refused or evicted it, or its node went."""
    disrupted = _condition(status, "DisruptionTarget")
    word = str(status.get("reason") or disrupted.get("reason") or "")
    said = str(status.get("message") or disrupted.get("message") or "")
    whole = Ending(
        kubelet=word,
        exit_code=ending.exit_code if ending else None,
        message=said or (ending.message if ending else ""),
        finished_at=ending.finished_at if ending else str(disrupted.get("lastTransitionTime") or ""),
    )
    found = diagnose(whole)
    if found.reason is Reason.ENGINE_FAILED and not whole.exit_code:
        return Death(Reason.POD_LOST, said or word or "failed", found.level, whole.finished_at)
    return _told(whole, found, of_pod=bool(status.get("reason")))


def _ending(container: Mapping[str, Any], pod: Mapping[str, Any], ready: Mapping[str, Any]) -> Ending:
    ended = _ended(container)
    started, finished = str(ended.get("startedAt") or ""), str(ended.get("finishedAt") or "")
    code = ended.get("exitCode")
    name = str(container.get("name") or "")
    return Ending(
        container=name,
        exit_code=code if isinstance(code, int) else None,
        kubelet=str(ended.get("reason") or ""),
        message=str(ended.get("message") or ""),
        started_at=started,
        finished_at=finished,
        seconds=_between(started, finished),
        was_ready=bool(started) and str(ready.get("lastTransitionTime") or "") > started,
        startup_seconds=_startup(pod, name),
    )


def _told(ending: Ending, found: Diagnosis, *, init: bool = False, of_pod: bool = False) -> Death:
    """Put a diagnosis into words: how it ended, the line that tells why, what to do, the last lines."""
    how = f"ended with exit code {ending.exit_code}"
    if of_pod:
        how = f"failed as a whole ({ending.kubelet or 'no reason given'})"
    where = f"container {ending.container} " if init else ""
    told = f"{where}{how}: {found.line}" if found.line else f"{where}{how}"
    tail = (
        f"; last lines: {found.tail}" if found.tail and (not found.line or found.reason is Reason.ENGINE_FAILED) else ""
    )
    return Death(
        reason=found.reason,
        words=f"{told}{tail} ({found.do})",
        level=found.level,
        finished_at=ending.finished_at,
        init=init,
        of_pod=of_pod,
        memory=found.memory,
    )


def _deaths(status: Mapping[str, Any]) -> int:
    """How often containers of this pod ended so far; a pod that failed as a whole ends once, with all of them."""
    if status.get("phase") == "Failed":
        return 1 + sum(_number(container.get("restartCount")) for container in _all_containers(status))
    found = 0
    for container in _all_containers(status):
        now = _map(_map(container.get("state")).get("terminated"))
        waits = _map(_map(container.get("state")).get("waiting")).get("reason") == "CrashLoopBackOff"
        finished = now.get("exitCode") == 0 and container in _containers(status, "initContainerStatuses")
        found += _number(container.get("restartCount")) + int((bool(now) and not finished) or waits)
    return found


def _ended(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """The newest end of a container; empty where it never ended."""
    state, last = _map(container.get("state")), _map(container.get("lastState"))
    return _map(state.get("terminated")) or _map(last.get("terminated"))


def _startup(pod: Mapping[str, Any], name: str) -> int:
    """How long a container may take to start, by its startup probe."""
    for container in _containers(_map(pod.get("spec")), "containers"):
        probe = _map(container.get("startupProbe"))
        if container.get("name") == name and probe:
            return _number(probe.get("periodSeconds") or 10) * _number(probe.get("failureThreshold") or 3)
    return 0


def _pull_error(waiting: Mapping[str, Any]) -> str:
    """Reduce the two messages between which kubelet swings to the one cause that both hold."""
    text = str(waiting.get("message") or waiting.get("reason"))
    return text.rpartition("ErrImagePull: ")[2]


def _all_containers(status: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (*_containers(status, "initContainerStatuses"), *_containers(status, "containerStatuses"))


def _containers(owner: Mapping[str, Any], kind: str) -> Sequence[Mapping[str, Any]]:
    items = owner.get(kind)
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list | tuple) else []


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((item for item in _containers(status, "conditions") if item.get("type") == kind), {})


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _between(earlier: str, later: str) -> float | None:
    try:
        return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
    except (ValueError, TypeError):
        return None


def _number(value: object) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else 0
