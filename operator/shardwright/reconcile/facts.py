"""Where a model's facts come from: the spec's ConfigMap, the catalogue, what was accepted, a hub; in this order. Pure.

What was accepted once is not asked for again: a running deployment needs no hub, and a branch that moves on the hub
does not move a layout. Another id, revision or source asks anew.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shardwright.api.spec import HubSource, ModelSource, ModelSpec, SecretKeyReference
from shardwright.models.bundled import bundled_name
from shardwright.reconcile.accept import judge_spec
from shardwright.reconcile.revision import Kept
from shardwright.reconcile.types import ModelFacts


@dataclass(frozen=True, slots=True)
class HubQuestion:
    """What to ask a hub for."""

    id: str
    revision: str | None
    endpoint: str | None
    """None = the operator's own."""
    token: SecretKeyReference | None


@dataclass(frozen=True, slots=True)
class VolumeQuestion:
    """What to read where the model lies: on a claim, in a folder of the nodes, in an image."""

    place: str
    """In words."""
    volume: str
    """A pod's volume source, as JSON."""
    path: str
    """Folder inside it; empty = its root."""
    tolerations: tuple[str, ...] = ()
    """Each as JSON: the pod that reads goes where the engine's pods may go."""
    node_selector: tuple[tuple[str, str], ...] = ()
    pull_secrets: tuple[str, ...] = ()
    """Each as JSON, for an image."""


def hub_question(raw: object, kept: Kept | None) -> HubQuestion | None:
    """What a raw spec needs from a hub; None where it needs nothing, or is refused for other reasons first."""
    judged = judge_spec(json.dumps(raw)) if isinstance(raw, Mapping) else ()
    if isinstance(judged, tuple) or not _wants_hub(judged.model) or kept_facts(raw, kept) is not None:
        return None
    model = judged.model
    source = (model.source.hub if model.source else None) or HubSource()
    return HubQuestion(model.id, model.revision, source.endpoint, source.token_secret_ref)


def kept_facts(raw: object, kept: Kept | None) -> ModelFacts | None:
    """The facts that were accepted for this very model; None where there are none, or another model is asked for."""
    if kept is None or kept.files is None or not isinstance(raw, Mapping):
        return None
    here, before = _identity(raw.get("model")), _identity(kept.spec.get("model"))
    return ModelFacts(kept.files) if here is not None and here == before else None


def volume_question(raw: object, kept: Kept | None) -> VolumeQuestion | None:
    """What a raw spec needs from a volume; None where it needs nothing, or is refused for other reasons first."""
    judged = judge_spec(json.dumps(raw)) if isinstance(raw, Mapping) else ()
    if isinstance(judged, tuple) or not _wants_files(judged.model) or kept_facts(raw, kept) is not None:
        return None
    found = _place(judged.model.source)
    if found is None:
        return None
    place, volume, path = found
    tolerations = judged.placement.tolerations or ()
    rows = tuple(json.dumps(row.model_dump(by_alias=True, exclude_none=True), sort_keys=True) for row in tolerations)
    selector = tuple(sorted((judged.placement.node_selector or {}).items()))
    secrets = tuple(json.dumps(row, sort_keys=True) for row in judged.pod_template.image_pull_secrets or ())
    return VolumeQuestion(place, json.dumps(volume, sort_keys=True), path, rows, selector, secrets)


def _place(source: ModelSource | None) -> tuple[str, Mapping[str, Any], str] | None:
    """Where a model lies, in words and as a pod mounts it, and the folder in there."""
    if source and (claim := source.persistent_volume_claim):
        volume: Mapping[str, Any] = {"persistentVolumeClaim": {"claimName": claim.claim_name, "readOnly": True}}
        return f"claim {claim.claim_name}", volume, claim.path
    if source and (folder := source.host_path):
        return f"a node's folder {folder.path}", {"hostPath": {"path": folder.path, "type": "Directory"}}, ""
    if source and (image := source.image):
        volume = {"image": {"reference": image.reference, "pullPolicy": "IfNotPresent"}}
        return f"image {image.reference}", volume, image.path
    return None


def claim_names(raw: object) -> tuple[str, ...]:
    """Names of the claims in a raw spec, whatever else may be wrong with it."""
    paths = (
        ("model", "source", "persistentVolumeClaim", "claimName"),
        ("model", "source", "hub", "cache", "claimName"),
    )
    found = []
    for path in paths:
        part: Any = raw
        for step in path:
            part = part.get(step) if isinstance(part, Mapping) else None
        found += [part] if isinstance(part, str) and part else []
    return tuple(found)


def _wants_files(model: ModelSpec) -> bool:
    return model.facts is None and bundled_name(model.id) is None


def _wants_hub(model: ModelSpec) -> bool:
    elsewhere = model.source is not None and model.source.hub is None
    return _wants_files(model) and not elsewhere


def _identity(model: Any) -> tuple[Any, ...] | None:  # raw, of any shape
    """What tells one model from another, whatever token opens it; None where a ConfigMap has its facts."""
    if not isinstance(model, Mapping) or model.get("facts") is not None:
        return None
    source = model.get("source")
    places = dict(source) if isinstance(source, Mapping) else {}
    hub = places.pop("hub", None)
    return (model.get("id"), model.get("revision"), places, hub.get("endpoint") if isinstance(hub, Mapping) else None)
