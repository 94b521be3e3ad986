"""Wanted objects against live ones: what must be written, what must go, and whose names are in the way. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shardwright.api import labels
from shardwright.api.reasons import Reason
from shardwright.reconcile.diff import differences
from shardwright.reconcile.revision import KIND as REVISION
from shardwright.reconcile.revision import owned_by
from shardwright.reconcile.types import ChildName, Deletion, JsonObject, Observed, Write
from shardwright.status import Trouble


@dataclass(frozen=True, slots=True)
class Comparison:
    """What to write and delete, and the first thing that is in the way."""

    apply: tuple[Write, ...]
    delete: tuple[Deletion, ...]
    trouble: Trouble | None = None


def name_of(document: JsonObject) -> ChildName:
    """Kind and name."""
    return (document["kind"], document["metadata"]["name"])


def compare(wanted: Iterable[Mapping[str, Any]], seen: Observed, keep: Collection[ChildName] = ()) -> Comparison:
    """Judge all wanted objects; what the deployment owns besides them goes, unless it is named in `keep`."""
    uid = seen.deployment["metadata"]["uid"]
    writes: list[Write] = []
    troubles: list[Trouble] = []
    names = set(keep)
    for document in wanted:
        names.add(name_of(document))
        write, trouble = judge(document, seen, uid)
        writes += [write] if write else []
        troubles += [trouble] if trouble else []
    deletions = tuple(
        Deletion(kind, child, "it is not wanted any more")
        for (kind, name), child in seen.children.items()
        if kind != REVISION and (kind, name) not in names and owned_by(child, uid) and not _leaving(child)
    )
    return Comparison(tuple(writes), deletions, troubles[0] if troubles else None)


def judge(  # noqa: PLR0911  # one way out for each thing that can stand under the name
    document: Mapping[str, Any], seen: Observed, uid: str
) -> tuple[Write | None, Trouble | None]:
    """One wanted object: the write it needs, and what is in the way."""
    name = name_of(document)
    live = seen.children.get(name)
    if live is None:
        if seen.takes_name(*name):
            return None, _taken(name)
        return _unless_refused(document, seen, force=False)
    if _leaving(live):
        return None, None
    if not owned_by(live, uid) and _controlled(live):
        return None, _taken(name)
    digest = applied_hash(document)
    if applied_hash(live) == digest:
        if seen.verified.get(name) == digest:
            return None, None
        found = differences(document, live)
        if not found or seen.stubborn.get(name) == (digest, found):
            return None, None
    return _unless_refused(document, seen, force=owned_by(live, uid))


def applied_hash(document: JsonObject) -> str:
    """The hash that the object carries of what was applied."""
    return str((document["metadata"].get("annotations") or {}).get(labels.APPLIED_HASH, ""))


def _unless_refused(document: Mapping[str, Any], seen: Observed, *, force: bool) -> tuple[Write | None, Trouble | None]:
    known = seen.refused.get(name_of(document))
    if known and known[0] == applied_hash(document):
        kind, name = name_of(document)
        return None, Trouble(Reason.APPLY_REFUSED, f"the API server refuses {kind} {name}: {known[1]}")
    return Write(document, force), None


def _taken(name: ChildName) -> Trouble:
    return Trouble(
        Reason.NAME_TAKEN,
        f"{name[0]} {name[1]} exists and belongs to something else; it is left alone: remove or rename it, or choose "
        "another name for this InferenceDeployment",
    )


def _leaving(document: JsonObject) -> bool:
    return bool(document["metadata"].get("deletionTimestamp"))


def _controlled(document: JsonObject) -> bool:
    return any(reference.get("controller") for reference in document["metadata"].get("ownerReferences") or ())
