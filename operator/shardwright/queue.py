"""A queue of keys: each key at most once, never in two workers, retried with a growing delay.

Knows nothing of what keys mean.

A key that is added while it is worked on is worked on again afterwards. Between two starts of one key lies at least
`interval_seconds`. The queue has a gate: while it is closed keys gather, and workers wait; a Lease can hold it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")


class QueueClosedError(Exception):
    """The queue was shut down; no key will come."""


class KeyedQueue(Generic[Key]):
    """Keys that wait for a worker. All methods belong to one event loop; only `get` waits."""

    def __init__(
        self,
        *,
        interval_seconds: float = 0.0,
        first_retry_seconds: float = 0.25,
        longest_retry_seconds: float = 300.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Delays are seconds of the event loop's clock unless another clock is given."""
        self._interval = interval_seconds
        self._first_retry = first_retry_seconds
        self._longest_retry = longest_retry_seconds
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._ready: deque[Key] = deque()
        self._waiting: set[Key] = set()
        self._working: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, tuple[float, asyncio.TimerHandle]] = {}
        self._started: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()
        self._gate = asyncio.Event()
        self._gate.set()
        self._shut_down = False

    def __len__(self) -> int:
        """Keys that wait for a worker, without those whose time has not come."""
        return len(self._ready)

    @property
    def busy(self) -> bool:
        """Whether a key waits or is worked on."""
        return bool(self._ready or self._working)

    def add(self, key: Key) -> None:
        """Work on the key as soon as its interval allows."""
        if key in self._working:
            self._again.add(key)
            return
        if key in self._waiting:
            return
        due = self._started.get(key, float("-inf")) + self._interval
        if due > self._clock():
            self._schedule(key, due)
            return
        self._cancel_timer(key)
        self._waiting.add(key)
        self._ready.append(key)
        self._wake.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Work on the key in that many seconds, or earlier if something else asks earlier."""
        if seconds <= 0:
            self.add(key)
        elif key not in self._waiting:
            self._schedule(key, self._clock() + seconds)

    def retry(self, key: Key) -> float:
        """Work on a failed key after its back-off; returns the delay in seconds, doubled with each failure."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = float(min(self._longest_retry, self._first_retry * 2 ** min(failures, 32)))
        self._schedule(key, self._clock() + delay)
        return delay

    def succeeded(self, key: Key) -> None:
        """Forget the key's failures."""
        self._failures.pop(key, None)

    def forget(self, key: Key) -> None:
        """Drop everything remembered of a key that is gone; if it waits, it still comes."""
        self._failures.pop(key, None)
        self._started.pop(key, None)

    def open_gate(self) -> None:
        """Let workers take keys."""
        self._gate.set()

    def close_gate(self) -> None:
        """Let keys gather; what is being worked on goes on."""
        self._gate.clear()

    def shut_down(self) -> None:
        """Wake every waiting worker with QueueClosedError."""
        self._shut_down = True
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._gate.set()
        self._wake.set()

    async def get(self) -> Key:
        """The next key; `done` must follow. Raises QueueClosedError after shut_down."""
        while True:
            await self._gate.wait()
            if self._shut_down:
                raise QueueClosedError
            if self._ready:
                break
            self._wake.clear()
            await self._wake.wait()
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._working.add(key)
        self._started[key] = self._clock()
        return key

    def done(self, key: Key) -> None:
        """The worker is through with the key; if it was asked for meanwhile, it waits again."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _schedule(self, key: Key, due: float) -> None:
        known = self._timers.get(key)
        if known is not None and known[0] <= due:
            return
        if known is not None:
            known[1].cancel()
        delay = max(0.0, due - self._clock())
        self._timers[key] = (due, asyncio.get_running_loop().call_later(delay, self._fire, key))

    def _fire(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel_timer(self, key: Key) -> None:
        if known := self._timers.pop(key, None):
            known[1].cancel()


async def work(queue: KeyedQueue[Key], handle: Callable[[Key], Awaitable[None]]) -> None:
    """Hand keys to `handle`, one after the other, until the queue is shut down. `handle` must not raise."""
    while True:
        try:
            key = await queue.get()
        except QueueClosedError:
            return
        try:
            await handle(key)
        finally:
            queue.done(key)
