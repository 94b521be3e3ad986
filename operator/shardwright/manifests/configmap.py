"""The files that a replica's pods read: one ConfigMap for each replica that needs any.

For each replica and not for all together, because during a rollout an old replica's lost pod must come back as it was.
"""

from typing import Any

from shardwright.engines.program import PodProgram
from shardwright.manifests import names
from shardwright.manifests.identity import DeploymentIdentity, ReplicaAssignment
from shardwright.manifests.metadata import metadata


def configmap(owner: DeploymentIdentity, replica: ReplicaAssignment, program: PodProgram) -> dict[str, Any] | None:
    """Build the ConfigMap, or nothing where the engine needs no files."""
    if not program.files:
        return None
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(owner, names.replica(owner.name, replica.id), replica.id),
        "data": dict(sorted(program.files)),
    }
