"""Whose turn it is: never more down than allowed; a version that does not start stops the roll."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shardwright.reconcile.rollout import Standing, turns


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
