"""A pool as one request sees it: which of its nodes may be used, what is free there, and why the rest is out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from shardwright.api.reasons import Reason
from shardwright.inventory import Pool, PoolNode
from shardwright.plan.enumerate import MOST_PODS_PER_REPLICA
from shardwright.plan.room import Domains, Eligibility, capacity, domains
from shardwright.plan.types import Layout, PlanRequest, Rejection, Verdict
from shardwright.plan.verdicts import kind_of

EVERY_LAYOUT = "every layout"
_OF_THE_GPU = frozenset({Reason.ENGINE_DOES_NOT_SUPPORT_VENDOR, Reason.DTYPE_NEEDS_NEWER_GPU})
"""Refusals that no other layout on the same GPUs would escape: said once."""


@dataclass(frozen=True, slots=True)
class Site:
    """One pool with the nodes that this request may use there."""

    pool: Pool
    kind: Pool
    nodes: tuple[PoolNode, ...]
    free: Domains
    refused: tuple[Rejection, ...]
    """Why the whole pool is out; empty = it may be used."""
    _rooms: dict[tuple[int, int], int] = field(default_factory=dict, compare=False, repr=False)
    """Kept answers of `room`: thousands of cuts share a few (pods, GPUs per pod)."""

    def room(self, layout: Layout) -> int:
        """Replicas of the layout that the free GPUs hold."""
        key = (layout.nodes_per_replica, layout.gpus_per_pod)
        known = self._rooms.get(key)
        if known is None:
            known = self._rooms[key] = capacity(self.free, layout)
        return known

    @property
    def free_gpus(self) -> int:
        """Free GPUs of the usable nodes."""
        return sum(gpus * count for counts in self.free.values() for gpus, count in counts.items())

    def quota(self, request: PlanRequest, layout: Layout) -> int:
        """Replicas that a ResourceQuota leaves room for."""
        if not request.quota_gpus:
            return 1 << 30
        left = dict(request.quota_gpus).get(self.pool.gpu_resource)
        return 1 << 30 if left is None else max(0, left) // layout.gpus_per_replica


@dataclass(frozen=True, slots=True)
class Tried:
    """A site with the verdicts on its cuts."""

    site: Site
    verdicts: tuple[Verdict, ...]


def site_of(pool: Pool, request: PlanRequest) -> Site:
    """Look at the pool with the request's eyes."""
    who = Eligibility(request.node_selector, request.tolerations)
    nodes = who.nodes(pool)
    return Site(pool, kind_of(pool), nodes, domains(nodes), tuple(_refused(pool, nodes, who, request)))


def _products_asked_for(request: PlanRequest) -> str:
    """The GPU products that were asked for, the first few of them."""
    names = request.gpu_products
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")


def most_pods(site: Site) -> int:
    """Pods that one replica could have there, were everything free: the nodes of the largest fabric domain."""
    sizes: dict[str, int] = {}
    for node in site.nodes:
        sizes[node.fabric_domain or ""] = sizes.get(node.fabric_domain or "", 0) + 1
    return min(MOST_PODS_PER_REPLICA, max(sizes.values(), default=0))


def _refused(pool: Pool, nodes: Sequence[PoolNode], who: Eligibility, request: PlanRequest) -> Iterator[Rejection]:
    wanted = {name.casefold() for name in request.gpu_products}
    if wanted and not wanted & {pool.product.name.casefold(), *(label.casefold() for label in pool.product.labels)}:
        yield Rejection(pool.name, EVERY_LAYOUT, Reason.PRODUCT_NOT_WANTED, 1, 0, _products_asked_for(request))
    if nodes:
        return
    selected = [node for node in pool.nodes if who.selects(node)]
    if pool.nodes and not selected:
        yield Rejection(pool.name, EVERY_LAYOUT, Reason.NODE_SELECTOR_MISMATCH, 1, 0, "nodes")
    elif selected:
        yield Rejection(pool.name, EVERY_LAYOUT, Reason.TAINT_NOT_TOLERATED, 1, 0, "nodes")


def refusals_of(request: PlanRequest, tried: Sequence[Tried], crossing: bool) -> list[Rejection]:
    """Every refusal of every pool: of the pool itself, of its cuts, and of cuts that fit but cannot be placed."""
    found: list[Rejection] = []
    for each in tried:
        name = each.site.pool.name
        found += each.site.refused
        seen: set[tuple[str, Reason]] = set()
        for verdict in each.verdicts:
            for r in verdict.rejections:
                layout = EVERY_LAYOUT if r.reason in _OF_THE_GPU else r.layout
                if (layout, r.reason) not in seen:
                    seen.add((layout, r.reason))
                    found.append(Rejection(name, layout, r.reason, r.need, r.have, r.unit))
            if not verdict.rejections:
                found += _unplaceable(request, each.site, verdict, crossing)
    return found


def _unplaceable(request: PlanRequest, site: Site, verdict: Verdict, crossing: bool) -> Iterator[Rejection]:
    """Why a cut that fits in memory cannot be placed."""
    layout, name = verdict.layout, site.pool.name
    gpus = layout.gpus_per_replica
    if verdict.crosses_island and not crossing:
        largest = max((len(island) for island in site.pool.islands), default=layout.tensor - 1)
        have = min(largest, layout.gpus_per_pod)
        unit = "GPUs of one island"
        yield Rejection(name, layout.text, Reason.CROSSES_ISLAND, layout.tensor, min(have, layout.tensor - 1), unit)
    if request.max_gpus is not None and gpus > request.max_gpus:
        yield Rejection(name, layout.text, Reason.OVER_GPU_LIMIT, gpus, request.max_gpus, "GPUs")
    if request.quota_gpus and site.quota(request, layout) == 0:
        left = dict(request.quota_gpus)[site.pool.gpu_resource]
        yield Rejection(name, layout.text, Reason.QUOTA_EXCEEDED, gpus, left, "GPUs of the quota")
    if site.room(layout) == 0:
        have = min(site.free_gpus, gpus - 1)
        yield Rejection(name, layout.text, Reason.NOT_ENOUGH_FREE_GPUS, gpus, have, "free GPUs")
