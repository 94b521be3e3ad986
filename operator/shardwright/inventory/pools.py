"""Nodes that are alike become pools; pods and promises take from what is free. Knows no label's meaning.

Pure in its arguments: the order of nodes, pods and promises never changes the answer.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from shardwright.inventory.host import shared_host
from shardwright.inventory.types import (
    Inventory,
    NodeFacts,
    PodUsage,
    Pool,
    PoolNode,
    PoolTraits,
    Promise,
    SkippedNode,
)

_MOST_NOTES = 16
Labels = tuple[tuple[str, str], ...]


def build_inventory(
    facts: Iterable[NodeFacts],
    skipped: Iterable[SkippedNode] = (),
    usage: Iterable[PodUsage] = (),
    promises: Iterable[Promise] = (),
) -> Inventory:
    """Group nodes into pools. Free GPUs = allocatable - pods' requests - promises not yet bound, never negative."""
    pods = sorted(usage, key=lambda pod: (pod.name, pod.node))
    held = _Held(_taken(pods), _outstanding(pods, promises))
    groups = _groups(facts)
    names = _names(list(groups))
    identities = {traits: Counter(member.identity for member in members) for traits, members in groups.items()}
    pools = [
        replace(_pool(names[traits], traits, members, held), selector=_selector(traits, identities))
        for traits, members in groups.items()
    ]
    return Inventory(
        pools=tuple(sorted(pools, key=lambda pool: pool.name)),
        skipped=tuple(sorted(skipped, key=lambda node: (node.name, node.reason, node.message))),
    )


def _groups(facts: Iterable[NodeFacts]) -> dict[PoolTraits, list[NodeFacts]]:
    """Put alike nodes together; by identity of the shared traits first, as hashing 10,000 of them would be slow."""
    shared: dict[int, list[NodeFacts]] = defaultdict(list)
    for fact in facts:
        shared[id(fact.traits)].append(fact)
    groups: dict[PoolTraits, list[NodeFacts]] = {}
    for members in shared.values():
        groups.setdefault(members[0].traits, []).extend(members)
    return groups


def _taken(pods: Iterable[PodUsage]) -> Counter[tuple[str, str]]:
    """(node, resource) -> what pods hold."""
    taken: Counter[tuple[str, str]] = Counter()
    for pod in pods:
        for resource, count in pod.devices:
            taken[pod.node, resource] += count
    return taken


def _outstanding(pods: Sequence[PodUsage], promises: Iterable[Promise]) -> Counter[str]:
    """Node -> promised GPUs that no pod holds yet.

    A bound pod of the same deployment and replica replaces its promise: on the same node first, else (the scheduler
    chose another equal node) any one of that replica. A terminating pod covers the promise on its own node only.
    """
    by_replica: dict[tuple[str, int], list[Promise]] = defaultdict(list)
    names: dict[str, str] = {}
    for promise in sorted(promises, key=lambda p: (p.deployment_uid, p.replica, p.node, p.gpus)):
        by_replica[promise.deployment_uid, promise.replica].append(promise)
        if promise.deployment:
            names[promise.deployment] = promise.deployment_uid
    elsewhere: list[list[Promise]] = []
    for pod in pods:
        waiting = by_replica.get((pod.deployment_uid or names.get(pod.deployment, ""), pod.replica), [])
        here = next((promise for promise in waiting if promise.node == pod.node), None)
        if here:
            waiting.remove(here)
        elif waiting and not pod.terminating:
            elsewhere.append(waiting)
    for waiting in elsewhere:
        if waiting:
            waiting.pop()
    left: Counter[str] = Counter()
    for waiting in by_replica.values():
        for promise in waiting:
            left[promise.node] += promise.gpus
    return left


@dataclass(frozen=True, slots=True)
class _Held:
    """GPUs that are not free."""

    taken: Mapping[tuple[str, str], int]
    promised: Mapping[str, int]

    def less(self, node: PoolNode, resource: str) -> PoolNode:
        """The node with what is left."""
        held = self.taken.get((node.name, resource), 0) + self.promised.get(node.name, 0)
        if not held:
            return node
        return PoolNode(
            node.name,
            node.gpus,
            max(0, node.gpus - held),
            node.labels,
            node.taints,
            node.fabric_domain,
            node.nvlink_domain,
            node.locality,
        )


