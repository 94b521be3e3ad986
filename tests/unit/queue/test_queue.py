"""The keyed queue: one key never in two workers, nothing lost, failures wait longer and longer, a gate holds all."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardwright.queue import KeyedQueue, QueueClosedError, work


async def test_a_key_that_is_added_twice_comes_once() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0 and not queue.busy


async def test_a_key_added_while_it_is_worked_on_comes_again_and_not_before() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 0.02)
    queue.done("a")
    assert await asyncio.wait_for(queue.get(), 0.1) == "a"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 6))
def test_no_key_is_ever_in_two_workers_and_none_is_lost(keys: list[int], workers: int) -> None:
    async def run() -> None:
        queue: KeyedQueue[int] = KeyedQueue()
        inside: Counter[int] = Counter()
        last_seen: dict[int, int] = {}
        version: Counter[int] = Counter()

        async def handle(key: int) -> None:
            inside[key] += 1
            assert inside[key] == 1
            seen = version[key]
            await asyncio.sleep(0)
            last_seen[key] = seen
            inside[key] -= 1

        tasks = [asyncio.create_task(work(queue, handle)) for _ in range(workers)]
        for key in keys:
            version[key] += 1
            queue.add(key)
            await asyncio.sleep(0)
        while queue.busy:  # noqa: ASYNC110  # every step of the loop is a chance for two workers to meet
            await asyncio.sleep(0)
        queue.shut_down()
        await asyncio.gather(*tasks)
        assert last_seen == dict(version), "a change that came during the work was not worked on"

    asyncio.run(run())


async def test_failures_double_the_delay_up_to_the_longest_and_success_forgets_them() -> None:
    queue: KeyedQueue[str] = KeyedQueue(first_retry_seconds=1, longest_retry_seconds=5)
    assert [queue.retry("a") for _ in range(5)] == [1, 2, 4, 5, 5]
    assert queue.retry("b") == 1
    queue.succeeded("a")
    assert queue.retry("a") == 1
    queue.shut_down()


async def test_two_starts_of_a_key_keep_their_interval() -> None:
    queue: KeyedQueue[str] = KeyedQueue(interval_seconds=0.05)
    clock = asyncio.get_running_loop().time
    queue.add("a")
    await queue.get()
    began = clock()
    queue.add("a")
    queue.done("a")
    await queue.get()
    assert clock() - began >= 0.049


async def test_something_urgent_overtakes_a_long_delay() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add_after("a", 60)
    queue.add_after("a", 0.01)
    assert await asyncio.wait_for(queue.get(), 1) == "a"
    queue.done("a")
    queue.shut_down()


async def test_a_closed_gate_lets_keys_gather() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.close_gate()
    queue.add("a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 0.02)
    queue.open_gate()
    assert await asyncio.wait_for(queue.get(), 0.1) == "a"


async def test_shutting_down_wakes_everybody() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.shut_down()
    for task in waiting:
        with pytest.raises(QueueClosedError):
            await task
