"""The cluster's GPUs as one deployment may count them: nodes and pods of the store, promises of the ledger."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from shardwright.api.expected import ExpectedPool
from shardwright.api.reasons import Reason
from shardwright.cluster.store import Key, Store
from shardwright.controller.rivals import Rivals
from shardwright.inventory import (
    Expectation,
    Inventory,
    NodeFacts,
    PodClass,
    Pool,
    PoolNode,
    SkippedNode,
    build_inventory,
    read_expected,
)
from shardwright.inventory.expected import labels_of, remaining
from shardwright.inventory.raw import at, text
from shardwright.plan.types import QuotaRoom
from shardwright.reconcile.ledger import Ledger, promised
from shardwright.reconcile.quota import Tenant, room

_EMPTIED = {Reason.NODE_CORDONED: "is cordoned", Reason.NODE_BEING_DELETED: "is about to go"}


class Fleet:
    """All nodes grouped into pools, built anew only when a node changed."""

    def __init__(self, store: Store, expected: Iterable[ExpectedPool] = ()) -> None:
        """Reads the store when it is asked; `expected` are pools of nodes that do not exist yet."""
        self._store = store
        read = [read_expected(pool) for pool in expected]
        self._to_come = [pool for pool in read if isinstance(pool, Expectation)]
        self.unusable = tuple(pool for pool in read if isinstance(pool, SkippedNode))
        """Declared pools that cannot be planned on."""
        self._arrived: dict[str, int] = {}
        self._inventory: Inventory | None = None
        self._nodes: dict[str, NodeFacts | SkippedNode] = {}

    def node_changed(self) -> None:
        """Forget what was built."""
        self._inventory = None

    def inventory(self) -> Inventory:
        """All pools with every GPU free."""
        if self._inventory is None:
            self._nodes = self._store.nodes()
            facts = [node for node in self._nodes.values() if isinstance(node, NodeFacts)]
            skipped = [node for node in self._nodes.values() if isinstance(node, SkippedNode)]
            self._arrived = {each.pool.name: each.arrived(self._nodes.values()) for each in self._to_come}
            self._inventory = self._with_nodes_to_come(build_inventory(facts, (*skipped, *self.unusable)))
        return self._inventory

    def _with_nodes_to_come(self, real: Inventory) -> Inventory:
        """With all nodes that declared pools could ever have: a promise on one holds for as long as it is declared."""
        self._nodes.update({node.name: node for each in self._to_come for node in each.nodes})
        pools = (*real.pools, *(each.pool for each in self._to_come))
        return replace(real, pools=tuple(sorted(pools, key=lambda pool: pool.name)))

    def arrived(self, pool: str) -> int:
        """How many nodes of a declared pool exist."""
        return self._arrived.get(pool, 0)

    def node(self, name: str) -> NodeFacts | SkippedNode | None:
        """What is known of one node."""
        self.inventory()
        return self._nodes.get(name)


class DeploymentGpus:
    """The view of one deployment. Valid until something is awaited."""

    def __init__(self, fleet: Fleet, store: Store, ledger: Ledger, key: Key, uid: str) -> None:
        """All are read when asked."""
        self._fleet = fleet
        self._store = store
        self._ledger = ledger
        self._key = key
        self._uid = uid
        self._rivals = Rivals(store, ledger)

    @property
    def fleet(self) -> Inventory:
        """All pools as they were if every GPU were free."""
        return self._fleet.inventory()

    def inventory(self, *, free_replicas: frozenset[int] | None) -> Inventory:
        """All pools less what others hold or were promised, and less own replicas that are not named (None = all)."""
        held = Counter(self._store.held())
        for usage in self._store.usage(self._key):
            if free_replicas is None or usage.replica in free_replicas:
                held.subtract({(usage.node, resource): count for resource, count in usage.devices})
        promises = Counter(self._ledger.promised(besides=self._uid))
        if free_replicas is not None:
            kept = [one for one in self._ledger.reservations(self._uid) if one.replica not in free_replicas]
            promises.update(promised(kept, bound_nodes(self._store, self._key)))
        base = self._fleet.inventory()
        touched = {node for node, _ in held} | set(promises)
        return replace(base, pools=tuple(self._left(pool, held, promises, touched) for pool in base.pools))

    def _left(
        self, pool: Pool, held: Mapping[tuple[str, str], int], promises: Mapping[str, int], touched: set[str]
    ) -> Pool:
        if pool.expected:
            busy = {node.name for node in pool.nodes if promises.get(node.name, 0) > 0}
            pool = replace(pool, nodes=remaining(pool, self._fleet.arrived(pool.name), busy))
        return _less(pool, held, promises, touched)

    def labels_of(self, name: str) -> tuple[tuple[str, str], ...]:
        """Labels of a node; none where it is not there."""
        node = self._fleet.node(name)
        return labels_of(node) if node else ()

    def node_exists(self, name: str) -> bool:
        """Whether the node is there at all."""
        return self._fleet.node(name) is not None

    def node_unreachable(self, name: str) -> bool:
        """Whether nobody hears from the node any more."""
        node = self._fleet.node(name)
        return isinstance(node, SkippedNode) and node.unreachable

    def leaving(self, name: str) -> str:
        """Why the node is to be emptied; empty where it is not."""
        node = self._fleet.node(name)
        return _EMPTIED.get(node.reason, "") if isinstance(node, SkippedNode) else ""

    def node_usable(self, name: str) -> bool:
        """Whether pods may be put on the node."""
        return isinstance(self._fleet.node(name), NodeFacts)

    def has_room(self, replica: int, node: str, gpus: int) -> bool:
        """Whether so many GPUs are left on the node besides others' pods and older deployments' promises.

        Pods that go by themselves do not count, those of younger half-placed groups among them.
        """
        facts = self._fleet.node(node)
        if not isinstance(facts, NodeFacts):
            return False
        resource = facts.traits.gpu_resource
        own = sum(
            count
            for usage in self._store.usage(self._key)
            if usage.replica == replica and usage.node == node
            for name, count in usage.devices
            if name == resource
        )
        held = self._store.held().get((node, resource), 0) - own
        left = facts.node.gpus - held - self._ledger.promised_to_older(self._uid, node)
        return left >= gpus or left + self._rivals.going(self._uid, replica, node, resource) >= gpus

    def rival(self, replica: int, held: Counter[str], *, patient: bool) -> str:
        """The older replica that waits for a node which this half-placed one holds, where it had better yield."""
        older = self._rivals.older(self._uid, replica, held)
        return older if older and (patient or self._crowded(replica, held)) else ""

    def _crowded(self, replica: int, held: Counter[str]) -> bool:
        """Whether the pods that are still to be placed have no room on their nodes."""
        mine = (one for one in self._ledger.reservations(self._uid) if one.replica == replica)
        return any(
            not self.has_room(replica, node, count * one.gpus_per_pod)
            for one in mine
            for node, count in Counter(one.nodes).items()
            if held[node] < count
        )

    def quota_room(self, *, standing: bool) -> tuple[QuotaRoom, ...]:
        """What the namespace's ResourceQuotas leave to all replicas of the deployment together."""
        namespace = self._key[0]
        quotas = self._store.quotas(namespace)
        if not quotas:
            return ()
        others = [key for key in self._store.keys_of(namespace) if key != self._key]
        asked = self._store.asked(namespace)
        return room(quotas, asked, self._tenant(self._key), map(self._tenant, others), standing=standing)

    def _tenant(self, key: Key) -> Tenant:
        deployment = self._store.deployment(key) or {}
        uid = self._store.uid(key) or ""
        created = str(deployment.get("metadata", {}).get("creationTimestamp") or "")
        priority = text(at(deployment, "spec", "placement", "priorityClassName"))
        return Tenant((created, uid), PodClass(priority), self._ledger.reservations(uid), tuple(self._store.asks(key)))


def bound_nodes(store: Store, key: Key) -> Mapping[int, Iterable[str]]:
    """By replica, the nodes that the deployment's pods are bound to, without those on their way out."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for usage in store.usage(key):
        if not usage.terminating:
            found[usage.replica].append(usage.node)
    return found


def _less(pool: Pool, held: Mapping[tuple[str, str], int], promises: Mapping[str, int], touched: set[str]) -> Pool:
    def left(node: PoolNode) -> PoolNode:
        if node.name not in touched:
            return node
        taken = held.get((node.name, pool.gpu_resource), 0) + promises.get(node.name, 0)
        return replace(node, free_gpus=max(0, node.gpus - taken)) if taken > 0 else node

    return replace(pool, nodes=tuple(left(node) for node in pool.nodes))
