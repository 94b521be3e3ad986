"""The external metrics server in a thread of its own, against a real API server; figures are set by the test."""

import asyncio
import http.client
import json
import ssl
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shardwright.cluster.client import ApiClient
from shardwright.cluster.login import login
from shardwright.metrics.scrape import Load, MetricsUnavailableError
from shardwright.metrics.serve import Endpoint, ExternalMetricsServer


class ServedMetrics:
    """`figures[namespace, name]` is the load that is told; a text is why nothing can be told."""

    def __init__(self, kubeconfig: Path, namespace: str, service: str, port: int) -> None:
        self.figures: dict[tuple[str, str], Load | str] = {}
        self.answers: list[int] = []
        self._kubeconfig, self._endpoint = kubeconfig, Endpoint(namespace, service, "127.0.0.1", port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.server: ExternalMetricsServer | None = None
        self._running: Future[None] | None = None

    @property
    def port(self) -> int:
        assert self.server and self.server.serving
        return self.server.port

    def start(self) -> None:
        self._thread.start()
        self._running = asyncio.run_coroutine_threadsafe(self._run(), self._loop)

    def stop(self) -> None:
        assert self._running
        self._running.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def refresh(self) -> None:
        """Look at certificate, authority and APIService now."""
        assert self.server
        asyncio.run_coroutine_threadsafe(self.server.refresh(), self._loop).result(20)

    async def _run(self) -> None:
        async with ApiClient(await login({"KUBECONFIG": str(self._kubeconfig)})) as client:
            self.server = ExternalMetricsServer(client.exchange, self._load, self._endpoint, self.answers.append)
            await self.server.run()

    async def _load(self, namespace: str, name: str) -> Load | None:
        figure = self.figures.get((namespace, name))
        if isinstance(figure, str):
            raise MetricsUnavailableError(figure)
        return figure


@dataclass(frozen=True)
class Client:
    """A client that comes past the API server, with a certificate of its own or none."""

    port: int
    certificate: Path | None = None
    key: Path | None = None

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
        context = ssl._create_unverified_context()
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=5)
        try:
            connection.request("GET", path, headers={key.replace("_", "-"): value for key, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()
