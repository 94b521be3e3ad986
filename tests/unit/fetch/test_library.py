"""Asking never waits; what is read is remembered; failures wait longer and longer; tokens do not share answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from shardwright.api.reasons import Reason
from shardwright.fetch.library import Library
from shardwright.fetch.model import HubModel
from shardwright.fetch.problem import FetchProblem

MODEL = HubModel("http://hub", "org/small")
FILES = {"config.json": "{}"}


class Desk:
    """A library whose hub and clock a test holds in its hands."""

    def __init__(self, at_once: int = 4) -> None:
        self.now = 0.0
        self.woken: list[str] = []
        self.fetched: list[tuple[HubModel, str]] = []
        self.fail: FetchProblem | Exception | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.library: Library[HubModel, str] = Library(
            self.fetch, self.woken.append, at_once=at_once, first_retry_seconds=10, clock=lambda: self.now
        )

    async def fetch(self, model: HubModel, token: str) -> Mapping[str, str]:
        self.fetched.append((model, token))
        await self.open.wait()
        if self.fail:
            raise self.fail
        return FILES

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


async def test_asking_begins_a_reading_and_wakes_each_waiter_once() -> None:
    desk = Desk()
    assert desk.library.ask(MODEL, "a").files is None
    assert desk.library.ask(MODEL, "b").problem is None
    desk.library.ask(MODEL, "a")
    await desk.settle()
    assert sorted(desk.woken) == ["a", "b"] and len(desk.fetched) == 1
    assert desk.library.ask(MODEL, "a").files == FILES
    await desk.settle()
    assert len(desk.fetched) == 1


async def test_a_failure_is_told_and_tried_again_with_a_growing_delay() -> None:
    desk = Desk()
    desk.fail = FetchProblem(Reason.MODEL_NOT_FOUND, "it is not there")
    delays = []
    for _ in range(10):
        desk.library.ask(MODEL, "a")
        await desk.settle()
        book = desk.library.ask(MODEL, "a")
        assert book.problem is desk.fail and book.retry_seconds
        delays.append(book.retry_seconds)
        count = len(desk.fetched)
        desk.now += book.retry_seconds - 0.001
        desk.library.ask(MODEL, "a")
        await desk.settle()
        assert len(desk.fetched) == count, "it was asked before its time"
        desk.now += 0.001
    assert delays == [10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800]
    desk.fail = None
    assert desk.library.ask(MODEL, "a").problem is not None, "the last problem stands while it is read again"
    await desk.settle()
    assert desk.library.ask(MODEL, "a").files == FILES


async def test_what_the_hub_asks_for_counts() -> None:
    desk = Desk()
    desk.fail = FetchProblem(Reason.HUB_UNREACHABLE, "too many requests", 500)
    desk.library.ask(MODEL, "a")
    await desk.settle()
    assert desk.library.ask(MODEL, "a").retry_seconds == 500


async def test_an_old_answer_is_read_anew_and_kept_when_that_fails() -> None:
    desk = Desk()
    desk.library.ask(MODEL, "a")
    await desk.settle()
    desk.now, desk.fail = 100_000, FetchProblem(Reason.HUB_UNREACHABLE, "down")
    for _ in range(2):
        book = desk.library.ask(MODEL, "a")
        assert book.files == FILES
        await desk.settle()
    assert len(desk.fetched) == 2


async def test_a_token_is_asked_for_when_needed_and_its_answer_is_nobody_elses() -> None:
    desk = Desk()

    async def token() -> str:
        return "secret"

    desk.library.ask(MODEL, "a", token, ("space", "name", "key"))
    await desk.settle()
    assert desk.fetched == [(MODEL, "secret")]
    assert desk.library.ask(MODEL, "b").files is None
    await desk.settle()
    assert desk.fetched[1:] == [(MODEL, "")]


async def test_few_are_read_at_once_and_a_bug_is_a_problem_too() -> None:
    desk = Desk(at_once=2)
    desk.open.clear()
    for number in range(10):
        desk.library.ask(HubModel("http://hub", f"org/{number}"), "a")
    await desk.settle()
    assert len(desk.fetched) == 2
    desk.fail = RuntimeError("a bug")
    desk.open.set()
    await desk.settle()
    assert len(desk.fetched) == 10
    book = desk.library.ask(HubModel("http://hub", "org/3"), "a")
    assert book.problem and book.problem.reason is Reason.INTERNAL_ERROR


async def test_close_ends_what_is_being_read() -> None:
    desk = Desk()
    desk.open.clear()
    desk.library.ask(MODEL, "a")
    await desk.settle()
    await asyncio.wait_for(desk.library.close(), 1)
    assert desk.woken == []


async def test_it_does_not_grow_without_bound() -> None:
    desk = Desk()
    for number in range(600):
        desk.library.ask(HubModel("http://hub", f"org/{number}"), "a")
        await desk.settle()
    assert len(desk.library._entries) <= 257
