"""Which of the layouts that fit is best for what the user asked. One sort key of integers per priority, nothing else.

Every key ends in the layout and the pool's name, so that no two options are ever equal and order never depends on
input.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from shardwright.api.spec import Priority
from shardwright.inventory import Pool, PoolNode
from shardwright.plan.room import natural
from shardwright.plan.types import Layout, PlanRequest
from shardwright.plan.verdicts import Fit

LATENCY_TOLERANCE_PERCENT = 110
"""Layouts within this of the least time per token count as equally fast, and the fewest GPUs win."""
UNKNOWN_PRICE = 1 << 62


class Option(NamedTuple):
    """A layout that fits on a pool, with what it would come to there. One of thousands, so that it must be cheap."""

    pool: Pool
    nodes: tuple[PoolNode, ...]
    """Those the request may use."""
    fit: Fit
    capacity: int
    """Replicas that the free GPUs hold."""
    wanted: int
    placed: int
    """Of the wanted, how many fit here alone."""
    short: int
    """Per mille of the wanted that do not fit here."""
    short_of_pool: int = 0
    """Per mille of the wanted that another layout would place on the same pool and this one does not."""

    @property
    def gpus(self) -> int:
        """GPUs of all wanted replicas, at least one."""
        return self.fit.gpus * max(1, self.wanted)


Key = tuple[object, ...]


def ranked(options: Sequence[Option], request: PlanRequest, *, by_total: bool) -> Iterator[Option]:
    """Best first; the rest is put in order only for who asks further.

    `by_total`: replicas follow from a GPU budget, so what all of them serve together counts.
    """
    options = _beside_pool_mates(_with_nodes_to_come(options))
    key = _key(options, request, by_total)
    best = min(options, key=key, default=None)
    if best:
        yield best
        yield from (option for option in sorted(options, key=key) if option is not best)


def _key(options: Sequence[Option], request: PlanRequest, by_total: bool) -> Callable[[Option], Key]:
    """The sort key of the user's priority."""
    common = _common(options, request)
    if request.priority is Priority.LATENCY:
        return _by_latency(options, common)
    if request.priority is Priority.COST:
        return lambda o: (*common(o), *_price(o, request), *_speed(o, by_total), o.fit.tie, natural(o.pool.name))
    return lambda o: (*common(o), *_speed(o, by_total), o.fit.tie, natural(o.pool.name))


def _with_nodes_to_come(options: Sequence[Option]) -> Sequence[Option]:
    """What exists is short of nothing that nodes to come of the same kind could take over in the same layout."""
    more: Counter[tuple[str, Layout]] = Counter()
    for option in options:
        if option.pool.expected:
            more[option.pool.product.name, option.fit.layout] += option.capacity
    if not more:
        return options
    return [
        o._replace(short=max(0, o.wanted - o.placed - more[o.pool.product.name, o.fit.layout]) * 1000 // o.wanted)
        if o.short and not o.pool.expected
        else o
        for o in options
    ]


def _beside_pool_mates(options: Sequence[Option]) -> Sequence[Option]:
    """Say of each option how far it stays behind the layout that places most on its own pool."""
    if not any(option.short for option in options):
        return options
    least: dict[str, int] = {}
    for option in options:
        least[option.pool.name] = min(option.short, least.get(option.pool.name, option.short))
    return [o._replace(short_of_pool=o.short - least[o.pool.name]) if o.short else o for o in options]


def _by_latency(options: Sequence[Option], common: Callable[[Option], Key]) -> Callable[[Option], Key]:
    """Least time per token; within the tolerance of the best of its class the fewest GPUs win."""
    least: dict[Key, int] = {}
    for option in options:
        shared, step = common(option), option.fit.cost.decode_step_microseconds
        least[shared] = min(step, least.get(shared, step))

    def key(option: Option) -> Key:
        shared, step = common(option), option.fit.cost.decode_step_microseconds
        near = step * 100 <= least[shared] * LATENCY_TOLERANCE_PERCENT
        return (*shared, not near, option.fit.gpus if near else 0, step, option.fit.tie, natural(option.pool.name))

    return key


def _common(options: Sequence[Option], request: PlanRequest) -> Callable[[Option], Key]:
    """What counts before any objective: all replicas placed, the context, the user's products, nodes that exist.

    Where replicas may go to unlike GPUs, what does not fit on the first kind goes to the next, so a kind that holds
    only some of them loses nothing by that.
    """
    mixed = request.allow_mixed_products
    pools = {option.pool.name: option.pool for option in options}
    liked = {name: preference(pool, request.gpu_products) for name, pool in pools.items()}
    return lambda o: (
        o.short_of_pool, 0 if mixed else o.short, -o.fit.memory.context_length, liked[o.pool.name],
        bool(o.pool.expected),
    )  # fmt: skip


def preference(pool: Pool, wanted: Sequence[str]) -> int:
    """Position of the pool's product in the user's order; past the end where it is not named."""
    if not wanted:
        return 0
    names = {pool.product.name.casefold(), *(label.casefold() for label in pool.product.labels)}
    return next((index for index, name in enumerate(wanted) if name.casefold() in names), len(wanted))


def _speed(option: Option, by_total: bool) -> tuple[bool, int]:
    """Output tokens a second: of all replicas where a budget is filled, else per GPU."""
    fit = option.fit
    figure = fit.cost.milli_tokens_per_second * max(1, option.placed) if by_total else fit.milli_tokens_per_gpu
    return (not fit.cost.meets_target, -figure)


def _price(option: Option, request: PlanRequest) -> Key:
    """Price of all wanted replicas where prices are given (unknown ones last), else their GPUs."""
    if not request.gpu_prices_micro:
        return (option.gpus,)
    prices = {name.casefold(): price for name, price in request.gpu_prices_micro}
    price = prices.get(option.pool.product.name.casefold())
    return (option.gpus * price if price is not None else UNKNOWN_PRICE, option.gpus)
