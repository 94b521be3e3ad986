"""What lets pods on several nodes reach each other's GPUs by NVLink: a ComputeDomain, and their claim on its channel.

NVIDIA's driver makes the claim template that a ComputeDomain names, and joins the nodes of the pods that use it. A
ComputeDomain never changes, so its name follows from what it says.
"""

from typing import Any

from shardwright.manifests import names
from shardwright.manifests.identity import ReplicaContext
from shardwright.manifests.metadata import metadata
from shardwright.plan.types import Placement

API_VERSION = "resource.nvidia.com/v1beta1"
CHANNEL = "nvlink"
"""What a pod and its container call the claim."""


def compute_domain(context: ReplicaContext) -> dict[str, Any] | None:
    """Build the domain of a replica's pods; None where they do not reach each other by NVLink.

    `numNodes` only tells newer drivers when to call the domain ready; older ones hold pods back until so many are in.
    """
    if not _joined(context.placement):
        return None
    return {
        "apiVersion": API_VERSION,
        "kind": "ComputeDomain",
        "metadata": metadata(context.owner, _name(context), context.replica.id),
        "spec": {
            "numNodes": context.placement.layout.nodes_per_replica,
            "channel": {"resourceClaimTemplate": {"name": _channel(context)}, "allocationMode": "Single"},
        },
    }


def channel_claims(context: ReplicaContext) -> list[dict[str, str]]:
    """The claim of each pod on the domain's channel."""
    if not _joined(context.placement):
        return []
    return [{"name": CHANNEL, "resourceClaimTemplateName": _channel(context)}]


def container_channels(placement: Placement) -> list[dict[str, str]]:
    """What the engine's container uses of them."""
    return [{"name": CHANNEL}] if _joined(placement) else []


def _joined(placement: Placement) -> bool:
    return placement.compute_domain and placement.layout.nodes_per_replica > 1


def _name(context: ReplicaContext) -> str:
    size = context.placement.layout.nodes_per_replica
    return f"{names.replica(context.owner.name, context.replica.id)}-nvlink-{size}"


def _channel(context: ReplicaContext) -> str:
    return f"{_name(context)}-channel"
