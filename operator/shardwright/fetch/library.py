"""What was read from hubs or volumes, remembered, and read in the background: asking never waits.

Few models are read at once. A failure is tried again after a delay that doubles; a success is read anew after a day
and is kept when that fails. Models are remembered per token, so that nobody sees what another's token opened.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shardwright.api.reasons import Reason
from shardwright.fetch.problem import FetchProblem

log = logging.getLogger("shardwright")
Model = TypeVar("Model", bound=Hashable)
"""What is read, with all that tells one from another; its `str` is for people."""
Waiter = TypeVar("Waiter", bound=Hashable)
Token = Callable[[], Awaitable[str]]
"""Gives the token when it is needed; may raise FetchProblem."""
FRESH_SECONDS = 86_400.0
MOST_MODELS = 256
_LONGEST_RETRY_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Book:
    """What is known of a model now. Neither files nor a problem: it is being read, and the waiter will be woken."""

    files: Mapping[str, str] | None = None
    problem: FetchProblem | None = None
    retry_seconds: float | None = None
    """When to ask again; None = the waiter is woken."""


@dataclass(slots=True)
class _Entry(Generic[Waiter]):
    files: Mapping[str, str] | None = None
    problem: FetchProblem | None = None
    failures: int = 0
    due: float = 0.0
    """Time of the loop's clock at which it is read again."""
    task: asyncio.Task[None] | None = None
    waiters: set[Waiter] = field(default_factory=set)


class Library(Generic[Model, Waiter]):
    """All methods belong to one event loop."""

    def __init__(
        self,
        fetch: Callable[[Model, str], Awaitable[Mapping[str, str]]],
        wake: Callable[[Waiter], None],
        *,
        at_once: int = 4,
        first_retry_seconds: float = 20.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`wake` is called once for each waiter when what it asked for has been read, or cannot be."""
        self._fetch = fetch
        self._wake = wake
        self._gate = asyncio.Semaphore(at_once)
        self._first_retry = first_retry_seconds
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._entries: dict[tuple[Model, Hashable], _Entry[Waiter]] = {}

    def ask(self, model: Model, waiter: Waiter, token: Token | None = None, owner: Hashable = None) -> Book:
        """What is known of a model; what is not known, or is too old, begins to be read. `owner`: whose token it is."""
        name = (model, owner)
        entry = self._entries.pop(name, None) or _Entry()
        self._entries[name] = entry  # the last in the order is the last asked for
        self._evict()
        left = entry.due - self._clock()
        if entry.task is None and left <= 0:
            entry.task = asyncio.get_running_loop().create_task(self._read(model, token, entry))
        if entry.files is None and entry.task is not None:
            entry.waiters.add(waiter)
        retry = left if entry.task is None and entry.files is None else None
        return Book(entry.files, entry.problem, retry)

    async def close(self) -> None:
        """End what is being read."""
        tasks = [entry.task for entry in self._entries.values() if entry.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, model: Model, token: Token | None, entry: _Entry[Waiter]) -> None:
        try:
            async with self._gate:
                files = await self._fetch(model, await token() if token else "")
            entry.files, entry.problem, entry.failures = files, None, 0
            entry.due = self._clock() + FRESH_SECONDS
        except FetchProblem as problem:
            self._failed(model, entry, problem)
        except Exception:
            log.exception("a bug in Shardwright: %s could not be read", model)
            words = f"a bug in Shardwright while reading {model}: see the operator's log"
            self._failed(model, entry, FetchProblem(Reason.INTERNAL_ERROR, words))
        entry.task = None
        waiters, entry.waiters = entry.waiters, set()
        for waiter in waiters:
            self._wake(waiter)

    def _failed(self, model: Model, entry: _Entry[Waiter], problem: FetchProblem) -> None:
        delay = min(_LONGEST_RETRY_SECONDS, self._first_retry * 2 ** min(entry.failures, 20))
        delay = max(delay, problem.retry_after_seconds or 0.0)
        entry.problem, entry.due = problem, self._clock() + delay
        entry.failures += 1
        log.info("facts of %s: %s: %s; tried again in %.0f s", model, problem.reason, problem.message, delay)

    def _evict(self) -> None:
        """Forget what nobody asked for longest."""
        for name in list(self._entries)[: max(0, len(self._entries) - MOST_MODELS)]:
            if self._entries[name].task is None:
                del self._entries[name]
