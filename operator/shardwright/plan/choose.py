"""From a request and an inventory to a plan: every pool, every cut, all checks, one ranking. Pure and deterministic.

Tried in order until something can be placed: the whole context inside islands, a shorter context inside islands (only
if the user named none), then both again with tensor groups across islands (unless the user forbids that).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from shardwright.api.reasons import Reason
from shardwright.api.spec import CrossIslands, Priority
from shardwright.inventory import Inventory
from shardwright.plan import explain
from shardwright.plan.demand import Demand, demand_of
from shardwright.plan.rank import Option, per_gpu, ranked
from shardwright.plan.room import assign, natural
from shardwright.plan.site import Site, Tried, most_pods, refusals_of, site_of
from shardwright.plan.types import Placement, Plan, PlanRequest, Rejection, Verdict
from shardwright.plan.verdicts import question_of, verdicts


def choose(request: PlanRequest, inventory: Inventory) -> Plan:
    """Plan the request on what the inventory has; an answer without placements says why and what would help."""
    sites = [site_of(pool, request) for pool in sorted(inventory.pools, key=lambda p: natural(p.name))]
    skipped = tuple(
        sorted((n.name, f"{n.reason}: {n.message}") for n in inventory.skipped if n.reason is not Reason.NO_GPU)
    )
    tried: list[Tried] = []
    for crossing, shorten in attempts(request):
        tried = [Tried(site, judge(request, site, shorten=shorten)) for site in sites]
        options = [option for each in tried for option in _options(request, each, crossing)]
        if options:
            plan = _planned(request, options, tried, crossing)
            return replace(plan, skipped_nodes=skipped, why=explain.why(plan, request))
    plan = Plan((), _nearest_first(refusals_of(request, tried, crossing)), skipped_nodes=skipped)
    waits = any(not v.rejections for each in tried if not each.site.refused for v in each.verdicts)
    plan = replace(plan, reason=Reason.WAITING_FOR_GPUS if waits else Reason.NO_LAYOUT)
    return replace(plan, why=explain.why(plan, request), nearest=explain.nearest(request, sites))


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


def judge(request: PlanRequest, site: Site, *, shorten: bool = False) -> tuple[Verdict, ...]:
    """Judge every cut that the site's nodes could hold, were they free."""
    if site.refused:
        return ()
    return verdicts(question_of(request), site.kind, most_pods(site), shorten)


def _options(request: PlanRequest, each: Tried, crossing: bool) -> Iterator[Option]:
    """Cuts that fit the site's memory and its free GPUs."""
    demand, site = demand_of(request), each.site
    for verdict in each.verdicts:
        memory, cost, layout = verdict.memory, verdict.cost, verdict.layout
        if verdict.rejections or memory is None or cost is None or (verdict.crosses_island and not crossing):
            continue
        room = min(site.room(layout), demand.affordable(layout), site.quota(request, layout))
        wanted = demand.wanted(layout, memory, room)
        if room or wanted == 0:
            placed = min(room, wanted)
            yield Option(site.pool, site.nodes, layout, memory, cost, room, wanted, placed, verdict.crosses_island)


def _planned(request: PlanRequest, options: Sequence[Option], tried: Sequence[Tried], crossing: bool) -> Plan:
    demand = demand_of(request)
    order = ranked(options, request, by_total=demand.by_budget)
    placements = tuple(_placements(request, order, demand))
    rejected = (*refusals_of(request, tried, crossing), *_slower(request, order, placements))
    assumptions = [
        a for o in order[:1] for a in (*o.pool.assumptions, *o.memory.assumptions, *request.model.assumptions)
    ]
    return Plan(
        placements=placements,
        rejected=_nearest_first(rejected),
        assumptions=tuple(dict.fromkeys((*assumptions, *explain.assumptions(order[0])))),
        context_length=order[0].memory.context_length,
        derived_replicas=order[0].wanted if len(placements) == 1 else max(order[0].wanted, _placed(placements)),
    )


