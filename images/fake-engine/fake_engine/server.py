"""Runs an engine's HTTP server through its life: the port is bound early, listens when ready, drains on SIGTERM."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aiohttp import web

from fake_engine.batch import Batch
from fake_engine.faults import fail
from fake_engine.journal import journal
from fake_engine.knobs import Knobs
from fake_engine.openai_api import OpenAiApi
from fake_engine.refusal import Refused

log = journal("APIServer")


def bound(host: str | None, port: int) -> socket.socket:
    """A bound socket that does not listen yet, so that connections are refused until the engine is ready."""
    try:
        family = socket.getaddrinfo(host or "0.0.0.0", port)[0][0]
        held = socket.socket(family=family)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host or "0.0.0.0", port))
    except OSError as taken:
        raise Refused(f"[Errno {taken.errno}] {taken.strerror}", "OSError") from taken
    return held


@dataclass(slots=True)
class Life:
    """One process from load to exit."""

    knobs: Knobs
    node_rank: int
    shutdown_seconds: float = 0.0
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    exit_code: int = 0

    def on_signals(self) -> None:
        """SIGTERM and SIGINT ask to stop."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stop.set)

    async def load(self) -> bool:
        """Pretend to read weights; False when asked to stop meanwhile."""
        if self.knobs.load_fails and self.node_rank == max(self.knobs.fault_rank, 0):
            fail(self.knobs.load_fails)
        seconds = 10.0**9 if self.knobs.unready else self.knobs.load_seconds
        try:
            await asyncio.wait_for(self.stop.wait(), seconds)
        except TimeoutError:
            return True
        return False

    def arm_faults(self) -> list[asyncio.Task[None]]:
        """Start the clocks of timed faults."""
        if self.knobs.fault_rank not in {-1, self.node_rank}:
            return []
        timed = ((self.knobs.crash_after_seconds, self.knobs.crash_exit_code), (self.knobs.oom_after_seconds, 137))
        return [asyncio.create_task(_leave(seconds, code)) for seconds, code in timed if seconds]

    async def serve(self, held: socket.socket, api: OpenAiApi, batch: Batch, routes: Iterable[web.RouteDef]) -> None:
        """Serve until asked to stop or the engine is dead."""
        app = web.Application(middlewares=[api.guard], client_max_size=64 * 2**20)
        app.add_routes([*api.routes(), *routes])
        runner = web.AppRunner(
            app, handle_signals=False, access_log=None, shutdown_timeout=0.5, handler_cancellation=True
        )
        await runner.setup()
        stepping = asyncio.create_task(batch.run())
        await web.SockSite(runner, held, backlog=2048).start()
        log.info("Application startup complete.")
        await self.stop.wait()
        await self._drain(api, batch)
        stepping.cancel()
        await runner.cleanup()
        log.info("Application shutdown complete.")

    async def _drain(self, api: OpenAiApi, batch: Batch) -> None:
        """With a time to drain running requests finish; without, all are aborted at once, as vLLM does by default."""
        api.draining = True
        log.info("Shutting down; waiting up to %d seconds for requests", int(self.shutdown_seconds))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(batch.idle.wait(), self.shutdown_seconds)

    def die_with(self, batch: Batch, keep_alive: bool) -> Callable[[], None]:
        """What happens when the engine died: the server stays 503 for a moment and leaves, unless kept alive."""

        def dead() -> None:
            log.error("EngineCore encountered a fatal error; EngineDeadError")
            if not keep_alive:
                asyncio.get_running_loop().call_later(3.0, self.stop.set)

        batch.on_death = dead
        return dead


async def _leave(seconds: float, code: int) -> None:
    await asyncio.sleep(seconds)
    log.error("fault knob: leaving with %d", code)
    os._exit(code)
