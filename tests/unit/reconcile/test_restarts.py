"""What becomes of a replica that breaks: who is named, when it is made anew, given up, and forgiven."""

from dataclasses import replace

import pytest

from shardwright.api import labels
from shardwright.api.reasons import Reason
from shardwright.api.spec import RestartSpec
from shardwright.catalog.failures import Level
from shardwright.reconcile.culprits import History
from shardwright.reconcile.live import LiveReplica
from shardwright.reconcile.restarts import Life, Rules, life
from shardwright.status import Death, health
from support.situations import pod, replica

NOW = "2026-11-21T12:00:00Z"


def at(minutes, seconds=0):
    return f"2026-11-21T12:{minutes:02}:{seconds:02}Z"


def death(reason=Reason.GPU_OUT_OF_MEMORY, level=Level.CAUSE, finished_at=NOW, **more):
    return Death(reason, f"ended with exit code 1: {reason}", level, finished_at, **more)


def broken(index=0, how=None, deaths=1, **fields):
    how = how or death()
    given = {"trouble": how.reason, "message": how.words, "death": how, "deaths": deaths, "uid": f"uid-{index}"}
    return pod(index, ready=False, **{**given, **fields})


def live(notes=(), incarnation=0):
    annotations = {labels.PLAN_HASH: "1-abc", **dict(notes)}
    template = {"metadata": {"annotations": {labels.INCARNATION: str(incarnation)}}}
    set_ = {"metadata": {"annotations": annotations}, "spec": {"template": template}}
    return LiveReplica(0, set_, (), (), 0)


def judge(seen, known=None, now=NOW, budget=5, again="", **history):
    known = known or Life(0)
    found = live(known.annotations(), known.incarnation)
    seen = replace(seen, incarnation=known.incarnation)
    seen = replace(seen, pods=tuple(replace(one, incarnation=known.incarnation) for one in seen.pods))
    rules = Rules(RestartSpec(budget=budget), now, again)
    return life(found, seen, health(seen), History(**history), rules)


def test_a_broken_group_is_made_anew_and_its_culprit_remembered():
    first = judge(replica(pod(ready=False), broken(1)))
    assert (first.incarnation, first.count, first.time) == (1, 1, NOW)
    assert first.culprit.startswith("GpuOutOfMemory: pod qwen-0-1 on h100-1 ended with exit code 1")


@pytest.mark.parametrize(
    ("leader", "follower", "named"),
    [
        (death(Reason.PEER_LOST, Level.CONSEQUENCE, at(0, 0)), death(Reason.KILLED, finished_at=at(0, 3)), 1),
        (death(Reason.NCCL_TIMEOUT, Level.SYMPTOM, at(0, 0)), death(Reason.GPU_LOST, finished_at=at(0, 9)), 1),
        (death(Reason.GPU_FAULT, finished_at=at(0, 1)), death(Reason.PEER_LOST, Level.CONSEQUENCE, at(0, 1)), 0),
        (death(finished_at=at(0, 4)), death(finished_at=at(0, 2)), 1),
        (death(finished_at=at(0, 2)), death(finished_at=at(0, 2)), 0),
    ],
)
def test_who_broke_first_is_named_and_who_only_followed_is_not(leader, follower, named):
    found = judge(replica(broken(0, leader), broken(1, follower)), now=at(1))
    assert f"pod qwen-0-{named} " in found.culprit


def test_a_symptom_waits_a_moment_for_the_cause():
    symptom = death(Reason.NCCL_TIMEOUT, Level.SYMPTOM, at(0, 0))
    group = replica(broken(0, symptom), pod(1))
    waits = judge(group, now=at(0, 2))
    assert (waits.incarnation, waits.due_in_seconds) == (0, 3.0)
    assert "NcclTimeout" not in waits.pending
    assert judge(group, now=at(0, 5)).incarnation == 1
    assert judge(group, now="2026-11-21T11:00:00Z").incarnation == 1, "a node's clock an hour ahead holds nothing up"


def test_a_lost_pod_is_named_before_a_pod_that_only_felt_it():
    felt = broken(0, death(Reason.PEER_LOST, Level.CONSEQUENCE))
    found = judge(replica(felt, size=2), now=at(1), was_ready=True)
    assert found.culprit.startswith("PodLost: pod 1")


def test_the_back_off_grows_and_the_budget_ends_it():
    known, waited, minute = Life(0), [], 0
    for _ in range(20):
        found = judge(replica(pod(ready=False), broken(1)), known, now=at(minute))
        if found.gave_up:
            break
        if found.due_in_seconds:
            waited.append(found.due_in_seconds)
            found = judge(
                replica(pod(ready=False), broken(1)), replace(known, time="2026-11-21T11:00:00Z"), now=at(minute)
            )
        known = replace(found, time=at(minute))
    assert waited == [10.0, 20.0, 40.0, 80.0]
    assert found.gave_up
    assert found.count == 5
    assert found.culprit.startswith("GpuOutOfMemory: pod qwen-0-1")


