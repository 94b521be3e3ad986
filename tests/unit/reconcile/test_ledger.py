"""The book of promises: a GPU is promised once, a bound pod settles its promise, the older deployment's word holds."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from shardwright.reconcile.ledger import Ledger, promised
from shardwright.reconcile.types import Reservation

GROUP = Reservation(0, 4, ("a", "b"))


def test_a_bound_pod_settles_the_promise_of_its_node() -> None:
    assert promised([GROUP], {}) == Counter(a=4, b=4)
    assert promised([GROUP], {0: ["b"]}) == Counter(a=4)
    assert promised([GROUP], {0: ["b", "a"]}) == Counter()


def test_a_pod_bound_elsewhere_settles_one_promise_of_its_replica() -> None:
    assert promised([Reservation(0, 2, ("a",)), Reservation(1, 2, ("a",))], {0: ["z"]}) == Counter(a=2)


def test_what_others_were_promised_is_told_without_ones_own() -> None:
    ledger = Ledger()
    ledger.reserve("one", "2026-01-01", [GROUP], {})
    ledger.reserve("two", "2026-01-02", [Reservation(0, 1, ("a",))], {})
    assert +ledger.promised(besides="one") == Counter(a=1)
    assert +ledger.promised(besides="two") == Counter(a=4, b=4)
    assert +ledger.promised(besides="stranger") == Counter(a=5, b=4)
    assert ledger.promised_to_older("two", "a") == 4
    assert ledger.promised_to_older("one", "a") == 0
    assert ledger.promisees("a") == {"one", "two"}


def test_released_is_free_again() -> None:
    ledger = Ledger()
    ledger.reserve("one", "2026-01-01", [GROUP], {0: ["a"]})
    assert ledger.release("one") == ("b",)
    assert not ledger.promised(besides="stranger") and not ledger.seated("a") and not ledger.promisees("b")
    assert ledger.release("one") == ()


nodes = st.sampled_from("abcd")
replicas = st.lists(st.tuples(st.integers(1, 8), st.lists(nodes, min_size=1, max_size=4)), max_size=4)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), replicas, st.dictionaries(st.integers(0, 3), st.lists(nodes, max_size=4))),
        max_size=12,
    )
)
def test_the_sums_are_what_the_accounts_say_whatever_happens(
    steps: list[tuple[int, list[tuple[int, list[str]]], dict[int, list[str]]]],
) -> None:
    ledger = Ledger()
    truth: dict[str, Counter[str]] = {}
    for who, seats, bound in steps:
        uid = f"u{who}"
        reservations = [Reservation(index, gpus, tuple(where)) for index, (gpus, where) in enumerate(seats)]
        ledger.reserve(uid, f"2026-01-0{who + 1}", reservations, bound)
        truth[uid] = promised(reservations, bound)
        for one in truth:
            others = sum((count for uid, count in truth.items() if uid != one), Counter())
            assert +ledger.promised(besides=one) == +others
