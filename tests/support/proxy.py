"""A counting proxy between the operator and the API server.

It records every request, can kill a process right before or right after the n-th write, and can cut watches. It knows
HTTP, and of Kubernetes two things: which verbs write, and that a watch is a GET with `watch=true`.
"""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import ssl
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import aiohttp
import yaml
from aiohttp import web

from support.certificate import self_signed

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
NOT_PASSED_ON = frozenset({"host", "connection", "transfer-encoding", "content-length", "keep-alive"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request that came by, at a moment of time.monotonic(); status 0 means that no answer was passed on."""

    moment_seconds: float
    verb: str
    path: str
    query: str
    user_agent: str
    status: int


@dataclass(slots=True)
class _Kill:
    pid: int
    at_write: int
    moment: Literal["before", "after"]
    done: threading.Event = field(default_factory=threading.Event)


class CountingProxy:
    """Serves HTTPS on 127.0.0.1 and speaks to the API server of a kubeconfig; the caller's own token goes through."""

    def __init__(self, kubeconfig: Path) -> None:
        cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
        self._upstream: str = cluster["server"].rstrip("/")
        self._trust = _trust(cluster)
        self._certificate, self._key = self_signed()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._watches: set[asyncio.Task[object]] = set()
        self._cut = False
        self._kill: _Kill | None = None
        self._writes_begun = 0
        self.calls: list[Call] = []
        self.port = 0

    @property
    def kubeconfig_cluster(self) -> dict[str, str]:
        """What a kubeconfig says of a cluster, so that its user comes through here."""
        authority = base64.b64encode(self._certificate).decode()
        return {"server": f"https://127.0.0.1:{self.port}", "certificate-authority-data": authority}

    # What tests ask.

    def writes(self, since: int = 0) -> list[Call]:
        """The writes that reached the proxy, oldest first; `since` leaves out the first ones."""
        return [call for call in self.calls if call.verb in WRITES][since:]

    def count(self) -> Counter[tuple[str, str]]:
        """Writes by (verb, path)."""
        return Counter((call.verb, call.path) for call in self.writes())

    def reset(self) -> None:
        """Forget what was recorded and any kill that has not happened."""
        self.calls.clear()
        self._writes_begun = 0
        self._kill = None

    def kill_at_write(self, pid: int, number: int, moment: Literal["before", "after"]) -> threading.Event:
        """SIGKILL pid around the number-th write from now (1 is the next); the event is set once that has been done.

        `before`: the write never reaches the API server. `after`: it is done there, and its answer never comes back.
        """
        self._kill = _Kill(pid, self._writes_begun + number, moment)
        return self._kill.done

    @contextmanager
    def watches_cut(self) -> Iterator[None]:
        """Inside, streaming connections are dropped and new watches are refused; everything else passes."""
        self._cut = True
        self._loop.call_soon_threadsafe(self._drop_watches)
        try:
            yield
        finally:
            self._cut = False

    def drop_watches(self) -> None:
        """Drop the watches that are open; new ones are let through at once."""
        self._loop.call_soon_threadsafe(self._drop_watches)

    # Life.

    def __enter__(self) -> CountingProxy:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _start(self) -> None:
        connector = aiohttp.TCPConnector(ssl=self._trust, limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
        )
        application = web.Application(client_max_size=16 * 2**20)
        application.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._identity())
        await site.start()
        self.port = self._runner.addresses[0][1]

    def _identity(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with tempfile.NamedTemporaryFile() as file:
            file.write(self._certificate + self._key)
            file.flush()
            context.load_cert_chain(file.name)
        return context

    async def _stop(self) -> None:
        self._drop_watches()
        await self._runner.cleanup()
        await self._session.close()

    def _drop_watches(self) -> None:
        for task in tuple(self._watches):
            task.cancel()

    # One request.

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        watch = request.query.get("watch", "") in {"true", "1"}
        if watch and self._cut:
            return self._dropped(request)
        number = 0
        if request.method in WRITES:
            self._writes_begun += 1
            number = self._writes_begun
            if self._kills(number, "before"):
                return self._dropped(request)
        task = asyncio.current_task()
        if watch and task:
            self._watches.add(task)
        try:
            return await self._forward(request, number)
        except aiohttp.ClientError as error:
            self._record(request, 502)
            return web.Response(status=502, text=f"the API server cannot be reached: {error}")
        finally:
            if task:
                self._watches.discard(task)

    async def _forward(self, request: web.Request, number: int) -> web.StreamResponse:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in NOT_PASSED_ON]
        body = await request.read() if request.can_read_body else None
        url = self._upstream + request.path_qs
        async with self._session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            if number and self._kills(number, "after"):
                return self._dropped(request)
            self._record(request, answer.status)
            reply = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in NOT_PASSED_ON:
                    reply.headers.add(name, value)
            await reply.prepare(request)
            async for piece in answer.content.iter_any():
                await reply.write(piece)
            await reply.write_eof()
            return reply

    def _kills(self, number: int, moment: str) -> bool:
        kill = self._kill
        if kill is None or kill.done.is_set() or kill.moment != moment or kill.at_write != number:
            return False
        os.kill(kill.pid, signal.SIGKILL)
        kill.done.set()
        return True

    def _dropped(self, request: web.Request) -> web.Response:
        """Close the connection without an answer."""
        self._record(request, 0)
        if request.transport:
            request.transport.abort()
        return web.Response(status=503)

    def _record(self, request: web.Request, status: int) -> None:
        agent = request.headers.get("User-Agent", "")
        self.calls.append(Call(time.monotonic(), request.method, request.path, request.query_string, agent, status))


def _trust(cluster: dict[str, str]) -> ssl.SSLContext:
    if data := cluster.get("certificate-authority-data"):
        return ssl.create_default_context(cadata=base64.b64decode(data).decode())
    return ssl.create_default_context(cafile=cluster["certificate-authority"])
