"""PodDisruptionBudgets: losing one pod loses the replica, so a group is protected whole; never two budgets on a pod.

Unhealthy pods may always be evicted: a group that is broken anyway must not hold up the drain of a node.
"""

from typing import Any

from shardwright.api import labels
from shardwright.manifests import names
from shardwright.manifests.identity import DeploymentIdentity, ReplicaAssignment
from shardwright.manifests.metadata import metadata


def group_budget(owner: DeploymentIdentity, replica: ReplicaAssignment) -> dict[str, Any]:
    """For one replica of several pods: none may be evicted, as the operator moves the group as one.

    All may where it has nowhere to go: the operator makes the rest of the group follow.
    """
    selector = {labels.DEPLOYMENT: owner.name, labels.REPLICA: str(replica.id)}
    allowed = len(replica.nodes) if replica.evictable else 0
    return _budget(owner, names.replica(owner.name, replica.id), replica.id, selector, allowed)


def shared_budget(owner: DeploymentIdentity) -> dict[str, Any]:
    """For all replicas of one pod: one at a time."""
    selector = {labels.DEPLOYMENT: owner.name, labels.GROUP_SIZE: "1"}
    return _budget(owner, names.shared_disruption_budget(owner.name), None, selector, 1)


def _budget(
    owner: DeploymentIdentity, name: str, replica_id: int | None, selector: dict[str, str], max_unavailable: int
) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(owner, name, replica_id),
        "spec": {
            "maxUnavailable": max_unavailable,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector},
        },
    }
