"""Whether another layout would serve a running deployment better now, by the request's own objective, and by how much.

Compares two plans line by line as `rank` does: replicas placed, context, order of products, then the objective. A
difference below the margin counts as none, so that the answer does not change with every pod that comes and goes.
Must never know a cluster, nor what is done with the answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from shardwright.api.spec import Priority
from shardwright.inventory import Inventory
from shardwright.plan import explain
from shardwright.plan.demand import demand_of
from shardwright.plan.rank import LATENCY_TOLERANCE_PERCENT, UNKNOWN_PRICE, preference
from shardwright.plan.site import site_of
from shardwright.plan.types import Plan, PlanRequest
from shardwright.plan.validity import pool_of, still_valid
from shardwright.plan.verdicts import fit_of, kind_of, question_of, verdict_on

MARGIN_PERCENT = 10
"""How much better a layout must be before it is worth naming: about what the cost model itself may be wrong by."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One figure of both plans. The first line on which they differ by the margin decides."""

    running: int
    best: int
    unit: str
    more_is_better: bool
    margin_percent: int = MARGIN_PERCENT

    @property
    def winner(self) -> int:
        """Whose figure is better by the margin: 1 = the best plan's, -1 = the running one's, 0 = neither's."""
        low, high = sorted((self.running, self.best))
        if high * 100 <= low * (100 + self.margin_percent):
            return 0
        return 1 if (self.best == high) is self.more_is_better else -1


@dataclass(frozen=True, slots=True)
class _Figures:
    """What a plan comes to, all of its placements together."""

    placed: int
    gpus: int
    price: int
    """Of all GPUs, in millionths an hour; `UNKNOWN_PRICE` where a product has none."""
    preference: int
    """Position of its least wanted product in the user's order."""
    step_microseconds: int
    milli_tokens: int
    milli_tokens_per_gpu: int
    meets_target: bool


def better(running: Plan, best: Plan, request: PlanRequest, inventory: Inventory) -> str:
    """One sentence that names the better layout and by how much it is better; empty where none is worth a change.

    `best` is `choose(request, inventory)`. `inventory` must count the GPUs that the deployment itself holds, or was
    promised, as free: otherwise a fleet that is full of it would never know anything better. Both plans are priced on
    it by the same cost model. A running layout that is no longer valid (pins, lost nodes, memory) loses to any other,
    whatever the figures; a best plan without placements is never better.
    """
    if not best.placements or _cuts(best) == _cuts(running):
        return ""
    broken = still_valid(running, request, inventory)
    if broken:
        return explain.instead_of_broken(best, broken)
    have, could = _figures(running, request, inventory), _figures(best, request, inventory)
    if have is None or could is None:
        return ""
    for line in _lines(running, best, have, could, request):
        if line.winner:
            return explain.better_by(running, best, line.running, line.best, line.unit) if line.winner > 0 else ""
    return ""


def _cuts(plan: Plan) -> frozenset[tuple[str, object]]:
    """What is cut how, apart from where it lies and how often."""
    return frozenset((placement.product, placement.layout) for placement in plan.placements)


def _lines(running: Plan, best: Plan, have: _Figures, could: _Figures, request: PlanRequest) -> Iterator[_Line]:
    """In the order of the ranking."""
    if not demand_of(request).by_budget and request.concurrency is None:
        yield _Line(have.placed, could.placed, "replicas placed", more_is_better=True, margin_percent=0)
    if request.context_length is None:
        yield _Line(running.context_length, best.context_length, "tokens of context", more_is_better=True)
    liked = (have.preference + 1, could.preference + 1)
    yield _Line(*liked, "in your order of GPU products", more_is_better=False, margin_percent=0)
    if request.priority is Priority.LATENCY:
        steps = (have.step_microseconds, could.step_microseconds)
        near = LATENCY_TOLERANCE_PERCENT - 100
        yield _Line(*steps, "microseconds per token", more_is_better=False, margin_percent=near)
        yield _Line(have.gpus, could.gpus, "GPUs", more_is_better=False)
        return
    if request.priority is Priority.COST and UNKNOWN_PRICE not in (have.price, could.price):
        yield _Line(have.price, could.price, "millionths an hour", more_is_better=False)
    elif request.priority is Priority.COST:
        yield _Line(have.gpus, could.gpus, "GPUs", more_is_better=False)
    meets = (int(have.meets_target), int(could.meets_target))
    yield _Line(*meets, "within the target time per token", more_is_better=True, margin_percent=0)
    if demand_of(request).by_budget:
        yield _Line(have.milli_tokens // 1000, could.milli_tokens // 1000, "tokens/s", more_is_better=True)
    else:
        per_gpu = (have.milli_tokens_per_gpu // 1000, could.milli_tokens_per_gpu // 1000)
        yield _Line(*per_gpu, "tokens/s per GPU", more_is_better=True)


def _figures(plan: Plan, request: PlanRequest, inventory: Inventory) -> _Figures | None:
    """Price every placement on its pool as that pool is; None where a pool or a forecast is missing."""
    demand, question, parts = demand_of(request), question_of(request), []
    prices = {name.casefold(): price for name, price in request.gpu_prices_micro}
    for placement in plan.placements:
        pool = pool_of(placement, inventory)
        if pool is None:
            return None
        verdict = verdict_on(question, kind_of(pool), placement.layout, request.context_length is None)
        if verdict.rejections or not verdict.memory or not verdict.cost:
            return None
        fit = fit_of(kind_of(pool), verdict, verdict.memory, verdict.cost)
        site, layout = site_of(pool, request), placement.layout
        room = min(site.room(layout), demand.affordable(layout), site.quota(request, layout))
        placed = placement.replicas
        wanted = placed
        if len(plan.placements) == 1:
            wanted = max(1, demand.wanted(layout, fit.memory, room))
            placed = min(room, wanted)
        price = prices.get(pool.product.name.casefold(), UNKNOWN_PRICE)
        gpus = fit.gpus * max(1, wanted)
        parts.append(
            _Figures(
                placed, gpus, min(UNKNOWN_PRICE, gpus * price), preference(pool, request.gpu_products),
                fit.cost.decode_step_microseconds, fit.cost.milli_tokens_per_second * max(1, placed),
                fit.milli_tokens_per_gpu * gpus, fit.cost.meets_target,
            )
        )  # fmt: skip
    return _together(parts) if parts else None


def _together(parts: list[_Figures]) -> _Figures:
    """Sums, the slowest step and the least wanted product; speed per GPU is the mean over all GPUs."""
    gpus = sum(part.gpus for part in parts)
    return _Figures(
        placed=sum(part.placed for part in parts),
        gpus=gpus,
        price=min(UNKNOWN_PRICE, sum(part.price for part in parts)),
        preference=max(part.preference for part in parts),
        step_microseconds=max(part.step_microseconds for part in parts),
        milli_tokens=sum(part.milli_tokens for part in parts),
        milli_tokens_per_gpu=sum(part.milli_tokens_per_gpu for part in parts) // max(1, gpus),
        meets_target=all(part.meets_target for part in parts),
    )
