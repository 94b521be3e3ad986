"""Whether the client Service may find every pod yet: not while followers run that do not answer.

A plan whose replicas answer at each pod follows one whose leaders alone do, replica by replica. A Service that finds
every pod would meanwhile send requests to followers that have no API; so it finds leaders until the last of those is
gone. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from shardwright.api import labels
from shardwright.manifests.hashes import stamp
from shardwright.reconcile.live import LiveReplica, number
from shardwright.reconcile.types import JsonObject

SERVICE = "Service"


def with_endpoints(documents: list[dict[str, Any]], live: Mapping[int, LiveReplica]) -> list[dict[str, Any]]:
    """Narrow a Service that finds every pod to leaders while a follower without an API lives, or may be made anew."""
    if not any(map(_silent, _grouped(live))):
        return documents
    return [_leaders_only(document) if _finds_every_pod(document) else document for document in documents]


def _grouped(live: Mapping[int, LiveReplica]) -> Iterable[JsonObject]:
    """All sets and pods of groups of several pods."""
    for replica in live.values():
        found = [raw for raw, pod in replica.pods if not pod.terminating]
        found += [replica.set] if replica.set is not None and replica.exists else []
        yield from (one for one in found if number(_labels(one).get(labels.GROUP_SIZE)) > 1)


def _silent(document: JsonObject) -> bool:
    return _labels(document).get(labels.ENDPOINTS) != labels.EVERY_POD


def _labels(document: JsonObject) -> Mapping[str, Any]:
    return document["metadata"].get("labels") or {}


def _finds_every_pod(document: JsonObject) -> bool:
    """The clients' Service alone has this form: that of the pods' names is headless."""
    spec = document["spec"] if document["kind"] == SERVICE else {}
    return bool(spec) and spec.get("clusterIP") != "None" and labels.POD_INDEX not in spec["selector"]


def _leaders_only(document: dict[str, Any]) -> dict[str, Any]:
    spec = document["spec"]
    selector = {**spec["selector"], labels.POD_INDEX: "0"}
    metadata = {**document["metadata"], "annotations": dict(document["metadata"].get("annotations") or {})}
    return stamp({**document, "metadata": metadata, "spec": {**spec, "selector": selector}})
