"""`shardwright run`: the operator as a process. Assembles the rooms, watches over them, stops cleanly on SIGTERM."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import aiohttp
import kopf
from aiohttp import web

from shardwright import handlers
from shardwright.catalog.load import gpu_catalog
from shardwright.cluster.client import ApiClient, ApiError
from shardwright.cluster.login import LoginError, login
from shardwright.cluster.store import Store
from shardwright.commands.logs import set_up_logging
from shardwright.controller.controller import Controller
from shardwright.controller.loads import StoredLoads
from shardwright.metrics.own import CONTENT_TYPE, OperatorMetrics
from shardwright.metrics.scrape import LeaderLoads
from shardwright.metrics.serve import Endpoint, ExternalMetricsServer
from shardwright.models.bundled import bundled_ids
from shardwright.queue import work
from shardwright.settings import Settings, SettingsError, from_environment

log = logging.getLogger("shardwright")
_START_RETRY_SECONDS = 2.0
_STOP_PATIENCE_SECONDS = 10


def command() -> None:
    """Run the operator until SIGTERM or SIGINT."""
    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        sys.exit(f"shardwright: {error}")
    set_up_logging(settings.log_level, settings.log_format)
    try:
        asyncio.run(_Operator(settings).run())
    except (LoginError, OSError) as error:
        sys.exit(f"shardwright: {error}")


class _Operator:
    """All tasks of the process, and what the probes may be told."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = OperatorMetrics()
        self._stop = asyncio.Event()
        self._ready = False

    async def run(self) -> None:
        """Serve until stopped; everything that was opened is closed."""
        self._take_signals()
        identity = await login()
        settings = self._settings
        client = ApiClient(identity, timeout_seconds=settings.request_timeout_seconds, observe=self._metrics.requested)
        async with client, contextlib.AsyncExitStack() as stack:
            await self._serve_health(stack)
            controller = Controller(client, Store(), settings, self._metrics)
            starting = asyncio.create_task(self._start(controller))
            await asyncio.wait({starting, asyncio.create_task(self._stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set():
                starting.cancel()
                return
            starting.result()
            tasks = [asyncio.create_task(_guarded(job)) for job in self._jobs(controller, client, identity, stack)]
            workers = [
                asyncio.create_task(work(controller.queue, controller.reconcile)) for _ in range(settings.workers)
            ]
            self._ready = True
            log.info("ready: %d deployments, %d workers", len(controller.store.keys()), settings.workers)
            await self._stop.wait()
            await self._wind_up(controller, tasks, workers)

    def _jobs(
        self, controller: Controller, client: ApiClient, identity: Any, stack: contextlib.AsyncExitStack
    ) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        settings = self._settings
        jobs: list[Callable[[], Coroutine[Any, Any, None]]] = [
            lambda: self._watch(controller, identity),
            lambda: self._resync(controller),
            lambda: self._measure(controller),
        ]
        if settings.external_metrics_port and settings.external_metrics_service:
            jobs.append(lambda: self._serve_external_metrics(controller, client))
        return jobs

    async def _start(self, controller: Controller) -> None:
        """List everything; a cluster that is not there yet, or without our CRD, is waited for."""
        while True:
            try:
                await controller.start()
            except ApiError as error:
                log.warning("cannot start yet: %s", error)
                await asyncio.sleep(_START_RETRY_SECONDS)
            else:
                await asyncio.to_thread(_warm_up)
                gc.freeze()
                return

    async def _watch(self, controller: Controller, identity: Any) -> None:
        """Run kopf; it fails when the API server breaks a stream in a way it does not expect, and is begun again."""
        begun = asyncio.Event()
        taking = asyncio.create_task(self._take_signals_back(begun))
        await kopf.operator(
            registry=handlers.registry(controller.observe, identity, controller.watched),
            settings=handlers.settings(controller.watched),
            standalone=True,
            clusterwide=not self._settings.namespaces,
            namespaces=self._settings.namespaces,
            stop_flag=self._stop,
            ready_flag=begun,
        )
        taking.cancel()

    async def _take_signals_back(self, begun: asyncio.Event) -> None:
        """Undo kopf's taking over of SIGTERM and SIGINT: it would let the workers go on for as long as it winds up."""
        await begun.wait()
        self._take_signals()

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    async def _resync(self, controller: Controller) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            await controller.resync()

    async def _measure(self, controller: Controller) -> None:
        while True:
            self._metrics.queue(len(controller.queue))
            await asyncio.sleep(1)

    async def _serve_health(self, stack: contextlib.AsyncExitStack) -> None:
        """Probes and our own figures; a port of 0 leaves it out."""

        async def healthy(_: web.Request) -> web.Response:
            return web.Response(text="ok\n")

        async def ready(_: web.Request) -> web.Response:
            return web.Response(
                text="ok\n" if self._ready else "not everything is listed yet\n", status=200 if self._ready else 503
            )

        async def figures(_: web.Request) -> web.Response:
            return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

        settings = self._settings
        await _serve(stack, settings.bind_address, settings.health_port, {"/healthz": healthy, "/readyz": ready})
        await _serve(stack, settings.bind_address, settings.metrics_port, {"/metrics": figures})

    async def _serve_external_metrics(self, controller: Controller, client: ApiClient) -> None:
        settings = self._settings
        async with aiohttp.ClientSession() as session:
            loads = StoredLoads(controller.store, LeaderLoads(session, fresh_seconds=settings.scrape_seconds))
            endpoint = Endpoint(
                namespace=settings.own_namespace,
                service=settings.external_metrics_service,
                address=settings.bind_address,
                port=settings.external_metrics_port,
            )
            await ExternalMetricsServer(client.exchange, loads, endpoint, self._metrics.external_metric).run()

    async def _wind_up(
        self, controller: Controller, tasks: list[asyncio.Task[None]], workers: list[asyncio.Task[None]]
    ) -> None:
        """What is being written is finished; nothing new is begun."""
        log.info("stopping")
        self._ready = False
        controller.queue.shut_down()
        await asyncio.wait(workers, timeout=_STOP_PATIENCE_SECONDS)
        await controller.close()
        for task in (*tasks, *workers):
            task.cancel()
        await asyncio.wait([*tasks, *workers], timeout=_STOP_PATIENCE_SECONDS)


def _warm_up() -> None:
    """Read the catalogues before the first deployment waits for them."""
    gpu_catalog()
    bundled_ids()


async def _guarded(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a job for ever: one that fails or ends is begun again."""
    while True:
        try:
            await job()
        except asyncio.CancelledError:
            raise
        except ApiError as error:
            log.warning("%s", error)
        except Exception:
            log.exception("a part of the operator failed and is begun again")
        await asyncio.sleep(_START_RETRY_SECONDS)


async def _serve(
    stack: contextlib.AsyncExitStack,
    address: str,
    port: int,
    routes: dict[str, Callable[[web.Request], Awaitable[web.Response]]],
) -> None:
    if not port:
        return
    application = web.Application()
    for path, answer in routes.items():
        application.router.add_get(path, answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, address, port).start()
