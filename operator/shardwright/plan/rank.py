"""Which of the layouts that fit is best for what the user asked. One sort key of integers per priority, nothing else.

Every key ends in the layout and the pool's name, so that no two options are ever equal and order never depends on
input.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    short_of_pool: int = 0
    """Per mille of the wanted that another layout would place on the same pool and this one does not."""

    @property
    def short(self) -> int:
        """Per mille of the wanted that do not fit here."""
        return (self.wanted - self.placed) * 1000 // max(1, self.wanted)

    @property
    def gpus(self) -> int:
        """GPUs of all wanted replicas, at least one."""
        return self.layout.gpus_per_replica * max(1, self.wanted)


Key = tuple[object, ...]


def ranked(options: Sequence[Option], request: PlanRequest, *, by_total: bool) -> list[Option]:
    """Best first. `by_total`: replicas follow from a GPU budget, so what all of them serve together counts."""
    options = _beside_pool_mates(options)
    if request.priority is Priority.LATENCY:
        return _by_latency(options, request)
    if request.priority is Priority.COST:
        return sorted(
            options, key=lambda o: (*_common(o, request), *_price(o, request), *_speed(o, by_total), *_tie(o))
        )
    return sorted(options, key=lambda o: (*_common(o, request), *_speed(o, by_total), *_tie(o)))


def _beside_pool_mates(options: Sequence[Option]) -> list[Option]:
    """Say of each option how far it stays behind the layout that places most on its own pool."""
    least: dict[str, int] = {}
    for option in options:
        least[option.pool.name] = min(option.short, least.get(option.pool.name, option.short))
    return [replace(o, short_of_pool=o.short - least[o.pool.name]) if o.short else o for o in options]


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
    """What counts before any objective: all replicas placed, the context asked for, the user's order of products.

    Where replicas may go to unlike GPUs, what does not fit on the first kind goes to the next, so a kind that holds
    only some of them loses nothing by that.
    """
    short = 0 if request.allow_mixed_products else option.short
    return (option.short_of_pool, short, -option.memory.context_length, _preference(option.pool, request.gpu_products))


def _preference(pool: Pool, wanted: Sequence[str]) -> int:
    if not wanted:
        return 0
    names = {pool.product.name.casefold(), *(label.casefold() for label in pool.product.labels)}
    return next((index for index, name in enumerate(wanted) if name.casefold() in names), len(wanted))


def _speed(option: Option, by_total: bool) -> Key:
    """Output tokens a second: of all replicas where a budget is filled, else per GPU."""
    cost = option.cost
    figure = cost.milli_tokens_per_second * max(1, option.placed) if by_total else per_gpu(option)
    return (not cost.meets_target, -figure)


def per_gpu(option: Option) -> int:
    """Thousandths of tokens a second per GPU; GPUs that pods of this size leave over on a full node count as used.

    Pods of 3 on nodes of 8 strand two GPUs for every six: nobody else can use a remainder well.
    """
    node, pod = option.pool.gpus_per_node, option.layout.gpus_per_pod
    usable = node // pod * pod
    return option.cost.milli_tokens_per_second * usable // (option.layout.gpus_per_replica * node)


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
