"""The accepted spec and its plan, kept whole in a ControllerRevision that the deployment owns, so that they outlive us.

A ControllerRevision's data never changes: a new one is written under the hash of its content, then older ones are
removed. The number of replicas is not kept; it belongs to the live spec.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from shardwright.api import labels
from shardwright.manifests.hashes import digest, stamp
from shardwright.plan.types import Plan
from shardwright.reconcile.codec import CodecError, decode, encode
from shardwright.reconcile.types import JsonObject

FORMAT = 1
KIND = "ControllerRevision"
_MAX_REJECTED = 16


@dataclass(frozen=True, slots=True)
class Kept:
    """What was accepted last."""

    spec: Mapping[str, Any]
    """Raw, without `replicas`."""
    files: Mapping[str, str] | None
    """The model's facts as the user's ConfigMap held them then; None = from the catalogue."""
    plan: Plan


def lasting(plan: Plan) -> Plan:
    """The plan as far as it is kept: the nearest few of the rejected, and no nodes that were skipped that day."""
    return replace(plan, rejected=plan.rejected[:_MAX_REJECTED], skipped_nodes=())


def latest(children: Iterable[JsonObject], uid: str) -> tuple[Kept | None, int]:
    """What was kept last by this deployment, with its number (0 = nothing); unreadable ones count as absent."""
    best: tuple[Kept | None, int] = (None, 0)
    for child in children:
        if child.get("kind") != KIND or not owned_by(child, uid):
            continue
        number = int(child.get("revision") or 0)
        if number > best[1] and (kept := _read(child.get("data"))):
            best = (kept, number)
    return best


def document(kept: Kept, deployment: JsonObject, number: int) -> dict[str, Any]:
    """The object that keeps it; the same content has the same name."""
    metadata = deployment["metadata"]
    data = {"format": FORMAT, "spec": dict(kept.spec), "files": kept.files, "plan": encode(lasting(kept.plan))}
    return stamp(
        {
            "apiVersion": "apps/v1",
            "kind": KIND,
            "metadata": {
                "name": f"{metadata['name']}-accepted-{digest(data)}",
                "namespace": metadata["namespace"],
                "labels": {labels.MANAGED_BY: "shardwright", labels.DEPLOYMENT: metadata["name"]},
                "ownerReferences": [owner_reference(deployment)],
            },
            "data": data,
            "revision": number,
        }
    )


def owner_reference(deployment: JsonObject) -> dict[str, Any]:
    """What makes the garbage collector remove a child with its deployment."""
    return {
        "apiVersion": labels.API_VERSION,
        "kind": labels.KIND,
        "name": deployment["metadata"]["name"],
        "uid": deployment["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owned_by(child: JsonObject, uid: str) -> bool:
    """Whether the deployment with that UID controls the object."""
    references = child["metadata"].get("ownerReferences") or ()
    return any(reference.get("controller") and reference.get("uid") == uid for reference in references)


def _read(data: Any) -> Kept | None:
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        return None
    try:
        return Kept(data["spec"], data.get("files"), _plan(json.dumps(data["plan"])))
    except (CodecError, KeyError, ValueError):
        return None


@lru_cache(maxsize=2048)
def _plan(text: str) -> Plan:
    """Remembered: a kept plan is read at each reconcile and never changes. Raises CodecError."""
    plan: Plan = decode(Plan, json.loads(text))
    return plan
