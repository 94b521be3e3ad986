"""Labels and owner references, the same on every object of a deployment."""

from collections.abc import Mapping
from typing import Any

from shardwright.api import labels
from shardwright.manifests.identity import DeploymentIdentity


def base_labels(owner: DeploymentIdentity, replica_id: int | None = None) -> dict[str, str]:
    """Labels of an object; those of one replica carry its id, so that they can be found and rolled together."""
    result = {labels.MANAGED_BY: "shardwright", labels.DEPLOYMENT: owner.name}
    if replica_id is not None:
        result[labels.REPLICA] = str(replica_id)
    return result


def metadata(
    owner: DeploymentIdentity,
    name: str,
    replica_id: int | None = None,
    annotations: Mapping[str, str] | None = None,
    extra_labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write an object's metadata, owned by the deployment so that deleting that deletes all."""
    result: dict[str, Any] = {
        "name": name,
        "namespace": owner.namespace,
        "labels": {**(extra_labels or {}), **base_labels(owner, replica_id)},
        "ownerReferences": [
            {
                "apiVersion": labels.API_VERSION,
                "kind": labels.KIND,
                "name": owner.name,
                "uid": owner.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    if annotations:
        result["annotations"] = dict(annotations)
    return result
