"""What a deployment had been promised, read back from what the last operator wrote. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from shardwright.reconcile import revision
from shardwright.reconcile.live import number
from shardwright.reconcile.types import Reservation


def reservations_of(deployment: Mapping[str, Any], children: Iterable[Mapping[str, Any]]) -> tuple[Reservation, ...]:
    """GPUs by replica: the nodes are in the status, the GPUs per pod in the kept plan."""
    if deployment["metadata"].get("deletionTimestamp"):
        return ()
    kept, _ = revision.latest(children, deployment["metadata"]["uid"])
    rows = (deployment.get("status") or {}).get("replicaStates")
    if kept is None or not isinstance(rows, list) or (kept.spec.get("suspend") is True):
        return ()
    by_size = {placement.layout.nodes_per_replica: placement for placement in kept.plan.placements}
    found = []
    for row in rows:
        nodes = tuple(map(str, row.get("nodes") or ())) if isinstance(row, Mapping) else ()
        if nodes and (placement := by_size.get(len(nodes))):
            gpus, resource = placement.layout.gpus_per_pod, placement.gpu_resource
            found.append(Reservation(number(row.get("id")), gpus, nodes, resource))
    return tuple(found)
