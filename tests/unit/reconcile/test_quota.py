"""Head-room under ResourceQuotas: counted from pods and promises, whoever came first."""

from __future__ import annotations

from shardwright.inventory import PodAsk, PodClass, Quota
from shardwright.inventory.quotas import Scope
from shardwright.plan.choose import choose
from shardwright.plan.types import QuotaRoom
from shardwright.reconcile.quota import Purse, Tenant, room
from shardwright.reconcile.types import Reservation
from support.planning import inventory, pool, request

GPU = "nvidia.com/gpu"
PLAIN = PodClass()
TEAM = Quota("team", ((GPU, 16),))


def ask(gpus: int, replica: int = 0, *, terminating: bool = False, pod_class: PodClass = PLAIN) -> PodAsk:
    return PodAsk(pod_class, ((GPU, gpus), ("pods", 1)), replica, terminating)


def tenant(born: int, *promises: Reservation, pods: tuple[PodAsk, ...] = (), pod_class: PodClass = PLAIN) -> Tenant:
    return Tenant((str(born), str(born)), pod_class, promises, pods)


def promise(gpus: int, nodes: int = 1, replica: int = 0) -> Reservation:
    return Reservation(replica, gpus, tuple(f"n{index}" for index in range(nodes)), GPU)


def left(
    me: Tenant, *others: Tenant, foreign: int = 0, used: int | None = None, standing: bool = False, quota: Quota = TEAM
) -> int:
    ours = sum(dict(pod.amounts)[GPU] for one in (me, *others) for pod in one.pods)
    if used is not None:
        quota = Quota(quota.name, quota.hard, ((GPU, used),), quota.scopes)
    found = room([quota], {(PLAIN, GPU): foreign + ours}, me, others, standing=standing)
    return {one.resource: one.left for one in found}[GPU]


def test_what_a_deployment_runs_itself_is_its_own_to_use() -> None:
    assert left(tenant(1, promise(8), pods=(ask(8),))) == 16


def test_foreign_pods_and_others_promises_count() -> None:
    assert left(tenant(1), foreign=3) == 13
    assert left(tenant(1), tenant(2, promise(4, nodes=2))) == 8
    assert left(tenant(1), tenant(2, promise(4, nodes=2), pods=(ask(4),))) == 8


def test_pods_on_their_way_out_count_until_they_are_gone() -> None:
    assert left(tenant(1), tenant(2, pods=(ask(8, terminating=True),))) == 8


def test_used_is_believed_for_new_replicas_only_where_it_says_more() -> None:
    assert left(tenant(1), foreign=2, used=6) == 10
    assert left(tenant(1), foreign=6, used=2) == 10
    assert left(tenant(1, promise(8)), foreign=2, used=10, standing=True) == 14


def test_an_older_promise_stands_and_a_younger_one_yields() -> None:
    older, younger = tenant(1, promise(12)), tenant(2, promise(12))
    assert left(older, younger, standing=True) == 16
    assert left(younger, older, standing=True) == 4


def test_whole_replicas_of_younger_deployments_are_not_promised_away() -> None:
    runs = tenant(2, promise(4, nodes=2), pods=(ask(4), ask(4)))
    half = tenant(2, promise(4, nodes=2), pods=(ask(4),))
    assert left(tenant(1, promise(12)), runs, standing=True) == 8
    assert left(tenant(1, promise(12)), half, standing=True) == 16


def test_quotas_of_other_priority_classes_are_ignored_and_the_strictest_of_several_is_named() -> None:
    high = Quota("high", ((GPU, 2),), scopes=(Scope("PriorityClass", "In", ("high",)),))
    low = Quota("low", ((GPU, 6), ("pods", 3)))
    found = room([TEAM, high, low], {}, tenant(1), [], standing=False)
    assert found == (QuotaRoom(GPU, 6, "low"), QuotaRoom("pods", 3, "low"))
    vip = tenant(1, pod_class=PodClass("high"))
    assert room([TEAM, high, low], {}, vip, [], standing=False)[0] == QuotaRoom(GPU, 2, "high")


def test_a_purse_pays_while_it_can_and_says_what_it_lacked() -> None:
    placement = choose(request(), inventory(pool())).placements[0]
    purse = Purse((QuotaRoom(GPU, 2, "team"), QuotaRoom("pods", 9, "team")))
    assert [purse.pay(placement) for _ in range(3)] == [True, True, False]
    said = "a replica takes 1 requests.nvidia.com/gpu, and ResourceQuota team leaves 0: ask for 1 more in team"
    assert purse.lacked == said


def test_what_runs_is_paid_even_from_an_empty_purse() -> None:
    placement = choose(request(), inventory(pool())).placements[0]
    purse = Purse((QuotaRoom(GPU, 1, "team"),))
    assert all(purse.pay(placement, anyway=True) for _ in range(3))
    assert not purse.lacked
    assert "leaves 0: ask for 3 more" in purse.shortage(placement)
