"""Who was promised which GPUs: one book, so that no two deployments ever count the same GPU. No I/O, no clock.

A promise is a pod of a replica that is not bound to a node yet; once it is, the pod itself holds the GPUs. The book is
filled from status before the first plan. Where promises exceed what a node has, the older deployment's hold.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shardwright.reconcile.types import Reservation

Age = tuple[str, str]
"""Creation time and UID: smaller is older."""


@dataclass(slots=True)
class _Account:
    age: Age
    reservations: tuple[Reservation, ...]
    unbound: Counter[str]


class Ledger:
    """Promises by deployment, and their sums by node."""

    def __init__(self) -> None:
        """Empty."""
        self._accounts: dict[str, _Account] = {}
        self._totals: Counter[str] = Counter()
        self._by_node: defaultdict[str, set[str]] = defaultdict(set)
        self._seated: defaultdict[str, set[str]] = defaultdict(set)

    def reserve(
        self, uid: str, created: str, reservations: Iterable[Reservation], bound: Mapping[int, Iterable[str]]
    ) -> None:
        """Replace what a deployment was promised. `bound` names, by replica, the nodes its live pods are bound to."""
        self.release(uid)
        reservations = tuple(reservations)
        unbound = promised(reservations, bound)
        if not reservations:
            return
        self._accounts[uid] = _Account((created, uid), reservations, unbound)
        self._totals.update(unbound)
        for node in unbound:
            self._by_node[node].add(uid)
        for reservation in reservations:
            for node in reservation.nodes:
                self._seated[node].add(uid)

    def rebind(self, uid: str, bound: Mapping[int, Iterable[str]]) -> None:
        """Pods were bound or went away: promises follow."""
        if account := self._accounts.get(uid):
            self.reserve(uid, account.age[0], account.reservations, bound)

    def release(self, uid: str) -> tuple[str, ...]:
        """Forget a deployment; returns the nodes where it had been promised GPUs."""
        account = self._accounts.pop(uid, None)
        if account is None:
            return ()
        for node, gpus in account.unbound.items():
            self._totals[node] -= gpus
            if self._totals[node] <= 0:
                del self._totals[node]
            self._by_node[node].discard(uid)
        for reservation in account.reservations:
            for node in reservation.nodes:
                self._seated[node].discard(uid)
        return tuple(account.unbound)

    def reservations(self, uid: str) -> tuple[Reservation, ...]:
        """What a deployment was promised or holds."""
        account = self._accounts.get(uid)
        return account.reservations if account else ()

    def promised(self, *, besides: str) -> Counter[str]:
        """GPUs by node that were promised to others and are not bound yet."""
        account = self._accounts.get(besides)
        if account is None or not account.unbound:
            return self._totals
        others = Counter(self._totals)
        others.subtract(account.unbound)
        return others

    def own(self, uid: str) -> Counter[str]:
        """GPUs by node that were promised to the deployment and are not bound yet."""
        account = self._accounts.get(uid)
        return account.unbound if account else Counter()

    def promised_to_older(self, uid: str, node: str) -> int:
        """GPUs of a node that were promised to deployments older than this one."""
        account = self._accounts.get(uid)
        if account is None:
            return self._totals[node]
        return sum(
            self._accounts[other].unbound[node]
            for other in self._by_node.get(node, ())
            if other != uid and self._accounts[other].age < account.age
        )

    def age(self, uid: str) -> Age | None:
        """How old a deployment is that holds or was promised anything."""
        account = self._accounts.get(uid)
        return account.age if account else None

    def promisees(self, node: str) -> set[str]:
        """Deployments that were promised GPUs of a node and do not hold them yet."""
        return set(self._by_node.get(node, ()))

    def seated(self, node: str) -> set[str]:
        """Deployments with a replica on a node, bound or not."""
        return set(self._seated.get(node, ()))


def promised(reservations: Iterable[Reservation], bound: Mapping[int, Iterable[str]]) -> Counter[str]:
    """GPUs by node that no pod holds yet.

    A bound pod settles the promise of its own node; one that was bound elsewhere settles any promise of its replica.
    """
    unbound: Counter[str] = Counter()
    for reservation in reservations:
        open_nodes = list(reservation.nodes)
        strayed = 0
        for node in bound.get(reservation.replica, ()):
            if node in open_nodes:
                open_nodes.remove(node)
            else:
                strayed += 1
        for node in open_nodes[strayed:]:
            unbound[node] += reservation.gpus_per_pod
    return unbound
