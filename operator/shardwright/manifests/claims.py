"""How pods ask for GPUs where ResourceSlices offer them: by claims made from a template, not by counting a resource.

A template never changes: its name follows from what it asks for, and pods made of another name are another version.
"""

from typing import Any

from shardwright.api import labels
from shardwright.inventory.resources import CLAIMED
from shardwright.inventory.types import ClaimAsk
from shardwright.manifests import names
from shardwright.manifests.compute_domain import channel_claims, container_channels
from shardwright.manifests.hashes import digest
from shardwright.manifests.identity import ReplicaContext
from shardwright.manifests.metadata import base_labels, metadata
from shardwright.plan.types import Placement

API_VERSION = "resource.k8s.io/v1"
GPUS = "gpus"
"""What a pod and its containers call the claim."""


def claim_template(context: ReplicaContext) -> dict[str, Any] | None:
    """Build the template that a replica's pods claim their GPUs by; None where they ask for a count."""
    devices = _devices(context.placement)
    if devices is None:
        return None
    owner, replica_id = context.owner, context.replica.id
    return {
        "apiVersion": API_VERSION,
        "kind": "ResourceClaimTemplate",
        "metadata": metadata(owner, _name(context, devices), replica_id),
        "spec": {"metadata": {"labels": base_labels(owner, replica_id)}, "spec": {"devices": devices}},
    }


def pod_claims(context: ReplicaContext) -> dict[str, Any]:
    """The part of a pod's spec that names its claims; empty where GPUs are counted and NVLink ends at the node."""
    devices = _devices(context.placement)
    gpus = [{"name": GPUS, "resourceClaimTemplateName": _name(context, devices)}] if devices else []
    claims = [*gpus, *channel_claims(context)]
    return {"resourceClaims": claims} if claims else {}


def pod_annotations(placement: Placement) -> dict[str, str]:
    """What the ledger of GPUs reads from a pod that claims them."""
    if placement.claim is None:
        return {}
    return {labels.CLAIMED_GPUS: f"{placement.claim.device_class}={placement.layout.gpus_per_pod}"}


def container_resources(placement: Placement) -> tuple[dict[str, str], dict[str, Any]]:
    """GPUs of the engine's container as amounts of a resource, and the claims that it uses."""
    counted = {} if placement.claim else {placement.gpu_resource: str(placement.layout.gpus_per_pod)}
    claims = [*([{"name": GPUS}] if placement.claim else []), *container_channels(placement)]
    return counted, {"claims": claims} if claims else {}


def taint_key(placement: Placement) -> str:
    """The key of the usual taint of such nodes."""
    return CLAIMED.get(placement.gpu_resource, placement.gpu_resource)


def _devices(placement: Placement) -> dict[str, Any] | None:
    """One request for all GPUs of a pod; where they must share an attribute, one for each tensor group."""
    ask, layout = placement.claim, placement.layout
    if ask is None:
        return None
    groups = layout.gpus_per_pod // layout.tensor if ask.same else 1
    asked = [f"{GPUS}-{number}" if groups > 1 else GPUS for number in range(groups)]
    devices: dict[str, Any] = {"requests": [_request(name, ask, layout.gpus_per_pod // groups) for name in asked]}
    if ask.same:
        devices["constraints"] = [{"requests": [name], "matchAttribute": ask.same} for name in asked]
    return devices


def _request(name: str, ask: ClaimAsk, count: int) -> dict[str, Any]:
    exactly = {
        "deviceClassName": ask.device_class,
        "selectors": [{"cel": {"expression": expression}} for expression in ask.selectors],
        "allocationMode": "ExactCount",
        "count": count,
    }
    return {"name": name, "exactly": exactly}


def _name(context: ReplicaContext, devices: dict[str, Any]) -> str:
    return f"{names.replica(context.owner.name, context.replica.id)}-gpus-{digest(devices)[:8]}"
