"""What a ResourceQuota allows a namespace in GPUs and pods, and whose pods it counts. Knows no node and no plan.

Everything else that a quota may bound (CPU, memory, objects of other kinds) is none of planning's business.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from shardwright.api import labels
from shardwright.inventory.pods import requested_devices
from shardwright.inventory.raw import at, mapping, number, quantity, sequence, text, texts, whole
from shardwright.inventory.resources import is_gpu_resource

PODS = "pods"
"""Counted like a resource: how many pods there may be."""
_POD_KEYS = frozenset({"pods", "count/pods"})
_PREFIX = "requests."
_COMPUTE = ("cpu", "memory")


@dataclass(frozen=True, slots=True)
class PodClass:
    """What a quota's scopes look at."""

    priority_class: str = ""
    """Empty = none."""
    has_deadline: bool = False
    """`activeDeadlineSeconds`: what the scope Terminating means."""
    best_effort: bool = False
    """No CPU or memory asked for; GPUs do not count here."""


@dataclass(frozen=True, slots=True)
class PodAsk:
    """What one unfinished pod takes of quotas, bound to a node or not."""

    pod_class: PodClass
    amounts: tuple[tuple[str, int], ...]
    """GPUs by resource, and one of `pods`; sorted."""
    replica: int = -1
    """Replica id, if the pod is one of ours."""
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """One requirement of `spec.scopes` or `spec.scopeSelector`."""

    name: str
    operator: str = "Exists"
    values: tuple[str, ...] = ()

    def holds(self, pod: PodClass) -> bool:
        """Whether the pod is in the scope. CrossNamespacePodAffinity and scopes of the future hold for no pod."""
        match self.name:
            case "PriorityClass":
                return self._holds_priority(pod.priority_class)
            case "Terminating" | "NotTerminating":
                return pod.has_deadline is (self.name == "Terminating")
            case "BestEffort" | "NotBestEffort":
                return pod.best_effort is (self.name == "BestEffort")
        return False

    def _holds_priority(self, name: str) -> bool:
        if self.operator in ("In", "NotIn"):
            return (name in self.values) is (self.operator == "In")
        return bool(name) is (self.operator == "Exists")


@dataclass(frozen=True, slots=True)
class Quota:
    """One ResourceQuota, reduced to GPUs and pods."""

    name: str
    hard: tuple[tuple[str, int], ...]
    """By resource (`nvidia.com/gpu`, `pods`), sorted; a resource that is not named is not bounded."""
    used: tuple[tuple[str, int], ...] = ()
    """As the quota controller told last: it lags behind pods that are gone."""
    scopes: tuple[Scope, ...] = ()

    def counts(self, pod: PodClass) -> bool:
        """Whether pods of that class count in this quota: all its scopes must hold."""
        return all(scope.holds(pod) for scope in self.scopes)


def read_quota(document: Mapping[str, Any]) -> Quota:
    """Reduce a ResourceQuota. The stricter of spec and status bounds, as the API server enforces the status."""
    wish, told = _amounts(at(document, "spec", "hard")), _amounts(at(document, "status", "hard"))
    hard = {resource: min(count, told.get(resource, count)) for resource, count in wish.items()}
    return Quota(
        name=text(at(document, "metadata", "name")),
        hard=tuple(sorted(hard.items())),
        used=tuple(sorted(_amounts(at(document, "status", "used")).items())),
        scopes=tuple(_scopes(mapping(at(document, "spec")))),
    )


def read_ask(pod: Mapping[str, Any]) -> PodAsk | None:
    """What a pod takes of quotas; None for one that has finished. Never raises."""
    if text(at(pod, "status", "phase")) in ("Succeeded", "Failed"):
        return None
    spec = mapping(at(pod, "spec"))
    replica = number(texts(at(pod, "metadata", "labels")).get(labels.REPLICA))
    pod_class = _pod_class(
        text(spec.get("priorityClassName")), spec.get("activeDeadlineSeconds") is not None, not _asks_compute(spec)
    )
    amounts = tuple(sorted([*requested_devices(pod), (PODS, 1)]))
    gone = bool(at(pod, "metadata", "deletionTimestamp"))
    return _ask(pod_class, amounts, -1 if replica is None else replica, gone)


@lru_cache(maxsize=4096)
def _pod_class(priority_class: str, has_deadline: bool, best_effort: bool) -> PodClass:
    return PodClass(priority_class, has_deadline, best_effort)


@lru_cache(maxsize=4096)
def _ask(pod_class: PodClass, amounts: tuple[tuple[str, int], ...], replica: int, gone: bool) -> PodAsk:
    """One object for all alike pods: a large cluster has tens of thousands."""
    return PodAsk(pod_class, amounts, replica, gone)


def _amounts(value: object) -> dict[str, int]:
    found: dict[str, int] = {}
    for key, amount in mapping(value).items():
        resource = _resource(key) if isinstance(key, str) else ""
        if resource and quantity(amount) is not None:
            found[resource] = min(whole(amount), found.get(resource, whole(amount)))
    return found


def _resource(key: str) -> str:
    """The resource that a key of `hard` bounds, where it is ours to heed."""
    if key in _POD_KEYS:
        return PODS
    resource = key.removeprefix(_PREFIX)
    return resource if key.startswith(_PREFIX) and is_gpu_resource(resource) else ""


def _scopes(spec: Mapping[str, Any]) -> Iterable[Scope]:
    for name in sequence(spec.get("scopes")):
        yield Scope(text(name))
    for row in sequence(at(spec, "scopeSelector", "matchExpressions")):
        values = tuple(sorted(text(value) for value in sequence(at(row, "values"))))
        yield Scope(text(at(row, "scopeName")), text(at(row, "operator")) or "Exists", values)


def _asks_compute(spec: Mapping[str, Any]) -> bool:
    for container in [*sequence(spec.get("containers")), *sequence(spec.get("initContainers"))]:
        for kind in ("requests", "limits"):
            if any(name in mapping(at(container, "resources", kind)) for name in _COMPUTE):
                return True
    return False
