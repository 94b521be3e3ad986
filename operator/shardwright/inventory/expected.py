"""Nodes that do not exist yet: a declared pool becomes nodes to plan on, as many as an autoscaler may still add.

A declared pool is read as the Node that it promises. Knows no deployment and no autoscaler.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from shardwright.api.expected import ExpectedPool
from shardwright.inventory.nodes import read_node
from shardwright.inventory.pools import build_inventory
from shardwright.inventory.types import Inventory, NodeFacts, Pool, PoolNode, SkippedNode

_MARK = "/expected-"
"""No real node has a slash in its name."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One declared pool as planning takes it: all nodes that it could ever have, each with every GPU free."""

    name: str
    selector: tuple[tuple[str, str], ...]
    """Labels that the nodes have from birth."""
    pool: Pool
    nodes: tuple[NodeFacts, ...]

    def arrived(self, nodes: Iterable[NodeFacts | SkippedNode]) -> int:
        """How many of its nodes exist."""
        wanted = set(self.selector)
        return sum(wanted <= set(labels_of(node)) for node in nodes)


def is_expected(node: str) -> bool:
    """Whether this is the name of a node that does not exist yet."""
    return _MARK in node


def expected_pool_of(node: str) -> str:
    """The declared pool that such a node belongs to."""
    return node.partition(_MARK)[0]


def labels_of(node: NodeFacts | SkippedNode) -> tuple[tuple[str, str], ...]:
    """The labels of a node, as far as they are kept."""
    return node.labels if isinstance(node, SkippedNode) else node.node.labels


def read_expected(declared: ExpectedPool) -> Expectation | SkippedNode:
    """Read a declaration as the Node that it promises; what could not be planned on is skipped with its reason."""
    gpus = {declared.resource: str(declared.gpus)}
    facts = read_node({
        "metadata": {"name": declared.name, "labels": declared.labels, "annotations": declared.annotations},
        "spec": {"taints": [taint.model_dump() for taint in declared.taints]},
        "status": {"allocatable": gpus},
    })  # fmt: skip
    if isinstance(facts, SkippedNode):
        return SkippedNode(f"expected pool {declared.name}", facts.reason, facts.message)
    names = [f"{declared.name}{_MARK}{number}" for number in range(1, declared.max_nodes + 1)]
    nodes = tuple(replace(facts, node=replace(facts.node, name=name)) for name in names)
    pool = replace(
        build_inventory(nodes).pools[0],
        name=f"{declared.name} (expected)",
        nodes=tuple(node.node for node in nodes),
        selector=declared.selector,
        expected=declared.name,
    )
    return Expectation(declared.name, declared.selector, pool, nodes)


def remaining(pool: Pool, arrived: int, busy: Collection[str]) -> tuple[PoolNode, ...]:
    """Nodes that may still be asked for: those that somebody waits for already, and what the limit leaves beside them.

    `busy` names nodes with promises. A node that has joined counts even while its pods still hold promises elsewhere.
    """
    left = max(0, len(pool.nodes) - arrived - len(busy))
    fresh = [node.name for node in pool.nodes if node.name not in busy][:left]
    kept = {*busy, *fresh}
    return tuple(node for node in pool.nodes if node.name in kept)


def with_expected(
    inventory: Inventory, declared: Sequence[ExpectedPool], nodes: Iterable[NodeFacts | SkippedNode]
) -> Inventory:
    """Add declared pools to what exists, less what of them exists already; nobody waits for any of their nodes."""
    known = list(nodes)
    read = [read_expected(pool) for pool in declared]
    pools = [
        replace(each.pool, nodes=remaining(each.pool, each.arrived(known), ()))
        for each in read
        if isinstance(each, Expectation)
    ]
    skipped = [each for each in read if isinstance(each, SkippedNode)]
    return replace(
        inventory,
        pools=tuple(sorted((*inventory.pools, *pools), key=lambda pool: pool.name)),
        skipped=(*inventory.skipped, *skipped),
    )
