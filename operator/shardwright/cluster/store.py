"""What was last seen in the cluster, small: nodes and pods as planning's facts, our own objects as compact JSON.

No I/O.

Watch events, answers to our own writes and full lists all go through `put` and `remove`; an older version never
replaces a newer one, so that what we wrote is seen at once and a late event changes nothing. Every change says whom
it concerns.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shardwright.api import labels
from shardwright.cluster import kinds
from shardwright.cluster.devices import DeviceBook
from shardwright.cluster.kinds import Kind
from shardwright.inventory import (
    NodeFacts,
    PodAsk,
    PodClass,
    PodUsage,
    Quota,
    SkippedNode,
    read_ask,
    read_node,
    read_quota,
    read_usage,
)
from shardwright.inventory.slices import read_claim, read_slice

Key = tuple[str, str]
"""Namespace and name of an InferenceDeployment."""
JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """What one observation means: whose reconcile it asks for, and whether planning's view of the nodes moved."""

    key: Key | None = None
    node: str | None = None
    freed: bool = False
    """GPUs of the node may have become free."""
    released: tuple[str, str] | None = None
    """Namespace and name that an object of others does not take any more."""
    quota_of: str | None = None
    """Namespace whose ResourceQuota changed."""
    relisted: bool = False
    """The object was known already and came from a list: a watch was broken, and deletions may have been missed."""


@dataclass(slots=True)
class _Stored:
    uid: str
    version: int
    value: Any
    """JSON bytes, NodeFacts, Quota, or None for an object that is not ours and only takes a name."""
    key: Key | None
    usage: PodUsage | None = None
    ask: PodAsk | None = None


NOTHING = Change()
_READ_AS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    kinds.RESOURCE_QUOTA.name: read_quota, kinds.RESOURCE_SLICE.name: read_slice, kinds.RESOURCE_CLAIM.name: read_claim
}  # fmt: skip
"""Others' objects of which only a small value is kept."""


