"""Whose turn it is: never more down than allowed; a version that does not start stops the roll."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shardwright.reconcile.rollout import Standing, surge_wanted, turns


def standing(text: str) -> list[Standing]:
    """`o` old and ready, `x` old and not, `n` new and ready, `s` new and starting."""
    return [Standing(id_, outdated=word in "ox", ready=word in "on") for id_, word in enumerate(text)]


def test_one_after_the_other() -> None:
    assert turns(standing("ooo"), 1) == {0}
    assert turns(standing("soo"), 1) == set()
    assert turns(standing("noo"), 1) == {1}
    assert turns(standing("nnn"), 1) == set()


def test_as_many_as_may_be_down() -> None:
    assert turns(standing("oooo"), 2) == {0, 1}
    assert turns(standing("sooo"), 2) == {1}


def test_those_that_are_down_anyway_go_first() -> None:
    assert turns(standing("oxo"), 1) == {1}


def test_a_version_that_never_starts_stops_the_roll() -> None:
    assert turns(standing("sooo"), 1) == set()


def test_nothing_serves_so_nothing_is_protected() -> None:
    assert turns(standing("xxs"), 1) == {0, 1}


@given(st.text(alphabet="oxns", min_size=1, max_size=12), st.integers(0, 4))
def test_never_fewer_ready_than_allowed(text: str, allowed: int) -> None:
    replicas = standing(text)
    chosen = turns(replicas, allowed)
    ready_before = sum(one.ready for one in replicas)
    down_before = len(replicas) - ready_before
    taken = sum(one.ready for one in replicas if one.id in chosen)
    assert all(replicas[id_].outdated for id_ in chosen)
    if ready_before:
        assert taken == 0 or down_before + taken <= max(1, allowed)


def surging(text: str, extra: str) -> list[Standing]:
    """Wanted replicas, then those beyond the wanted number."""
    return [
        Standing(id_, outdated=word in "ox", ready=word in "on", surge=id_ >= len(text))
        for id_, word in enumerate(text + extra)
    ]


def test_a_wanted_replica_goes_only_while_one_beyond_them_serves() -> None:
    assert turns(surging("oo", ""), 0) == set()
    assert turns(surging("oo", "s"), 0) == set()
    assert turns(surging("oo", "n"), 0) == {0}
    assert turns(surging("so", "n"), 0) == set()
    assert turns(surging("no", "n"), 0) == {1}


def test_one_beyond_the_wanted_is_patched_at_once() -> None:
    assert turns(surging("oo", "o"), 0) == {2}


def test_one_that_is_down_is_patched_though_none_may_be_down() -> None:
    assert turns(surging("xo", ""), 0) == {0}


def test_replicas_beyond_the_wanted_stay_until_all_run_the_new_version() -> None:
    assert surge_wanted(surging("oo", ""), 1) == 1
    assert surge_wanted(surging("ns", "n"), 1) == 1
    assert surge_wanted(surging("nn", "n"), 1) == 0
    assert surge_wanted(surging("no", ""), 5) == 1
