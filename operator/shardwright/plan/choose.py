"""From a request and an inventory to a plan: every pool, every cut, all checks, one ranking. Pure and deterministic.

Tried in order until something can be placed: the whole context inside islands, a shorter context inside islands (only
if the user named none), then both again with tensor groups across islands (unless the user forbids that).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from shardwright.api.reasons import Reason
from shardwright.api.spec import CrossIslands, Priority
from shardwright.inventory import Inventory
from shardwright.inventory.types import ClaimAsk
from shardwright.plan import explain
from shardwright.plan.demand import Demand, demand_of
from shardwright.plan.losses import Loss, loss, losses_of, nearest_first
from shardwright.plan.rank import Option, ranked
from shardwright.plan.room import assign, natural
from shardwright.plan.site import Tried, most_pods, site_of
from shardwright.plan.types import Placement, Plan, PlanRequest
from shardwright.plan.verdicts import question_of


def choose(request: PlanRequest, inventory: Inventory) -> Plan:
    """Plan the request on what the inventory has; an answer without placements says why and what would help."""
    sites = [site_of(pool, request) for pool in sorted(inventory.pools, key=lambda p: natural(p.name))]
    skipped = tuple(
        sorted((n.name, f"{n.reason}: {n.message}") for n in inventory.skipped if n.reason is not Reason.NO_GPU)
    )
    question, tried = question_of(request), list[Tried]()
    for crossing, shorten in attempts(request):
        tried = [Tried(site, question, most_pods(site), shorten) for site in sites]
        options = [option for each in tried for option in _options(request, each, crossing)]
        if options:
            plan = _planned(request, options, tried, crossing)
            return replace(plan, skipped_nodes=skipped, why=explain.why(plan, request))
    plan = Plan((), nearest_first(losses_of(request, tried, crossing)), skipped_nodes=skipped)
    plan = replace(plan, reason=_unplaced(request, tried, crossing))
    return replace(plan, why=explain.why(plan, request), nearest=explain.nearest(request, sites))


def _unplaced(request: PlanRequest, tried: Sequence[Tried], crossing: bool) -> Reason:
    """Why nothing could be placed: no layout fits, a quota forbids what would find room, or GPUs are not free."""
    fits = [(each.site, fit) for each in tried for fit in each.fits if crossing or not fit.crosses_island]
    if any(site.room_for(fit.room_key) and not site.quota(request, fit.layout) for site, fit in fits):
        return Reason.QUOTA_EXCEEDED
    return Reason.WAITING_FOR_GPUS if any(each.fits for each in tried) else Reason.NO_LAYOUT


def ranking(request: PlanRequest, inventory: Inventory) -> tuple[Option, ...]:
    """Every layout that could be placed, best first, by the attempt that `choose` takes; empty where none can."""
    question, sites = question_of(request), [site_of(pool, request) for pool in inventory.pools]
    for crossing, shorten in attempts(request):
        tried = [Tried(site, question, most_pods(site), shorten) for site in sites]
        options = [option for each in tried for option in _options(request, each, crossing)]
        if options:
            return tuple(ranked(options, request, by_total=demand_of(request).by_budget))
    return ()


def attempts(request: PlanRequest) -> Iterator[tuple[bool, bool]]:
    """(tensor groups may cross islands, the context may be shortened), in the order in which they are tried."""
    crossings = {
        CrossIslands.NEVER: (False,),
        CrossIslands.WHEN_NOTHING_ELSE_FITS: (False, True),
        CrossIslands.FREELY: (True,),
    }[request.cross_islands]
    for crossing in crossings:
        yield crossing, False
        if request.context_length is None:
            yield crossing, True


def _options(request: PlanRequest, each: Tried, crossing: bool) -> Iterator[Option]:
    """Cuts that fit the site's memory and its free GPUs."""
    demand, site = demand_of(request), each.site
    bounded = demand.gpus is not None or bool(request.quotas)
    for fit in each.fits:
        if fit.crosses_island and not crossing:
            continue
        room = site.room_for(fit.room_key)
        if bounded:
            room = min(room, demand.affordable(fit.layout), site.quota(request, fit.layout))
        if site.pool.expected and demand.by_budget:
            room = min(room, 1)
        wanted = demand.wanted(fit.layout, fit.memory, room)
        if room or wanted == 0:
            placed = min(room, wanted)
            short = (wanted - placed) * 1000 // max(1, wanted)
            yield Option(site.pool, site.nodes, fit, room, wanted, placed, short)