def _placements(request: PlanRequest, order: Sequence[Option], demand: Demand) -> Iterator[Placement]:
    """Place on the best option; what does not fit there goes to the next best on other pools."""
    used: set[str] = set()
    for option in order:
        alike = request.allow_mixed_products or option.pool.product.name == order[0].pool.product.name
        if option.pool.name in used or not alike or option.memory.context_length != order[0].memory.context_length:
            continue
        wanted = demand.wanted(option.layout, option.memory, option.capacity)
        placed = min(wanted, option.capacity, demand.affordable(option.layout))
        if used and placed <= 0:
            continue
        yield _placement(option, placed)
        used.add(option.pool.name)
        demand = demand.after(option.layout, option.memory, placed)
        if demand.is_met:
            return


def _placement(option: Option, placed: int) -> Placement:
    pool = option.pool
    return Placement(
        pool=pool.name,
        product=pool.product.name,
        vendor=pool.product.vendor,
        gpu_resource=pool.gpu_resource,
        layout=option.layout,
        replicas=placed,
        max_replicas=option.capacity,
        memory=option.memory,
        replica_nodes=assign(option.nodes, option.layout, placed),
        pool_selector=pool.selector,
        pool_nodes=() if pool.selector else tuple(node.name for node in pool.nodes),
    )


def _slower(request: PlanRequest, order: Sequence[Option], placements: Sequence[Placement]) -> Iterator[Rejection]:
    """What fits and still lost, with the figure by which it lost."""
    chosen = {(p.pool, p.layout) for p in placements}
    for option in order[1:]:
        if (option.pool.name, option.layout) not in chosen:
            need, have, unit = _lost_by(request.priority, order[0], option)
            yield Rejection(option.pool.name, option.layout.text, Reason.SLOWER, need, have, unit)


def _lost_by(priority: Priority, best: Option, option: Option) -> tuple[int, int, str]:
    """(the winner's figure, this one's, unit)."""
    if priority is Priority.LATENCY:
        return best.cost.decode_step_microseconds, option.cost.decode_step_microseconds, "microseconds per token"
    if priority is Priority.COST:
        return best.gpus, option.gpus, "GPUs"
    return per_gpu(best) // 1000, per_gpu(option) // 1000, "tokens/s per GPU"


def _placed(placements: Sequence[Placement]) -> int:
    return sum(p.replicas for p in placements)


_ROOM = frozenset(
    {
        Reason.WEIGHTS_DO_NOT_FIT, Reason.KV_CACHE_TOO_SMALL, Reason.CONTEXT_TOO_LONG, Reason.NOT_ENOUGH_FREE_GPUS,
        Reason.QUOTA_EXCEEDED, Reason.OVER_GPU_LIMIT, Reason.CROSSES_ISLAND, Reason.STATE_SLOTS_TOO_FEW,
    }
)  # fmt: skip
"""Refusals that more or other hardware would lift: what a reader asks about first."""


def _nearest_first(rejections: Iterable[Rejection]) -> tuple[Rejection, ...]:
    """What lacked room first, by the part that it misses; then what fits and is slower; then what can never be.

    Among the last, layouts that fail one rule come before those that fail many.
    """
    found = tuple(rejections)
    hopeless = [r for r in found if r.reason not in _ROOM and r.reason is not Reason.SLOWER]
    failures = Counter((rejection.pool, rejection.layout) for rejection in hopeless)

    def key(rejection: Rejection) -> tuple[object, ...]:
        reason = rejection.reason
        rank = 0 if reason in _ROOM else 1 if reason is Reason.SLOWER else 2
        failed = failures[rejection.pool, rejection.layout] if rank == 2 else 0
        missing = abs(rejection.need - rejection.have) * 1000 // max(1, rejection.have)
        return (rank, failed, missing, rejection.pool, rejection.layout, reason)

    return tuple(sorted(found, key=key))
