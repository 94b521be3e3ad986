"""Whether a layout that runs may go on running. A faster one is no reason to stop; a changed model or lost nodes are.

Judges the layout against the request and the pool's hardware, never against free GPUs: running replicas hold theirs.
"""

from dataclasses import replace

from shardwright.api.reasons import Reason
from shardwright.inventory import Inventory, Pool
from shardwright.plan.checks import Context, refusals
from shardwright.plan.types import LayoutPins, Placement, Plan, PlanRequest, Rejection
from shardwright.plan.verdicts import forecast_of, kind_of, memory_rejections, question_of


def still_valid(plan: Plan, request: PlanRequest, inventory: Inventory) -> Rejection | None:
    """Find the first reason why the plan may not be kept, placement by placement; None = keep it."""
    if not plan.placements:
        return Rejection("", "", Reason.NO_LAYOUT, 1, 0, "placements")
    for placement in plan.placements:
        if placement.expected and not placement.replicas:
            continue
        reason = placement_valid(placement, request, inventory, plan.context_length)
        if reason:
            return reason
    return None


def placement_valid(
    placement: Placement, request: PlanRequest, inventory: Inventory, context_length: int
) -> Rejection | None:
    """Judge one placement: its pins, its pool's hardware, and the memory of its layout at the planned context."""
    layout, text = placement.layout, str(placement.layout)
    if not agrees(request.pins, placement):
        return Rejection(placement.pool, text, Reason.PINNED_OTHERWISE, 1, 0, "pins")
    if request.max_gpus is not None and layout.gpus_per_replica > request.max_gpus:
        return Rejection(placement.pool, text, Reason.OVER_GPU_LIMIT, layout.gpus_per_replica, request.max_gpus, "GPUs")
    pool = pool_of(placement, inventory)
    if pool is None:
        return Rejection(placement.pool, text, Reason.NODE_LOST, layout.nodes_per_replica, 0, "nodes of the pool")
    holding = sum(node.gpus >= layout.gpus_per_pod for node in pool.nodes)
    if holding < layout.nodes_per_replica:
        return Rejection(placement.pool, text, Reason.NODE_LOST, layout.nodes_per_replica, holding, "nodes of the pool")
    context = Context(request.model, pool.product, request.engine, request.engine_args, request.engine_version)
    refused = refusals(layout, context)
    if refused:
        return replace(refused[0], pool=placement.pool)
    length = request.context_length or min(context_length, request.model.max_context_length) or context_length
    memory = forecast_of(question_of(request), kind_of(pool), layout, length)
    return None if memory.fits else replace(memory_rejections(layout, memory)[0], pool=placement.pool)


def pool_of(placement: Placement, inventory: Inventory) -> Pool | None:
    """The pool of a placement: by name and product, else the one that has all its planned nodes.

    Names follow from what pools exist, so a new pool can rename an old one; nodes and products do not change with it.
    """
    named = inventory.pool(placement.pool)
    if named and named.product.name == placement.product:
        return named
    wanted = {name for nodes in placement.replica_nodes for name in nodes}
    for pool in inventory.pools:
        if wanted and pool.product.name == placement.product and wanted <= {node.name for node in pool.nodes}:
            return pool
    return None


def arrived(placement: Placement, inventory: Inventory) -> tuple[Pool, ...]:
    """What exists by now of an expected pool: pools of these GPUs, with only the nodes that carry its labels."""
    if not placement.expected:
        return ()
    wanted = set(placement.pool_selector)
    found = []
    for pool in inventory.pools:
        alike = pool.product.name == placement.product and pool.gpu_resource == placement.gpu_resource
        nodes = tuple(node for node in pool.nodes if wanted <= set(node.labels)) if alike and not pool.expected else ()
        if nodes:
            found.append(replace(pool, nodes=nodes))
    return tuple(found)


def agrees(pins: LayoutPins, placement: Placement) -> bool:
    """Whether the layout is what the user pinned."""
    layout = placement.layout
    return all(
        pin in (None, value)
        for pin, value in (
            (pins.tensor, layout.tensor),
            (pins.pipeline, layout.pipeline),
            (pins.data, layout.data),
            (pins.expert, layout.expert),
            (pins.nodes_per_replica, layout.nodes_per_replica),
        )
    )
