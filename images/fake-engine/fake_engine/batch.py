"""The dynamics of continuous batching without a model: a queue, a KV cache that fills, steps that slow down under load.

Each step every running request gets one token. A request runs when there is a seat (`max_sequences`) and room in the KV
cache for its prompt; when the cache is full the youngest is preempted and starts again. Time is real, tokens are words.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from fake_engine.knobs import Knobs


class EngineDead(Exception):  # noqa: N818 - named as the real one says it
    """The engine is gone; every request fails with it."""

    def __init__(self) -> None:
        super().__init__("EngineCore encountered an issue. See stack trace (above) for the root cause.")


class Observer(Protocol):
    """Who wants to know, for metrics."""

    def first_token(self, seconds: float) -> None:
        """A request's first token came so long after its arrival."""

    def next_token(self, seconds: float) -> None:
        """A further token came so long after the one before."""

    def finished(self, request: "Request", reason: str) -> None:
        """A request ended."""

    def preempted(self) -> None:
        """A running request lost its place."""

    def stepped(self, tokens: int, seconds: float) -> None:
        """One step made so many tokens."""


@dataclass(slots=True, eq=False)
class Request:
    """One request and where its tokens go."""

    prompt_tokens: int
    words: list[str]
    arrived: float = field(default_factory=time.monotonic)
    started: float = 0.0
    last_token: float = 0.0
    made: int = 0
    out: asyncio.Queue[str | Exception | None] = field(default_factory=asyncio.Queue)

    @property
    def held_tokens(self) -> int:
        """KV tokens it holds while it runs."""
        return self.prompt_tokens + self.made


@dataclass(slots=True)
class Batch:
    """The scheduler and its loop."""

    max_sequences: int
    kv_tokens: int
    knobs: Knobs
    observer: Observer
    waiting: deque[Request] = field(default_factory=deque)
    running: list[Request] = field(default_factory=list)
    dead: bool = False
    stuck: bool = False
    """Steps no longer end: a collective waits for a peer that is gone, or the hang knob came."""
    stuck_timeout_seconds: float = 300.0
    accepted: int = 0
    on_death: Callable[[], None] = lambda: None
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nothing waits and nothing runs."""
    _work: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.idle.set()

    @property
    def kv_usage(self) -> float:
        """Part of the KV cache in use, 0 to 1."""
        return min(1.0, sum(request.held_tokens for request in self.running) / max(self.kv_tokens, 1))

    def submit(self, request: Request) -> None:
        """Queue a request."""
        if self.dead:
            raise EngineDead
        self.accepted += 1
        self.waiting.append(request)
        self.idle.clear()
        self._work.set()

    def abort(self, request: Request) -> None:
        """The client is gone."""
        if request in self.running:
            self.running.remove(request)
        elif request in self.waiting:
            self.waiting.remove(request)
        else:
            return
        self.observer.finished(request, "abort")

    async def run(self) -> None:
        """Step until cancelled or dead."""
        while not self.dead:
            if not self.running and not self.waiting:
                self._work.clear()
                self.idle.set()
                await self._work.wait()
            if self.stuck:
                await asyncio.sleep(self.stuck_timeout_seconds)
                self.die()
                return
            await self._step()

    async def _step(self) -> None:
        prefill = self._admit()
        began = time.monotonic()
        seconds = (
            self.knobs.step_milliseconds / 1e3 + len(self.running) * self.knobs.step_microseconds_per_sequence / 1e6
        )
        await asyncio.sleep(seconds + prefill * self.knobs.prefill_microseconds_per_token / 1e6)
        if self.stuck:
            return
        self._make_room()
        for request in list(self.running):
            self._token(request)
        self.observer.stepped(len(self.running) + prefill, time.monotonic() - began)

    def _admit(self) -> int:
        """Seat what fits, in order of arrival; returns the prompt tokens to compute."""
        held = sum(request.held_tokens for request in self.running)
        prefill = 0
        while self.waiting and len(self.running) < self.max_sequences:
            request = self.waiting[0]
            if held + request.held_tokens + 1 > self.kv_tokens and self.running:
                break
            self.running.append(self.waiting.popleft())
            request.started = request.started or time.monotonic()
            held += request.held_tokens + 1
            prefill += request.held_tokens
        return prefill

    def _make_room(self) -> None:
        while len(self.running) > 1 and sum(r.held_tokens + 1 for r in self.running) > self.kv_tokens:
            self.waiting.appendleft(self.running.pop())
            self.observer.preempted()

    def _token(self, request: Request) -> None:
        now = time.monotonic()
        if request.made == 0:
            self.observer.first_token(now - request.arrived)
        else:
            self.observer.next_token(now - request.last_token)
        request.last_token = now
        request.out.put_nowait(request.words[request.made])
        request.made += 1
        if request.made == len(request.words):
            self.running.remove(request)
            request.out.put_nowait(None)
            self.observer.finished(request, "stop")

    def die(self) -> None:
        """Fail everything, now and from now on."""
        self.dead = True
        for request in [*self.running, *self.waiting]:
            request.out.put_nowait(EngineDead())
        self.running.clear()
        self.waiting.clear()
        self.on_death()
