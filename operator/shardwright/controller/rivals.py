"""Groups that stand in each other's way: which older one waits for what a younger half-placed one holds.

Age decides, then the replica's number: of two that block each other exactly one is younger.
"""

from collections import Counter

from shardwright.api import labels
from shardwright.api.reasons import Reason
from shardwright.cluster.store import Key, Store
from shardwright.inventory import PodUsage
from shardwright.reconcile.ledger import Age, Ledger
from shardwright.reconcile.live import number
from shardwright.reconcile.types import Reservation
from shardwright.status import observe_pod

Rank = tuple[Age, int]
"""Age of a deployment and number of a replica: the smaller goes first."""


class Rivals:
    """Looks at promises and pods of all deployments. Valid until something is awaited."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        """Both are read when asked."""
        self._store = store
        self._ledger = ledger

    def older(self, uid: str, replica: int, held: Counter[str]) -> str:
        """The first replica that goes before this one and whose pods wait for a node that this one holds; else empty.

        `namespace/name`, with the replica's number where it is one of the same deployment.
        """
        mine = self._rank(uid, replica)
        for node in sorted(held) if mine else ():
            for other in sorted(self._ledger.promisees(node)):
                for one in self._ledger.reservations(other):
                    rank = self._rank(other, one.replica)
                    if rank and mine and rank < mine and self._waits_for(other, one, node):
                        key = self._store.key_of(other)
                        own = f", replica {one.replica}" if other == uid else ""
                        return f"{'/'.join(key)}{own}" if key else ""
        return ""

    def going(self, uid: str, replica: int, node: str, resource: str) -> int:
        """GPUs of a node whose pods will go by themselves, as far as a promise made before may count on it.

        Pods on their way out, pods of replicas that lost their seat, and half-placed groups that go after this one.
        """
        mine = self._rank(uid, replica)
        others = [use for use in self._store.usage_on(node) if (use.deployment_uid, use.replica) != (uid, replica)]
        leaving = [use for use in others if use.terminating or (mine and self._goes(use, mine))]
        return sum(count for use in leaving for name, count in use.devices if name == resource)

    def _goes(self, use: PodUsage, mine: Rank) -> bool:
        key = self._store.key_of(use.deployment_uid) if use.deployment_uid else None
        if key is None:
            return False
        seat = next((s for s in self._ledger.reservations(use.deployment_uid) if s.replica == use.replica), None)
        rank = self._rank(use.deployment_uid, use.replica)
        if seat is None or rank is None:
            return True
        return rank > mine and self._bound(key, seat).total() < len(seat.nodes)

    def _rank(self, uid: str, replica: int) -> Rank | None:
        age = self._ledger.age(uid)
        return (age, replica) if age else None

    def _bound(self, key: Key, one: Reservation) -> Counter[str]:
        usage = self._store.usage(key)
        return Counter(use.node for use in usage if use.replica == one.replica and not use.terminating)

    def _waits_for(self, uid: str, one: Reservation, node: str) -> bool:
        """Whether a pod of the replica finds no place while its promise on the node is open."""
        key = self._store.key_of(uid)
        if key is None or node not in one.nodes or self._bound(key, one)[node]:
            return False
        mine = [pod for pod in self._store.pods(key) if _replica(pod) == one.replica]
        return any(observe_pod(pod).trouble is Reason.POD_UNSCHEDULABLE for pod in mine)


def _replica(pod: dict[str, object]) -> int:
    metadata = pod["metadata"]
    assert isinstance(metadata, dict)
    return number((metadata.get("labels") or {}).get(labels.REPLICA))


__all__ = ["Rivals"]
