"""Where more replicas of a chosen plan go. The layouts are fixed here; only nodes are picked.

What runs stays where it is. New replicas take the lowest free ids and go to placements in the plan's order.
"""

from collections.abc import Mapping, Sequence

from shardwright.inventory import Inventory, PoolNode
from shardwright.plan.room import Eligibility, assign, taken
from shardwright.plan.types import Placement, Plan, PlanRequest


def place_replicas(
    plan: Plan,
    inventory: Inventory,
    wanted: int,
    running: Mapping[int, Sequence[str]],
    request: PlanRequest | None = None,
) -> dict[int, tuple[str, ...]]:
    """Nodes by replica id for up to `wanted` replicas, those that run included.

    `inventory` counts the GPUs of running replicas as taken. Fewer than `wanted` come back where GPUs are short; where
    more run than are wanted, the highest ids are left out. Without `request` every node of a pool may be used.
    """
    kept = {number: tuple(running[number]) for number in sorted(running)[: max(0, wanted)]}
    missing = max(0, wanted - len(kept))
    fresh = iter(_fresh(plan, inventory, missing, request))
    free_ids = (number for number in range(wanted + len(running) + 1) if number not in running)
    return dict(sorted({**kept, **dict(zip(free_ids, fresh, strict=False))}.items()))


def placement_index(plan: Plan, inventory: Inventory, nodes: Sequence[str]) -> int | None:
    """Which placement of the plan a replica on these nodes belongs to; None where its nodes are gone from its pool."""
    for index, placement in enumerate(plan.placements):
        pool = inventory.pool(placement.pool)
        if (
            pool
            and set(nodes) <= {node.name for node in pool.nodes}
            and len(nodes) == placement.layout.nodes_per_replica
        ):
            return index
    return None


def _fresh(plan: Plan, inventory: Inventory, missing: int, request: PlanRequest | None) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    used: dict[str, tuple[PoolNode, ...]] = {}
    budget = _affordable(plan, request)
    for placement in plan.placements:
        nodes = used.get(placement.pool) or _nodes(placement, inventory, request)
        placed = assign(nodes, placement.layout, min(missing - len(found), budget))
        used[placement.pool] = taken(nodes, placement.layout, placed)
        found += placed
    return found


def _affordable(plan: Plan, request: PlanRequest | None) -> int:
    """Replicas that a GPU budget pays for, at the size of the plan's largest replica."""
    if request is None or request.max_gpus is None or not plan.placements:
        return 1 << 30
    return request.max_gpus // max(p.layout.gpus_per_replica for p in plan.placements)


def _nodes(placement: Placement, inventory: Inventory, request: PlanRequest | None) -> tuple[PoolNode, ...]:
    pool = inventory.pool(placement.pool)
    if pool is None:
        return ()
    return Eligibility(request.node_selector, request.tolerations).nodes(pool) if request else pool.nodes
