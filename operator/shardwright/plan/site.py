"""A pool as one request sees it: which of its nodes may be used, what is free there, and why the rest is out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from shardwright.api.reasons import Reason
from shardwright.inventory import Pool, PoolNode
from shardwright.plan.enumerate import MOST_PODS_PER_REPLICA
from shardwright.plan.room import Domains, Eligibility, capacity, domains
from shardwright.plan.types import Layout, PlanRequest, QuotaRoom, Rejection
from shardwright.plan.verdicts import Fit, fits, kind_of

EVERY_LAYOUT = "every layout"


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
        return self.room_for((layout.nodes_per_replica, layout.gpus_per_pod))

    def room_for(self, key: tuple[int, int]) -> int:
        """Replicas of so many pods with so many GPUs each that the free GPUs hold."""
        known = self._rooms.get(key)
        if known is None:
            known = self._rooms[key] = capacity(self.free, *key)
        return known

    @property
    def free_gpus(self) -> int:
        """Free GPUs of the usable nodes."""
        return sum(gpus * count for counts in self.free.values() for gpus, count in counts.items())

    def quota(self, request: PlanRequest, layout: Layout) -> int:
        """Replicas that a ResourceQuota leaves room for."""
        short = [one.left // need for one, need in self.quota_needs(request, layout)]
        return max(0, min(short, default=1 << 30))

    def quota_needs(self, request: PlanRequest, layout: Layout) -> Iterator[tuple[QuotaRoom, int]]:
        """Each quota that a replica of the layout counts in, and how much of it the replica takes."""
        needs = {self.pool.gpu_resource: layout.gpus_per_replica, "pods": layout.nodes_per_replica}
        return ((one, needs[one.resource]) for one in request.quotas if one.resource in needs)


@dataclass(frozen=True, slots=True)
class Tried:
    """A site with the question that its cuts were judged by."""

    site: Site
    question: PlanRequest
    most_pods: int
    shorten: bool

    @property
    def fits(self) -> tuple[Fit, ...]:
        """Cuts that fit in memory."""
        return () if self.site.refused else fits(self.question, self.site.kind, self.most_pods, self.shorten)


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