def _pool(name: str, traits: PoolTraits, members: Sequence[NodeFacts], held: _Held) -> Pool:
    """One pool with its nodes and what is free on them."""
    nodes = [held.less(member.node, traits.gpu_resource) for member in members]
    return Pool(
        name=name,
        product=traits.product,
        gpu_resource=traits.gpu_resource,
        gpus_per_node=traits.gpus_per_node,
        memory_bytes=traits.memory_bytes,
        link=traits.link,
        link_bandwidth=traits.link_bandwidth,
        islands=traits.islands,
        cross_island_bandwidth=traits.cross_island_bandwidth,
        network=traits.network,
        network_bandwidth=traits.network_bandwidth,
        nodes=tuple(sorted(nodes, key=lambda node: node.name)),
        assumptions=_notes(members),
        outer_islands=traits.outer_islands,
        multi_gpu=traits.multi_gpu,
        claim=traits.claim,
        compute_domain=traits.compute_domain,
        host=shared_host(member.host for member in members),
    )


def _notes(members: Sequence[NodeFacts]) -> tuple[str, ...]:
    """What was assumed or ignored: once where it holds for all nodes, else with the nodes it holds for."""
    where: dict[str, list[str]] = defaultdict(list)
    for notes, names in _by_notes(members).items():
        for note in notes:
            where[note].extend(names)
    said = [note if len(names) == len(members) else f"{note} ({_some(names)})" for note, names in where.items()]
    return tuple(sorted(said)[:_MOST_NOTES])


def _by_notes(members: Sequence[NodeFacts]) -> dict[tuple[str, ...], list[str]]:
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for member in members:
        found[member.notes].append(member.node.name)
    return found


def _some(names: Sequence[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def _selector(traits: PoolTraits, identities: Mapping[PoolTraits, Mapping[Labels, int]]) -> Labels:
    """Few labels, best first, that all nodes of this pool carry and no node of another; empty where none do."""
    mine = list(identities[traits])
    common = [item for item in mine[0] if all(item in other for other in mine)]
    others = [set(labels) for pool, found in identities.items() if pool is not traits for labels in found]
    chosen: list[tuple[str, str]] = []
    for item in common:
        alike = [labels for labels in others if item in labels]
        if not chosen or len(alike) < len(others):
            chosen.append(item)
        others = alike
        if not others:
            return tuple(chosen)
    return ()


def _names(pools: Sequence[PoolTraits]) -> dict[PoolTraits, str]:
    """`h100-sxm-8`; where two would share a name, what tells them apart is appended."""
    base: dict[str, list[PoolTraits]] = defaultdict(list)
    for traits in pools:
        base[f"{_slug(traits.product.name)}-{traits.gpus_per_node}"].append(traits)
    names: dict[PoolTraits, str] = {}
    for stem, alike in base.items():
        suffixes = _suffixes(alike) if len(alike) > 1 else [""]
        names.update({traits: stem + suffix for traits, suffix in zip(alike, suffixes, strict=True)})
    return names


def _suffixes(alike: Sequence[PoolTraits]) -> list[str]:
    """By link, network, memory or islands; only what differs is said."""
    traits_of = (
        [str(t.link) for t in alike],
        [str(t.network) for t in alike],
        [f"{t.memory_bytes >> 30}gib" for t in alike],
        ["x".join(str(len(island)) for island in t.islands) for t in alike],
    )
    telling = [words for words in traits_of if len(set(words)) > 1]
    suffixes = ["".join(f"-{words[at]}" for words in telling) for at in range(len(alike))]
    order = sorted(range(len(alike)), key=lambda at: (suffixes[at], repr(alike[at])))
    seen: Counter[str] = Counter()
    for index in order:
        seen[suffixes[index]] += 1
        if seen[suffixes[index]] > 1:
            suffixes[index] += f"-{seen[suffixes[index]]}"
    return suffixes


def _slug(name: str) -> str:
    """Only lower-case letters, digits and dashes."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in name.lower()).split()) or "gpu"
