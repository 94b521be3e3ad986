"""What runs of a deployment, read from its live objects: replicas, where they are, how their groups fare.

Decides nothing.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shardwright.api import labels
from shardwright.reconcile.revision import owned_by
from shardwright.reconcile.types import JsonObject, Observed
from shardwright.status import ObservedPod, observe_pod

SET = "StatefulSet"


@dataclass(frozen=True)
class LiveReplica:
    """One replica as its set, its pods and the last status show it."""

    id: int
    set: JsonObject | None
    pods: tuple[tuple[JsonObject, ObservedPod], ...]
    """Raw and reduced, by index; terminating ones too."""
    told_nodes: tuple[str, ...]
    """As status says."""
    told_incarnation: int

    @property
    def exists(self) -> bool:
        """Whether it has a set that is not being deleted."""
        return self.set is not None and not self.set["metadata"].get("deletionTimestamp")

    @cached_property
    def incarnation(self) -> int:
        """How often the group was made anew; the larger of what the set and the status say."""
        template = (self.set or {}).get("spec", {}).get("template", {}).get("metadata", {})
        return max(number((template.get("annotations") or {}).get(labels.INCARNATION)), self.told_incarnation)

    @cached_property
    def plan_hash(self) -> str:
        """Of the set, empty where there is none."""
        return str(self.annotation(labels.PLAN_HASH))

    @cached_property
    def running_plan_hash(self) -> str:
        """Of the pods: the older one while a rollout replaces them, the set's where there are none."""
        notes = [raw["metadata"].get("annotations") or {} for raw, pod in self.pods if not pod.terminating]
        hashes = sorted(str(note[labels.PLAN_HASH]) for note in notes if labels.PLAN_HASH in note)
        return next((found for found in hashes if found != self.plan_hash), self.plan_hash)

    def annotation(self, key: str) -> str:
        """One annotation of the set."""
        return str(((self.set or {}).get("metadata", {}).get("annotations") or {}).get(key, ""))

    @property
    def is_surge(self) -> bool:
        """Whether it is beyond the wanted number, made for a rollout."""
        return self.annotation(labels.SURGE) == "true"

    @property
    def bound_nodes(self) -> tuple[str, ...]:
        """Nodes of the pods that are not on their way out, in pod order; unbound ones are left out."""
        return tuple(pod.node for _, pod in self.pods if pod.node and not pod.terminating)


def live_replicas(seen: Observed) -> dict[int, LiveReplica]:
    """Every replica that has a set, pods or a line in the status, by id."""
    uid = seen.deployment["metadata"]["uid"]
    sets = {
        number(child["metadata"]["labels"].get(labels.REPLICA)): child
        for (kind, _), child in seen.children.items()
        if kind == SET and owned_by(child, uid) and labels.REPLICA in (child["metadata"].get("labels") or {})
    }
    found = _pods(seen.pods, uid)
    pods = {id_: those for id_, those in found.items() if id_ in sets or not all(raw.get("gone") for raw, _ in those)}
    told = {number(row.get("id")): row for row in _rows(seen.deployment)}
    return {
        id_: LiveReplica(
            id=id_,
            set=sets.get(id_),
            pods=tuple(sorted(pods.get(id_, []), key=lambda pair: (pair[1].index, pair[1].name))),
            told_nodes=tuple(map(str, told.get(id_, {}).get("nodes") or ())),
            told_incarnation=number(told.get(id_, {}).get("incarnation")),
        )
        for id_ in sorted({*sets, *pods, *told})
    }


def number(value: object) -> int:
    """A decimal number in a label or annotation; 0 where it is none."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else 0


def _pods(pods: tuple[JsonObject, ...], uid: str) -> Mapping[int, list[tuple[JsonObject, ObservedPod]]]:
    found: defaultdict[int, list[tuple[JsonObject, ObservedPod]]] = defaultdict(list)
    for pod in pods:
        marks = pod["metadata"].get("labels") or {}
        if labels.REPLICA in marks and marks.get(labels.DEPLOYMENT_UID, uid) == uid:
            found[number(marks[labels.REPLICA])].append((pod, observe_pod(pod)))
    return found


def _rows(deployment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows = (deployment.get("status") or {}).get("replicaStates")
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