class Store:
    """A mirror of the cluster. All methods belong to one event loop and none waits."""

    def __init__(self) -> None:
        """Empty until lists and watches fill it."""
        self._objects: dict[str, dict[tuple[str, str], _Stored]] = {name: {} for name in kinds.BY_NAME}
        self._children: defaultdict[Key, dict[tuple[str, str], _Stored]] = defaultdict(dict)
        self._pods: defaultdict[Key, dict[str, _Stored]] = defaultdict(dict)
        self._refused: defaultdict[Key, dict[str, bytes]] = defaultdict(dict)
        self._held: Counter[tuple[str, str]] = Counter()
        self._asked: defaultdict[str, Counter[tuple[PodClass, str]]] = defaultdict(Counter)
        self._listing: dict[str, dict[str, int]] = {}
        self.serves_compute_domains = False
        """Whether pods can be let into the NVLink domain of their nodes."""
        self.watches_devices = False
        """Whether slices and claims are watched: nodes are then kept, to be read again when a slice changes."""
        self._devices = DeviceBook()
        self._claimed: dict[str, Mapping[str, int]] = {}
        self._plain_nodes: dict[str, bytes] = {}

    # Reading

    def keys(self) -> list[Key]:
        """Every InferenceDeployment that is known, sorted."""
        return sorted(self._objects[kinds.DEPLOYMENT.name])

    def keys_of(self, namespace: str) -> list[Key]:
        """Every InferenceDeployment of one namespace."""
        return [key for key in self._objects[kinds.DEPLOYMENT.name] if key[0] == namespace]

    def deployment(self, key: Key) -> JsonObject | None:
        """The InferenceDeployment, without managed fields."""
        stored = self._objects[kinds.DEPLOYMENT.name].get(key)
        return orjson.loads(stored.value) if stored else None

    def deployments(self) -> Iterator[JsonObject]:
        """Every InferenceDeployment."""
        for stored in list(self._objects[kinds.DEPLOYMENT.name].values()):
            yield orjson.loads(stored.value)

    def children(self, key: Key) -> dict[tuple[str, str], JsonObject]:
        """What a deployment owns or is labelled with its name, by (kind, name), without managed fields."""
        return {name: orjson.loads(stored.value) for name, stored in sorted(self._children.get(key, {}).items())}

    def fingerprints(self, key: Key) -> dict[tuple[str, str], int]:
        """A number for each child that changes when the child does."""
        return {name: hash(stored.value) for name, stored in self._children.get(key, {}).items()}

    def pods(self, key: Key) -> tuple[JsonObject, ...]:
        """The deployment's pods, sorted by name, each with what status needs."""
        found = [orjson.loads(stored.value) for stored in self._pods.get(key, {}).values()]
        return tuple(sorted(found, key=lambda pod: pod["metadata"]["name"]))

    def refused(self, key: Key) -> tuple[JsonObject, ...]:
        """Of each pod's name the last one that kubelet refused or evicted and that is gone: sets take it away at once.

        Marked `gone`.
        """
        there = {stored.uid for stored in self._pods.get(key, {}).values()}
        gone = [orjson.loads(text) for _, text in sorted(self._refused.get(key, {}).items())]
        return tuple(pod for pod in gone if pod["metadata"]["uid"] not in there)

    def takes_name(self, kind: str, namespace: str, name: str) -> bool:
        """Whether an object that is not ours has that name."""
        stored = self._objects.get(kind, {}).get((namespace, name))
        return stored is not None and stored.key is None

    def node(self, name: str) -> NodeFacts | SkippedNode | None:
        """One node."""
        stored = self._objects[kinds.NODE.name].get(("", name))
        return stored.value if stored else None

    def nodes(self) -> dict[str, NodeFacts | SkippedNode]:
        """Every node, by name."""
        return {name: stored.value for (_, name), stored in self._objects[kinds.NODE.name].items()}

    def uid(self, key: Key) -> str | None:
        """The UID of the InferenceDeployment of that name."""
        stored = self._objects[kinds.DEPLOYMENT.name].get(key)
        return stored.uid if stored else None

    def key_of(self, uid: str) -> Key | None:
        """Where the InferenceDeployment with that UID is."""
        found = self._objects[kinds.DEPLOYMENT.name].items()
        return next((key for key, stored in found if stored.uid == uid), None)

    def held(self) -> Mapping[tuple[str, str], int]:
        """GPUs that pods hold, by node and resource."""
        return self._held

    def usage_on(self, node: str) -> list[PodUsage]:
        """What pods hold on a node. Walks all pods: for rare questions."""
        pods = self._objects[kinds.POD.name].values()
        return [stored.usage for stored in pods if stored.usage and stored.usage.node == node]

    def usage(self, key: Key) -> list[PodUsage]:
        """What the deployment's own pods hold."""
        return [stored.usage for stored in self._pods.get(key, {}).values() if stored.usage]

    def quotas(self, namespace: str) -> tuple[Quota, ...]:
        """The namespace's ResourceQuotas, by name."""
        found = self._objects[kinds.RESOURCE_QUOTA.name].items()
        return tuple(stored.value for (where, _), stored in sorted(found) if where == namespace)

    def asked(self, namespace: str) -> Mapping[tuple[PodClass, str], int]:
        """What unfinished pods of the namespace take of quotas, bound or not, by class of pods and resource."""
        return self._asked.get(namespace, Counter())

    def asks(self, key: Key) -> list[PodAsk]:
        """What the deployment's own pods take of quotas."""
        return [stored.ask for stored in self._pods.get(key, {}).values() if stored.ask]

    # Writing

    def put(self, kind: Kind, document: Mapping[str, Any], *, listed: bool = False) -> Change:
        """An object as it is seen; an older version than the known one changes nothing."""
        metadata = document["metadata"]
        address = (metadata.get("namespace") or "", metadata["name"])
        version, uid = int(metadata.get("resourceVersion") or 0), metadata.get("uid") or ""
        known = self._objects[kind.name].get(address)
        if known is not None and known.uid == uid and known.version >= version:
            return Change(relisted=listed)
        if version <= self._listing.get(kind.name, {}).get(uid, -1):
            return NOTHING
        stored = self._reduce(kind, document, uid, version)
        self._note_refusal(kind, document)
        same = known is not None and known.uid == uid and known.value == stored.value and known.key == stored.key
        same = same and known is not None and known.usage == stored.usage
        if known is not None:
            self._unlink(kind, address, known)
        self._objects[kind.name][address] = stored
        self._link(kind, address, stored)
        if same:
            return Change(relisted=listed)
        if kind in kinds.DEVICES:
            return self._devices_changed(kind, address, known, stored)
        return self._change(kind, address, known, stored, listed=listed and known is not None)

    def remove(self, kind: Kind, document: Mapping[str, Any]) -> Change:
        """An object that was seen to be deleted."""
        metadata = document["metadata"]
        address, uid = (metadata.get("namespace") or "", metadata["name"]), metadata.get("uid") or ""
        if kind.name in self._listing:
            self._listing[kind.name][uid] = int(metadata.get("resourceVersion") or 0)
        self._note_refusal(kind, document)
        known = self._objects[kind.name].get(address)
        if known is None or (uid and known.uid != uid):
            return NOTHING
        return self._drop(kind, address, known)

    def begin_list(self, kind: Kind) -> None:
        """From here until `end_list`, deletions are remembered, so that a slow list cannot bring the dead back."""
        self._listing[kind.name] = {}

    def end_list(self, kind: Kind, seen: Iterable[str], version: int) -> list[Change]:
        """Evict what a full list at `version` did not show; objects newer than the list stay."""
        alive = set(seen)
        self._listing.pop(kind.name, None)
        gone = [
            (address, stored)
            for address, stored in self._objects[kind.name].items()
            if stored.uid not in alive and stored.version <= version
        ]
        return [self._drop(kind, address, stored) for address, stored in gone]

    def abandon_list(self, kind: Kind) -> None:
        """The list failed; nothing is evicted."""
        self._listing.pop(kind.name, None)

    # Inside

    def _note_refusal(self, kind: Kind, document: Mapping[str, Any]) -> None:
        """Keep what kubelet says of a pod that it will not run, as a pod that is on its way out."""
        status = document.get("status") or {}
        if kind is not kinds.POD or status.get("phase") != "Failed" or not status.get("reason"):
            return
        key = _key_of_label(document["metadata"])
        if key is not None:
            small = _small_pod(document)
            small["metadata"] = {"deletionTimestamp": _LONG_AGO, **small["metadata"]}
            self._refused[key][document["metadata"]["name"]] = orjson.dumps({**small, "gone": True})

    def _reduce(self, kind: Kind, document: Mapping[str, Any], uid: str, version: int) -> _Stored:
        if kind is kinds.NODE:
            name = document["metadata"]["name"]
            if self.watches_devices:
                self._plain_nodes[name] = orjson.dumps(_small_node(document))
            return _Stored(uid, version, self._read_node(name, document), None)
        if kind is kinds.POD:
            key = _key_of_label(document["metadata"])
            value = orjson.dumps(_small_pod(document)) if key else None
            return _Stored(uid, version, value, key, read_usage(document), read_ask(document))
        if read := _READ_AS.get(kind.name):
            return _Stored(uid, version, read(document), None)
        if kind is kinds.DEPLOYMENT:
            metadata = document["metadata"]
            return _Stored(uid, version, orjson.dumps(_bare(document)), (metadata["namespace"], metadata["name"]))
        key = owner_key(document)
        return _Stored(uid, version, orjson.dumps(_small_child(kind, document)) if key else None, key)

    def _read_node(self, name: str, document: Mapping[str, Any]) -> NodeFacts | SkippedNode:
        return read_node(document, self._devices.offered(name), compute_domains=self.serves_compute_domains)

    def _link(self, kind: Kind, address: tuple[str, str], stored: _Stored) -> None:
        if stored.usage is not None:
            self._count(stored.usage, 1)
        if stored.ask is not None:
            self._count_ask(address[0], stored.ask, 1)
        if stored.key is None or kind is kinds.DEPLOYMENT:
            return
        if kind is kinds.POD:
            self._pods[stored.key][address[1]] = stored
        else:
            self._children[stored.key][(kind.name, address[1])] = stored

    def _unlink(self, kind: Kind, address: tuple[str, str], stored: _Stored) -> None:
        if stored.usage is not None:
            self._count(stored.usage, -1)
        if stored.ask is not None:
            self._count_ask(address[0], stored.ask, -1)
        if stored.key is None or kind is kinds.DEPLOYMENT:
            return
        group: dict[Any, _Stored] = self._pods[stored.key] if kind is kinds.POD else self._children[stored.key]
        group.pop(address[1] if kind is kinds.POD else (kind.name, address[1]), None)
        if not group:
            (self._pods if kind is kinds.POD else self._children).pop(stored.key, None)

    def _drop(self, kind: Kind, address: tuple[str, str], known: _Stored) -> Change:
        del self._objects[kind.name][address]
        self._unlink(kind, address, known)
        if kind is kinds.DEPLOYMENT:
            self._refused.pop(address, None)
        if kind is kinds.NODE:
            self._plain_nodes.pop(address[1], None)
        if kind in kinds.DEVICES:
            return self._devices_changed(kind, address, known, None)
        return self._change(kind, address, known, None, listed=False)

    def _devices_changed(
        self, kind: Kind, address: tuple[str, str], old: _Stored | None, new: _Stored | None
    ) -> Change:
        """Slices change what a node is, claims how much of it is free."""
        if kind is kinds.RESOURCE_CLAIM:
            nodes = self._devices.put_claim(address, new.value if new else ())
            freed = [self._count_claims(node) for node in nodes]
            return Change(node=nodes[0], freed=any(freed)) if nodes else NOTHING
        self._devices.put_slice(address[1], new.value if new else None)
        touched = {one.value.node for one in (old, new) if one and one.value}
        for node in touched:
            self._count_claims(node)
            stored = self._objects[kinds.NODE.name].get(("", node))
            if stored and node in self._plain_nodes:
                stored.value = self._read_node(node, orjson.loads(self._plain_nodes[node]))
        return Change(node=min(touched), freed=True) if touched else NOTHING

    def _count_claims(self, node: str) -> bool:
        """Bring what others' claims hold of a node up to date; whether they hold less than before."""
        before, now = self._claimed.pop(node, {}), self._devices.claimed_on(node)
        if now:
            self._claimed[node] = now
        for resource in {*before, *now}:
            self._held[node, resource] += now.get(resource, 0) - before.get(resource, 0)
            if not self._held[node, resource]:
                del self._held[node, resource]
        return sum(now.values()) < sum(before.values())

    def _count(self, usage: PodUsage, sign: int) -> None:
        for resource, count in usage.devices:
            self._held[usage.node, resource] += sign * count
            if not self._held[usage.node, resource]:
                del self._held[usage.node, resource]

    def _count_ask(self, namespace: str, ask: PodAsk, sign: int) -> None:
        asked = self._asked[namespace]
        for resource, count in ask.amounts:
            asked[ask.pod_class, resource] += sign * count
            if not asked[ask.pod_class, resource]:
                del asked[ask.pod_class, resource]
        if not asked:
            del self._asked[namespace]

    @staticmethod
    def _change(
        kind: Kind, address: tuple[str, str], old: _Stored | None, new: _Stored | None, *, listed: bool
    ) -> Change:
        if kind is kinds.NODE:
            return Change(node=address[1], freed=True, relisted=listed)
        if kind is kinds.RESOURCE_QUOTA:
            return Change(quota_of=address[0], relisted=listed)
        current = new or old
        key = current.key if current else None
        if kind is kinds.POD:
            before, after = old.usage if old else None, new.usage if new else None
            moved = after or before
            node = moved.node if moved and before != after else None
            return Change(key, node, freed=node is not None and before is not None, relisted=listed)
        if key is None and old is not None:
            key = old.key
        released = address if new is None and key is None else None
        return Change(key, released=released, relisted=listed)


