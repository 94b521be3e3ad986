"""Which half-placed groups let go of what they hold, so that an older one can be placed. Pure.

Two groups that each hold a node which the other needs would wait for each other for ever. The younger yields, the older
never does; what yielded comes back after a while, and later each time. A group that is whole yields to nobody.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from shardwright.api.reasons import Reason
from shardwright.reconcile.live import LiveReplica
from shardwright.reconcile.moments import moment, seconds_between
from shardwright.reconcile.types import Gpus, JsonObject, Yielded

PATIENCE_SECONDS = 15
"""A group that stays half placed for so long does not become whole by itself."""
FIRST_REST_SECONDS = 30
LONGEST_REST_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Yielding:
    """Who yields, and when to look again."""

    remembered: Mapping[int, Yielded] = field(default_factory=dict)
    """Every replica that yielded since it was last whole."""
    resting: Mapping[int, str] = field(default_factory=dict)
    """Replicas that get no nodes at present, and why."""
    again_in_seconds: float | None = None


def look(live: Mapping[int, LiveReplica], remembered: Mapping[int, Yielded], gpus: Gpus, now: str) -> Yielding:
    """Judge every replica; `now` is RFC 3339 in UTC."""
    kept: dict[int, Yielded] = {}
    due: list[float] = []
    for id_, replica in live.items():
        before = remembered.get(id_)
        stuck = stuck_seconds(replica, now)
        if before and (left := _rest_left(before, now)) > 0:
            kept[id_] = before
            due.append(left)
        elif stuck is None:
            if before and not _is_whole(replica):
                kept[id_] = before
        else:
            due.append(max(1.0, PATIENCE_SECONDS - stuck))
            patient = stuck >= PATIENCE_SECONDS
            rival = gpus.rival(id_, Counter(replica.bound_nodes), patient=patient)
            if rival:
                kept[id_] = _yields(before, rival, now)
                due.append(_rest_left(kept[id_], now))
            elif before:
                kept[id_] = before
    resting = {id_: _words(one) for id_, one in kept.items() if _rest_left(one, now) > 0}
    return Yielding(kept, resting, min(due, default=None))


def stuck_seconds(replica: LiveReplica, now: str) -> float | None:
    """How long some pods of a group hold nodes while another finds none; None where that is not so."""
    pods = [(raw, pod) for raw, pod in replica.pods if not pod.terminating]
    unplaced = [raw for raw, pod in pods if not pod.node and pod.trouble is Reason.POD_UNSCHEDULABLE]
    if not unplaced or not any(pod.node for _, pod in pods):
        return None
    return min(max(0.0, seconds_between(_refused_since(raw), now, 0.0)) for raw in unplaced)


def _refused_since(pod: JsonObject) -> str:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    times = [one.get("lastTransitionTime") for one in conditions if one.get("type") == "PodScheduled"]
    return str(next(iter(times), None) or pod["metadata"].get("creationTimestamp") or "")


def _is_whole(replica: LiveReplica) -> bool:
    pods = [pod for _, pod in replica.pods if not pod.terminating]
    return bool(pods) and all(pod.ready for pod in pods)


def _yields(before: Yielded | None, to: str, now: str) -> Yielded:
    times = before.times + 1 if before else 1
    rest = min(LONGEST_REST_SECONDS, FIRST_REST_SECONDS << min(times - 1, 16))
    moment_now = moment(now)
    until = (moment_now + timedelta(seconds=rest)).strftime("%Y-%m-%dT%H:%M:%SZ") if moment_now else now
    return Yielded(times, until, to)


def _rest_left(one: Yielded, now: str) -> float:
    return seconds_between(now, one.until, 0.0)


def _words(one: Yielded) -> str:
    return (
        f"half of its group held what {one.to} waits for, which is older: it let go, and is tried again at {one.until}"
    )
