"""Which of the layouts that fit is best for what the user asked. One sort key of integers per priority, nothing else.

Every key ends in the layout and the pool's name, so that no two options are ever equal and order never depends on
input.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shardwright.api.spec import Priority
from shardwright.inventory import Pool, PoolNode
from shardwright.plan.room import natural
from shardwright.plan.types import Cost, Layout, MemoryForecast, PlanRequest

LATENCY_TOLERANCE_PERCENT = 110
"""Layouts within this of the least time per token count as equally fast, and the fewest GPUs win."""
UNKNOWN_PRICE = 1 << 62


@dataclass(frozen=True, slots=True)
class Option:
    """A layout that fits on a pool, with what it would come to there."""

    pool: Pool
    nodes: tuple[PoolNode, ...]
    """Those the request may use."""
    layout: Layout
    memory: MemoryForecast
    cost: Cost
    capacity: int
    """Replicas that the free GPUs hold."""
    wanted: int
    placed: int
    """Of the wanted, how many fit here alone."""
    crosses_island: bool = False

    @property
    def gpus(self) -> int:
        """GPUs of all wanted replicas, at least one."""
        return self.layout.gpus_per_replica * max(1, self.wanted)


Key = tuple[object, ...]


def ranked(options: Sequence[Option], request: PlanRequest, *, by_total: bool) -> list[Option]:
    """Best first. `by_total`: replicas follow from a GPU budget, so what all of them serve together counts."""
    if request.priority is Priority.LATENCY:
        return _by_latency(options, request)
    if request.priority is Priority.COST:
        return sorted(
            options, key=lambda o: (*_common(o, request), *_price(o, request), *_speed(o, by_total), *_tie(o))
        )
    return sorted(options, key=lambda o: (*_common(o, request), *_speed(o, by_total), *_tie(o)))


def _by_latency(options: Sequence[Option], request: PlanRequest) -> list[Option]:
    """Least time per token; within the tolerance of the best of its class the fewest GPUs win."""
    least: dict[Key, int] = {}
    for option in options:
        common = _common(option, request)
        step = option.cost.decode_step_microseconds
        least[common] = min(step, least.get(common, step))

    def key(option: Option) -> Key:
        common, step = _common(option, request), option.cost.decode_step_microseconds
        near = step * 100 <= least[common] * LATENCY_TOLERANCE_PERCENT
        return (*common, not near, option.layout.gpus_per_replica if near else 0, step, *_tie(option))

    return sorted(options, key=key)


def _common(option: Option, request: PlanRequest) -> Key:
    """What counts before any objective: all replicas placed, the context asked for, the user's order of products."""
    short = (option.wanted - option.placed) * 1000 // max(1, option.wanted)
    return (short, -option.memory.context_length, _preference(option.pool.product.name, request.gpu_products))


def _preference(product: str, wanted: Sequence[str]) -> int:
    folded = [name.casefold() for name in wanted]
    return folded.index(product.casefold()) if product.casefold() in folded else len(folded)


def _speed(option: Option, by_total: bool) -> Key:
    """Output tokens a second: of all replicas where a budget is filled, else per GPU."""
    cost, gpus = option.cost, option.layout.gpus_per_replica
    figure = cost.milli_tokens_per_second * max(1, option.placed) if by_total else cost.milli_tokens_per_second // gpus
    return (not cost.meets_target, -figure)


def _price(option: Option, request: PlanRequest) -> Key:
    """Price of all wanted replicas where prices are given (unknown ones last), else their GPUs."""
    if not request.gpu_prices_micro:
        return (option.gpus,)
    prices = {name.casefold(): price for name, price in request.gpu_prices_micro}
    price = prices.get(option.pool.product.name.casefold())
    return (option.gpus * price if price is not None else UNKNOWN_PRICE, option.gpus)


def _tie(option: Option) -> Key:
    layout = option.layout
    return (
        layout.gpus_per_replica, layout.nodes_per_replica, layout.pipeline, layout.data, layout.expert, layout.tensor,
        natural(option.pool.name),
    )  # fmt: skip