def owner_key(document: Mapping[str, Any]) -> Key | None:
    """The InferenceDeployment that owns an object, or that an ownerless object is labelled with; None for others'."""
    metadata = document["metadata"]
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            ours = reference.get("kind") == labels.KIND and str(reference.get("apiVersion", "")).startswith(
                labels.GROUP + "/"
            )
            return (metadata["namespace"], reference["name"]) if ours else None
    return _key_of_label(metadata)


def _key_of_label(metadata: Mapping[str, Any]) -> Key | None:
    marks = metadata.get("labels") or {}
    if marks.get(labels.MANAGED_BY) != "shardwright" or labels.DEPLOYMENT not in marks:
        return None
    return (metadata["namespace"], marks[labels.DEPLOYMENT])


def _bare(document: Mapping[str, Any]) -> JsonObject:
    metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    return {**document, "metadata": metadata}


def _small_child(kind: Kind, document: Mapping[str, Any]) -> JsonObject:
    """Without what changes by itself: the version, and every status but the autoscaler's conditions."""
    metadata = {
        n: v for n, v in document["metadata"].items() if n not in {"managedFields", "resourceVersion", "generation"}
    }
    small = {name: value for name, value in document.items() if name != "status"} | {"metadata": metadata}
    small |= {"apiVersion": kind.api_version, "kind": kind.name}  # items of a list say neither
    if kind is kinds.AUTOSCALER:
        conditions = (document.get("status") or {}).get("conditions") or []
        kept = [
            {name: condition.get(name) for name in ("type", "status", "reason", "message")} for condition in conditions
        ]
        small["status"] = {"conditions": kept}
    return small