def _planned(request: PlanRequest, options: Sequence[Option], tried: Sequence[Tried], crossing: bool) -> Plan:
    demand = demand_of(request)
    best, *_ = placed_on = tuple(_placements(request, ranked(options, request, by_total=demand.by_budget), demand))
    placements = tuple(_placement(option, placed) for option, placed in placed_on)
    option, model = best[0], request.model
    standby = _standby(options, placed_on, placements)
    losses = (*losses_of(request, tried, crossing), *_slower(request, options, option, (*placements, *standby)))
    stated = (*option.pool.assumptions, *option.fit.memory.assumptions, *model.assumptions)
    return Plan(
        placements=(*placements, *standby),
        rejected=nearest_first(losses),
        assumptions=tuple(dict.fromkeys((*stated, *explain.assumptions(option), *explain.awaited(placements)))),
        context_length=option.fit.memory.context_length,
        derived_replicas=option.wanted if len(placements) == 1 else max(option.wanted, _placed(placements)),
    )


def _placements(request: PlanRequest, order: Iterator[Option], demand: Demand) -> Iterator[tuple[Option, int]]:
    """Place on the best option; what does not fit there goes to the next best on other pools."""
    best = None
    used: set[str] = set()
    for option in order:
        best = best or option
        fit = option.fit
        alike = request.allow_mixed_products or option.pool.product.name == best.pool.product.name
        if option.pool.name in used or not alike or fit.memory.context_length != best.fit.memory.context_length:
            continue
        wanted = demand.wanted(fit.layout, fit.memory, option.capacity)
        placed = min(wanted, option.capacity, demand.affordable(fit.layout))
        if used and (placed <= 0 or (demand.by_budget and option.pool.expected)):
            continue
        yield option, placed
        used.add(option.pool.name)
        demand = demand.after(fit.layout, fit.memory, placed)
        if demand.is_met:
            return


def _standby(
    options: Sequence[Option], placed_on: Sequence[tuple[Option, int]], placements: Sequence[Placement]
) -> tuple[Placement, ...]:
    """The same layout on nodes of the same kind that do not exist yet: where the next replicas go if they must."""
    best, taken = placed_on[0][0], {placement.pool for placement in placements}
    return tuple(
        replace(_placement(option, 0), replicas=0)
        for option in options
        if option.pool.expected
        and option.pool.name not in taken
        and option.pool.product.name == best.pool.product.name
        and option.fit.layout == best.fit.layout
        and option.fit.memory.context_length == best.fit.memory.context_length
    )


def _placement(option: Option, placed: int) -> Placement:
    pool = option.pool
    return Placement(
        pool=pool.name,
        product=pool.product.name,
        vendor=pool.product.vendor,
        gpu_resource=pool.gpu_resource,
        layout=option.fit.layout,
        replicas=placed,
        max_replicas=option.capacity,
        memory=option.fit.memory,
        replica_nodes=assign(option.nodes, option.fit.layout, placed),
        pool_selector=pool.selector,
        pool_nodes=() if pool.selector else tuple(node.name for node in pool.nodes),
        host=pool.host,
        claim=_claim(option),
        compute_domain=pool.compute_domain and option.fit.layout.nodes_per_replica > 1,
        expected=pool.expected,
    )


def _claim(option: Option) -> ClaimAsk | None:
    """How pods claim their GPUs; those of a tensor group from one island, where the layout keeps to islands."""
    ask, layout = option.pool.claim, option.fit.layout
    within = 1 < layout.tensor <= layout.gpus_per_pod and not option.fit.crosses_island
    return ask if ask is None or within else replace(ask, same="")


def _slower(
    request: PlanRequest, options: Sequence[Option], best: Option, placements: Sequence[Placement]
) -> Iterator[Loss]:
    """What fits and still lost, with the figure by which it lost."""
    chosen = {(p.pool, p.layout) for p in placements}
    figure, unit = _FIGURES[request.priority]
    need, pools = figure(best), {p.pool for p in placements}
    for option in options:
        name, fit = option.pool.name, option.fit
        if name not in pools or (name, fit.layout) not in chosen:
            yield loss(name, fit.text, Reason.SLOWER, need, figure(option), unit)


_FIGURES: dict[Priority, tuple[Callable[[Option], int], str]] = {
    Priority.LATENCY: (lambda option: option.fit.cost.decode_step_microseconds, "microseconds per token"),
    Priority.COST: (lambda option: option.gpus, "GPUs"),
    Priority.THROUGHPUT: (lambda option: option.fit.milli_tokens_per_gpu // 1000, "tokens/s per GPU"),
}
"""By what an option of each priority wins or loses."""


def _placed(placements: Sequence[Placement]) -> int:
    return sum(p.replicas for p in placements)
