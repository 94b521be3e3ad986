"""One StatefulSet for each replica: so each can be pinned, rolled, drained and removed by itself.

Parallel, because pod 1 would else wait for a pod 0 that waits for pod 1; OnDelete, because a group's pods are replaced
together or not at all.
"""

from typing import Any

from shardwright.api import labels
from shardwright.engines.program import PodProgram
from shardwright.manifests import names
from shardwright.manifests.hashes import plan_hash
from shardwright.manifests.identity import ReplicaContext
from shardwright.manifests.metadata import metadata
from shardwright.manifests.pod import endpoint_labels, pod_template


def statefulset(context: ReplicaContext, program: PodProgram) -> dict[str, Any]:
    """Build the replica's StatefulSet, with the plan hash on it and on its pods."""
    owner, replica_id = context.owner, context.replica.id
    template = pod_template(context, program)
    plan = {labels.PLAN_HASH: plan_hash(template, program)}
    template["metadata"]["annotations"].update(plan)
    size = context.placement.layout.nodes_per_replica
    marks = {labels.GROUP_SIZE: str(size), **endpoint_labels(context)}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(owner, names.replica(owner.name, replica_id), replica_id, plan, marks),
        "spec": {
            "replicas": size,
            "serviceName": names.group_service(owner.name),
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": {labels.DEPLOYMENT: owner.name, labels.REPLICA: str(replica_id)}},
            "template": template,
        },
    }