def given_up(size=2):
    known = Life(3, count=5, time=NOW, culprit="GpuOutOfMemory: pod a", gave_up=True)
    return known if size > 1 else replace(known, count=6, seen="uid-0/9")


@pytest.mark.parametrize("size", [1, 2])
def test_given_up_stays_so_with_its_first_culprit_until_it_is_well_or_asked_to_try(size):
    other = broken(0, death(Reason.PEER_LOST, Level.CONSEQUENCE), deaths=9)
    seen = replica(other, size=size)
    kept = judge(seen, given_up(size), now=at(30))
    assert kept.gave_up
    assert (kept.culprit, kept.incarnation) == ("GpuOutOfMemory: pod a", 3)
    again = judge(seen, given_up(size), now=at(30), again="now")
    assert (again.gave_up, again.count, again.incarnation, again.again) == (False, 0, 4, "now")
    assert not judge(seen, replace(given_up(size), again="now"), now=at(30), again="now", budget=9).gave_up
    well = judge(replica(*(pod(index) for index in range(size))), given_up(size), now=at(1))
    assert (well.gave_up, well.incarnation) == (False, 3)
    assert judge(replica(*(pod(i) for i in range(size))), given_up(size), now=at(10, 1)).count == 0


def test_trying_again_leaves_alone_what_is_well_or_never_broke():
    assert judge(replica(pod()), Life(2), again="now") == Life(2)
    assert judge(replica(pod(), pod(1)), Life(2, 1, NOW, "x"), again="now").incarnation == 2


def test_single_pods_are_counted_where_kubelet_restarts_them():
    known = Life(0)
    for deaths in range(1, 6):
        known = judge(replica(broken(deaths=deaths)), known, now=at(deaths))
        assert (known.count, known.gave_up, known.incarnation) == (deaths, False, 0)
        assert judge(replica(broken(deaths=deaths)), known, now=at(deaths, 1)) == known, "each end counts once"
    last = judge(replica(broken(deaths=6)), known, now=at(6))
    assert last.gave_up
    assert not last.parked
    assert last.culprit.startswith("GpuOutOfMemory: pod qwen-0-0")


def test_what_ended_before_anybody_looked_is_no_count_against_a_pod_that_is_well():
    seen = replica(pod(deaths=40, uid="uid-0"))
    known = judge(seen)
    assert (known.count, known.seen) == (0, "uid-0/40")
    assert judge(replica(broken(deaths=41)), known).count == 1


def test_refused_pods_are_not_made_anew_without_a_pause():
    refused = death(Reason.POD_REJECTED, of_pod=True)
    known = judge(replica(broken(0, refused, phase="Failed")))
    assert (known.count, known.parked, known.due_in_seconds) == (1, True, 10.0)
    assert judge(replica(size=1), known, now=at(0, 4)).parked
    freed = judge(replica(size=1), known, now=at(0, 10))
    assert (freed.parked, freed.count) == (False, 1)
    spent = judge(replica(broken(0, refused, uid="other")), replace(freed, count=5), now=at(20))
    assert (spent.gave_up, spent.parked) == (True, True)
    assert judge(replica(size=1), spent, now=at(40)) == spent


def test_a_group_that_is_refused_is_parked_between_its_restarts():
    refused = replica(broken(0, death(Reason.POD_REJECTED, of_pod=True), phase="Failed"), pod(1, ready=False))
    first = judge(refused)
    assert (first.incarnation, first.parked) == (1, False)
    second = judge(refused, first, now=at(0, 1))
    assert (second.incarnation, second.parked, second.due_in_seconds) == (1, True, 9.0)
    third = judge(replica(size=2), second, now=at(0, 11))
    assert (third.incarnation, third.count, third.parked) == (2, 2, False)


def test_a_download_that_fails_is_kubelets_to_repeat_until_the_budget_is_spent():
    failed = death(Reason.MODEL_NOT_FOUND, init=True)
    assert judge(replica(broken(0, failed, deaths=5), pod(1, ready=False))).incarnation == 0
    last = judge(replica(broken(0, failed, deaths=6), pod(1, ready=False)))
    assert last.gave_up
    assert last.culprit.startswith("ModelNotFound")
    assert judge(replica(broken(0, failed, deaths=7), pod(1, ready=False)), last, now=at(9)) == last
