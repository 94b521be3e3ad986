"""Where replicas go: which nodes a request may use, how many replicas they hold, and which nodes each one takes.

Pure arithmetic over free GPUs, deterministic in any input order. Knows nothing of models, nor of what makes a layout
good.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from shardwright.api.spec import Toleration
from shardwright.inventory import Pool, PoolNode
from shardwright.plan.types import Layout

_NUMBER = re.compile("([0-9]+)")


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Which nodes a request may use at all, apart from free GPUs."""

    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()

    def selects(self, node: PoolNode) -> bool:
        """Whether the node carries every wanted label."""
        return not self.node_selector or set(self.node_selector) <= set(node.labels)

    def tolerates(self, node: PoolNode) -> bool:
        """Whether each taint that repels pods is tolerated."""
        return all(any(_tolerates(t, taint) for t in self.tolerations) for taint in node.taints)

    def nodes(self, pool: Pool) -> tuple[PoolNode, ...]:
        """Nodes of the pool that may be used, in the pool's order."""
        if not self.node_selector:
            return tuple(n for n in pool.nodes if not n.taints or self.tolerates(n))
        return tuple(n for n in pool.nodes if self.selects(n) and self.tolerates(n))


def _tolerates(toleration: Toleration, taint: tuple[str, str, str]) -> bool:
    """As the scheduler matches them; an empty key with Exists tolerates everything."""
    key, value, effect = taint
    if toleration.effect and toleration.effect != effect:
        return False
    if toleration.operator == "Exists":
        return not toleration.key or toleration.key == key
    return toleration.key == key and (toleration.value or "") == value


Domains = Mapping[str, Counter[int]]
"""By fabric domain: how many nodes have how many free GPUs. Thousands of nodes become a handful of numbers."""


def domains(nodes: Iterable[PoolNode]) -> Domains:
    """Group nodes by what placing depends on."""
    found: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for node in nodes:
        if node.free_gpus:
            found[_domain(node)][node.free_gpus] += 1
    return found


def capacity(found: Domains, pods: int, gpus: int) -> int:
    """Replicas of `pods` pods with `gpus` GPUs each that are free, each on one fabric domain, pods on unlike nodes."""
    if pods == 1:
        return sum(free // gpus * count for counts in found.values() for free, count in counts.items())
    return sum(_groups([(free // gpus, count) for free, count in counts.items()], pods) for counts in found.values())


def _groups(slots: Sequence[tuple[int, int]], pods: int) -> int:
    """Most groups of `pods` distinct nodes, where each (slots, nodes) pair offers so many pods on each of its nodes.

    r groups are possible exactly when the nodes, each giving at most r, give r x pods together.
    """
    low, high = 0, sum(offered * nodes for offered, nodes in slots) // pods
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(offered, middle) * nodes for offered, nodes in slots) >= middle * pods:
            low = middle
        else:
            high = middle - 1
    return low


def assign(nodes: Sequence[PoolNode], layout: Layout, wanted: int) -> tuple[tuple[str, ...], ...]:
    """Nodes of each of up to `wanted` replicas, in pod order.

    Packed: a replica goes where it leaves the least behind, so that whole nodes stay free for larger ones. Equals go by
    name, numbers in names counted as numbers. Groups take the nodes with the most room left over in their own domain,
    which is what lets as many groups as `capacity` promises be formed.
    """
    if wanted <= 0:
        return ()
    if layout.nodes_per_replica == 1:
        return _assign_single(nodes, layout.gpus_per_pod, wanted)
    return _assign_groups(nodes, layout, wanted)


def _assign_single(nodes: Sequence[PoolNode], gpus: int, wanted: int) -> tuple[tuple[str, ...], ...]:
    fitting = sorted((n for n in nodes if n.free_gpus >= gpus), key=lambda n: (n.free_gpus, natural(n.name)))
    placed: list[tuple[str, ...]] = []
    for node in fitting:
        placed += [(node.name,)] * min(node.free_gpus // gpus, wanted - len(placed))
        if len(placed) == wanted:
            break
    return tuple(placed)


def _assign_groups(nodes: Sequence[PoolNode], layout: Layout, wanted: int) -> tuple[tuple[str, ...], ...]:
    gpus, pods = layout.gpus_per_pod, layout.nodes_per_replica
    by_domain: defaultdict[str, list[PoolNode]] = defaultdict(list)
    for node in nodes:
        if node.free_gpus >= gpus:
            by_domain[_domain(node)].append(node)
    order = sorted(by_domain, key=lambda d: (sum(n.free_gpus for n in by_domain[d]), natural(d)))
    placed: list[tuple[str, ...]] = []
    for name in order:
        slots = {n.name: n.free_gpus // gpus for n in by_domain[name]}
        groups = min(_groups([(s, 1) for s in slots.values()], pods), wanted - len(placed))
        for left in range(groups, 0, -1):
            members = _members(slots, pods, left)
            placed.append(members)
            for member in members:
                slots[member] -= 1
    return tuple(placed)


def _members(slots: Mapping[str, int], pods: int, left: int) -> tuple[str, ...]:
    """Nodes of the next group when `left` groups are still to be formed: those that must be in every one, then packed.

    A node with at least `left` slots is useful to all remaining groups, so it is taken while needed; among the rest the
    fullest goes first. Taking the emptiest always keeps the remaining groups possible.
    """
    order = sorted((n for n in slots if slots[n] > 0), key=lambda n: (-min(slots[n], left), slots[n], natural(n)))
    return tuple(sorted(order[:pods], key=natural))


@lru_cache(maxsize=32768)
def natural(name: str) -> tuple[tuple[str | int, ...], str]:
    """Sort key by which `node-2` comes before `node-10`; the name itself is last, so that no two names are equal."""
    return tuple(int(part) if index % 2 else part for index, part in enumerate(_NUMBER.split(name))), name


def _domain(node: PoolNode) -> str:
    return node.fabric_domain or ""
