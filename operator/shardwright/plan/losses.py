"""Every refusal of a plan, nearest first: of pools, of their cuts, of cuts that cannot be placed, and of slower ones.

Plans for many pools list thousands, most of them the same as in the plan before: what does not change is kept with its
sort key. Writes no sentence and judges nothing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter

from shardwright.api.reasons import Reason
from shardwright.inventory import Pool
from shardwright.plan.site import EVERY_LAYOUT, Tried
from shardwright.plan.types import PlanRequest, Rejection
from shardwright.plan.verdicts import Fit, verdicts

Key = tuple[int, int, int, str, str, str]
Loss = tuple[Key, Rejection]
"""A refusal with its place in the order."""

_OF_THE_GPU = frozenset({Reason.ENGINE_DOES_NOT_SUPPORT_VENDOR, Reason.DTYPE_NEEDS_NEWER_GPU})
"""Refusals that no other layout on the same GPUs would escape: said once."""
_ROOM = frozenset(
    {
        Reason.WEIGHTS_DO_NOT_FIT, Reason.KV_CACHE_TOO_SMALL, Reason.CONTEXT_TOO_LONG, Reason.NOT_ENOUGH_FREE_GPUS,
        Reason.QUOTA_EXCEEDED, Reason.OVER_GPU_LIMIT, Reason.CROSSES_ISLAND, Reason.STATE_SLOTS_TOO_FEW,
    }
)  # fmt: skip
"""Refusals that more or other hardware would lift: what a reader asks about first."""


def nearest_first(losses: Iterable[Loss]) -> tuple[Rejection, ...]:
    """What lacked room first, by the part that it misses; then what fits and is slower; then what can never be.

    Among the last, layouts that fail one rule come before those that fail many.
    """
    return tuple(rejection for _, rejection in sorted(losses, key=itemgetter(0)))


@lru_cache(maxsize=32768)
def loss(
    pool: str, layout: str, reason: Reason, need: int, have: int, unit: str, failed: int = 0
) -> Loss:  # a rejection's fields
    """One refusal. `failed`: how many rules the layout fails, where none of them is for lack of room."""
    rank = 0 if reason in _ROOM else 1 if reason is Reason.SLOWER else 2
    missing = abs(need - have) * 1000 // max(1, have)
    key = (rank, failed if rank == 2 else 0, missing, pool, layout, str(reason))
    return key, Rejection(pool, layout, reason, need, have, unit)


def losses_of(request: PlanRequest, tried: Sequence[Tried], crossing: bool) -> Iterator[Loss]:
    """Every refusal of every pool: of the pool itself, of its cuts, and of cuts that fit but cannot be placed."""
    for each in tried:
        pool = each.site.pool.name
        if each.site.refused:
            yield from _counted(each.site.refused)
            continue
        yield from _of_cuts(pool, each.question, each.site.kind, each.most_pods, each.shorten)
        bounded = bool(request.max_gpus is not None or request.quotas)
        for fit in each.fits:
            if bounded or (fit.crosses_island and not crossing) or not each.site.room_for(fit.room_key):
                yield from _unplaceable(request, each, fit, crossing)


@lru_cache(maxsize=1024)
def _of_cuts(name: str, question: PlanRequest, kind: Pool, most_pods: int, shorten: bool) -> tuple[Loss, ...]:
    found: dict[tuple[str, Reason], Rejection] = {}
    for verdict in verdicts(question, kind, most_pods, shorten):
        for r in verdict.rejections:
            layout = EVERY_LAYOUT if r.reason in _OF_THE_GPU else r.layout
            found.setdefault((layout, r.reason), Rejection(name, layout, r.reason, r.need, r.have, r.unit))
    return tuple(sorted(_counted(found.values()), key=itemgetter(0)))


def _counted(rejections: Iterable[Rejection]) -> Iterator[Loss]:
    """Refusals of one pool with the number of rules that each layout fails."""
    found = tuple(rejections)
    failures = Counter(r.layout for r in found if r.reason not in _ROOM)
    for r in found:
        yield loss(r.pool, r.layout, r.reason, r.need, r.have, r.unit, failures[r.layout])


def _unplaceable(request: PlanRequest, each: Tried, fit: Fit, crossing: bool) -> Iterator[Loss]:
    """Why a cut that fits in memory cannot be placed."""
    site, layout, gpus = each.site, fit.layout, fit.gpus
    name = site.pool.name
    if fit.crosses_island and not crossing:
        largest = max((len(island) for island in site.pool.islands), default=layout.tensor - 1)
        have = min(largest, layout.gpus_per_pod, layout.tensor - 1)
        yield loss(name, fit.text, Reason.CROSSES_ISLAND, layout.tensor, have, "GPUs of one island")
    if request.max_gpus is not None and gpus > request.max_gpus:
        yield loss(name, fit.text, Reason.OVER_GPU_LIMIT, gpus, request.max_gpus, "GPUs")
    for quota, need in site.quota_needs(request, layout):
        if need > quota.left:
            what = f"{quota.resource} of ResourceQuota {quota.quota}"
            yield loss(name, fit.text, Reason.QUOTA_EXCEEDED, need, max(0, quota.left), what)
    if site.room_for(fit.room_key) == 0:
        yield loss(name, fit.text, Reason.NOT_ENOUGH_FREE_GPUS, gpus, min(site.free_gpus, gpus - 1), "free GPUs")
