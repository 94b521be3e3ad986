"""Pods that wait in vain for a kubelet to end them: their node is gone, or nobody hears from it any more.

Their names are needed for the pods that take their place, so they are removed from the API by force: at once where the
node is gone, after their grace where it is silent. A silent node may still run them. An engine shares nothing that two
could spoil, but a volume for a single node may not be mounted twice: a pod with such a claim stays until its node is
deleted, or tainted out-of-service, when Kubernetes itself removes it. GPUs of a silent node are nobody's: it is not
planned on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from shardwright.reconcile.live import LiveReplica
from shardwright.reconcile.types import Deletion, Gpus, JsonObject
from shardwright.status import ObservedPod

AGAIN_SECONDS = 10.0
"""Between two looks at a pod that outstays its grace: its node may fall silent later, or its volume be let go."""


@dataclass(frozen=True, slots=True)
class Stranded:
    """What is to be removed by force, and when to look again; None = nothing outstays or will outstay its grace."""

    deletions: tuple[Deletion, ...] = ()
    again_in_seconds: float | None = None


def stranded(live: Mapping[int, LiveReplica], gpus: Gpus, now: str) -> Stranded:
    """Judge every pod that is on its way out; `now` is RFC 3339."""
    leaving = [(raw, pod) for one in live.values() for raw, pod in one.pods if pod.terminating and pod.node]
    leaving = [(raw, pod) for raw, pod in leaving if not raw.get("gone")]
    waits = [_left(raw, now) if _left(raw, now) > 0 else AGAIN_SECONDS for raw, _ in leaving]
    return Stranded(tuple(_by_force(leaving, gpus, now)), min(waits, default=None))


def _by_force(leaving: list[tuple[JsonObject, ObservedPod]], gpus: Gpus, now: str) -> Iterator[Deletion]:
    for raw, pod in leaving:
        node = str(pod.node)
        if not gpus.node_exists(node):
            yield Deletion("Pod", raw, f"its node {node} is gone", grace_seconds=0)
        elif gpus.node_unreachable(node) and _left(raw, now) <= 0:
            why = f"its node {node} cannot be reached, and its grace is over"
            yield Deletion("Pod", raw, why, grace_seconds=0, unless_tied=claims(raw))


def claims(pod: JsonObject) -> tuple[str, ...]:
    """Names of the PersistentVolumeClaims that a pod mounts."""
    return tuple(map(str, (pod.get("spec") or {}).get("claims") or ()))


def _left(pod: JsonObject, now: str) -> float:
    """Seconds of its grace that are left: the API server writes the moment at which it ends."""
    try:
        end = datetime.fromisoformat(str(pod["metadata"].get("deletionTimestamp")))
        return (end - datetime.fromisoformat(now)).total_seconds()
    except (ValueError, TypeError):
        return AGAIN_SECONDS