_NODE_ANNOTATIONS = (f"{labels.GROUP}/", "hami.io/")


def _small_node(document: Mapping[str, Any]) -> JsonObject:
    """What a Node is read from again when the devices on it change."""
    metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    annotations = metadata.get("annotations") or {}
    ready = [one for one in status.get("conditions") or () if one.get("type") == "Ready"]
    return {
        "metadata": {
            **{key: metadata[key] for key in ("name", "labels", "deletionTimestamp") if key in metadata},
            "annotations": {key: value for key, value in annotations.items() if key.startswith(_NODE_ANNOTATIONS)},
        },
        "spec": {key: spec[key] for key in ("taints", "unschedulable") if key in spec},
        "status": {
            "allocatable": status.get("allocatable") or {},
            "conditions": [{"type": "Ready", "status": one.get("status")} for one in ready],
        },
    }


_POD_METADATA = (
    "name",
    "namespace",
    "uid",
    "labels",
    "annotations",
    "creationTimestamp",
    "deletionTimestamp",
    "ownerReferences",
)
_LONG_AGO = "1970-01-01T00:00:00Z"
_POD_CONDITIONS = frozenset({"Ready", "PodScheduled", "DisruptionTarget"})
_POD_CONDITION = ("type", "status", "reason", "message", "lastTransitionTime")
_POD_STATUS = ("phase", "reason", "message", "podIP", "containerStatuses", "initContainerStatuses")


