"""How many GPUs a deployment may have under the ResourceQuotas of its namespace. Pure; knows no node.

Head-room is counted from pods and promises, not from the quota's own `used`: that one lags behind pods that are gone,
and is told by another watch than the pods. Only where something new is to be placed the larger of both counts, because
a pod that the API server refuses is worse than one that comes a second later. What stands is never stopped by a quota.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shardwright.inventory import PodAsk, PodClass, Quota
from shardwright.inventory.quotas import PODS
from shardwright.plan.explain import quota_key
from shardwright.plan.types import Placement, QuotaRoom
from shardwright.reconcile.ledger import Age
from shardwright.reconcile.types import Reservation


@dataclass(frozen=True, slots=True)
class Tenant:
    """One InferenceDeployment of the namespace."""

    age: Age
    pod_class: PodClass
    """Of the pods that it wants."""
    reservations: tuple[Reservation, ...]
    pods: tuple[PodAsk, ...]
    """All that have not finished, bound or not."""

    def live(self, quota: Quota, resource: str) -> int:
        """What its pods take of the quota."""
        return sum(_amount(pod, resource) for pod in self.pods if quota.counts(pod.pod_class))

    def claimed(self, quota: Quota, resource: str) -> int:
        """What it takes or was promised, whichever is more: pods on their way out count until they are gone."""
        promised = sum(_of(one, resource) for one in self.reservations) if quota.counts(self.pod_class) else 0
        return max(promised, self.live(quota, resource))

    def settled(self, quota: Quota, resource: str) -> int:
        """What those replicas take that have all their pods: nobody takes it from them."""
        size = {one.replica: len(one.nodes) for one in self.reservations}
        there = Counter(pod.replica for pod in self.pods if not pod.terminating)
        return sum(
            _amount(pod, resource)
            for pod in self.pods
            if quota.counts(pod.pod_class) and there[pod.replica] >= size.get(pod.replica, 0)
        )


def room(
    quotas: Iterable[Quota],
    asked: Mapping[tuple[PodClass, str], int],
    me: Tenant,
    others: Iterable[Tenant],
    *,
    standing: bool,
) -> tuple[QuotaRoom, ...]:
    """What all replicas of a deployment together may take, by resource: of several quotas the one that leaves least.

    `asked` is what all pods of the namespace take. `standing` asks for a promise that was made before: younger
    deployments' promises do not count against it, only what they run.
    """
    others = tuple(others)
    found: dict[str, QuotaRoom] = {}
    for quota in sorted(quotas, key=lambda one: one.name):
        if not quota.counts(me.pod_class):
            continue
        for resource, hard in quota.hard:
            taken = _foreign(quota, resource, asked, (me, *others), trust_used=not standing)
            for other in others:
                younger = standing and other.age > me.age
                taken += other.settled(quota, resource) if younger else other.claimed(quota, resource)
            left = max(0, hard - taken)
            if resource not in found or left < found[resource].left:
                found[resource] = QuotaRoom(resource, left, quota.name)
    return tuple(found[resource] for resource in sorted(found))


def _foreign(
    quota: Quota,
    resource: str,
    asked: Mapping[tuple[PodClass, str], int],
    tenants: Iterable[Tenant],
    *,
    trust_used: bool,
) -> int:
    """What pods take that belong to no InferenceDeployment."""
    ours = sum(tenant.live(quota, resource) for tenant in tenants)
    counted = sum(count for (pod_class, name), count in asked.items() if name == resource and quota.counts(pod_class))
    told = dict(quota.used).get(resource, 0) if trust_used else 0
    return max(0, counted - ours, told - ours)


def needs(placement: Placement) -> dict[str, int]:
    """What one replica takes of quotas."""
    layout = placement.layout
    return {placement.gpu_resource: layout.gpus_per_replica, PODS: layout.nodes_per_replica}


class Purse:
    """What is left of quotas while replicas are seated one after the other."""

    def __init__(self, rooms: Iterable[QuotaRoom] = ()) -> None:
        """With all that the deployment may take; without quotas it pays for everything."""
        self._left = {one.resource: one for one in rooms}
        self.lacked = ""
        """What was missing when it could not pay, in words."""

    def pay(self, placement: Placement, *, anyway: bool = False) -> bool:
        """Pay for one replica. `anyway`: it runs, and no quota stops it, so that the purse may be overdrawn."""
        lacked = "" if anyway else self.shortage(placement)
        if lacked:
            self.lacked = self.lacked or lacked
            return False
        for name, need in needs(placement).items():
            if one := self._left.get(name):
                self._left[name] = QuotaRoom(name, one.left - need, one.quota)
        return True

    @property
    def overdrawn(self) -> bool:
        """Whether what runs takes more than quotas allow by now: a pod that is made anew would be refused."""
        return any(one.left < 0 for one in self._left.values())

    def shortage(self, placement: Placement) -> str:
        """What a replica of the placement lacks, in words; empty where nothing."""
        short = [
            (need - self._left[name].left, self._left[name], need)
            for name, need in needs(placement).items()
            if name in self._left and self._left[name].left < need
        ]
        return "; ".join(_words(missing, one, need) for missing, one, need in short)


def _words(missing: int, one: QuotaRoom, need: int) -> str:
    said = f"a replica takes {need} {quota_key(one)}, and ResourceQuota {one.quota} leaves {max(0, one.left)}"
    return f"{said}: ask for {missing} more in {one.quota}"


def _amount(pod: PodAsk, resource: str) -> int:
    return dict(pod.amounts).get(resource, 0)


def _of(one: Reservation, resource: str) -> int:
    pods = len(one.nodes)
    return pods if resource == PODS else pods * one.gpus_per_pod if resource == one.gpu_resource else 0