def _small_pod(document: Mapping[str, Any]) -> JsonObject:
    metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    small = {name: status[name] for name in _POD_STATUS if name in status}
    small["conditions"] = [
        {name: condition[name] for name in _POD_CONDITION if name in condition}
        for condition in status.get("conditions") or ()
        if condition.get("type") in _POD_CONDITIONS
    ]
    return {
        "metadata": {name: metadata[name] for name in _POD_METADATA if name in metadata},
        "spec": {
            "nodeName": spec.get("nodeName"),
            "containers": [_probed(one) for one in spec.get("containers") or () if one.get("startupProbe")],
            **({"claims": claims} if (claims := _claims(document)) else {}),
        },
        "status": small,
    }


def _probed(container: Mapping[str, Any]) -> JsonObject:
    """A container with the one probe by which a start that took too long is told from a crash."""
    probe = container["startupProbe"]
    return {
        "name": container.get("name"),
        "startupProbe": {name: probe.get(name) for name in ("periodSeconds", "failureThreshold")},
    }


def _claims(pod: Mapping[str, Any]) -> list[str]:
    """Names of the claims that a pod mounts; one that is made for a volume of the pod is named after both."""
    found = []
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            found.append(str(claim.get("claimName")))
        elif volume.get("ephemeral"):
            found.append(f"{pod['metadata']['name']}-{volume.get('name')}")
    return found
