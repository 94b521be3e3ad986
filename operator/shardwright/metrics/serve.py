"""Serves the external metrics API by TLS, and follows its certificate and the front proxy's authority."""

import asyncio
import contextlib
import logging
import os
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from shardwright.metrics.certificates import Bundle, CertificateError, keep_api_service, keep_bundle
from shardwright.metrics.external import ExternalMetricsApi, LoadOf
from shardwright.metrics.front_proxy import (
    CONFIG_MAP_PATH,
    ApiRequest,
    FrontProxy,
    FrontProxyError,
    Reviewer,
    read_front_proxy,
)

_log = logging.getLogger(__name__)
_FIRST_RETRY_SECONDS = 2
_REFRESH_SECONDS = 60
"""How often authority, certificate and APIService are looked at: an APIService that was made anew waits so long."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the API is served."""

    namespace: str
    service: str
    """The Service behind the APIService."""
    address: str
    port: int
    """0 = a free one."""


class ExternalMetricsServer:
    """Runs until cancelled. What cannot be read or written is logged and tried again; the last good state serves on."""

    def __init__(
        self, request: ApiRequest, load_of: LoadOf, endpoint: Endpoint, answered: Callable[[int], None] | None = None
    ) -> None:
        """Hold what it asks; nothing is asked or opened before `run`. `answered` is told the status of each answer."""
        self._request, self._namespace, self._address = request, endpoint.namespace, endpoint.address
        service, namespace = endpoint.service, endpoint.namespace
        self._names = [
            f"{service}.{namespace}.svc",
            f"{service}.{namespace}.svc.cluster.local",
            f"{service}.{namespace}",
        ]
        self.port = endpoint.port
        """Where it listens, once it does."""
        self._state: tuple[Bundle, FrontProxy] | None = None
        self._site: web.TCPSite | None = None
        api = ExternalMetricsApi(self._trusted, Reviewer(request, time.monotonic), load_of)
        application = api.application()
        if answered is not None:
            application.on_response_prepare.append(_telling(answered))
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)

    @property
    def serving(self) -> bool:
        """Whether it listens."""
        return self._site is not None

    async def run(self, refresh_seconds: Callable[[], float] = lambda: _REFRESH_SECONDS) -> None:
        """Serve for ever. The socket opens as soon as the cluster has said whom to trust."""
        await self._runner.setup()
        try:
            while True:
                try:
                    await self.refresh()
                    pause: float = refresh_seconds()
                except (CertificateError, FrontProxyError, OSError) as error:
                    _log.warning("external metrics: %s", error)
                    pause = _FIRST_RETRY_SECONDS if self._site is None else refresh_seconds()
                await asyncio.sleep(pause)
        finally:
            await self._runner.cleanup()

    async def refresh(self) -> None:
        """Look at everything once. Raises CertificateError, FrontProxyError, OSError; the old state serves on."""
        bundle = await keep_bundle(self._request, self._namespace, self._names, datetime.now(UTC))
        status, config_map = await self._request("GET", CONFIG_MAP_PATH, None)
        if status != 200:
            raise FrontProxyError(f"whom to trust cannot be read: {status}: {config_map.get('message', '')}")
        trust = read_front_proxy(config_map)
        if (bundle, trust) != self._state:
            await self._listen(bundle, trust)
        if not await keep_api_service(self._request, bundle.authorities):
            _log.info("external metrics: there is no APIService, so no autoscaler asks")

    async def _listen(self, bundle: Bundle, trust: FrontProxy) -> None:
        """Open a socket with the new certificate beside the old one, then close the old one."""
        context = await asyncio.to_thread(tls_context, bundle, trust.certificate_authorities)
        site = web.TCPSite(self._runner, self._address, self.port, ssl_context=context, reuse_port=True)
        await site.start()
        old, self._site, self._state = self._site, site, (bundle, trust)
        self.port = int(self._runner.addresses[-1][1])
        if old is not None:
            await old.stop()

    def _trusted(self) -> FrontProxy:
        if self._state is None:
            raise FrontProxyError("nobody is trusted yet")
        return self._state[1]


def _telling(answered: Callable[[int], None]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def tell(request: web.Request, response: web.StreamResponse) -> None:
        if "namespace" in request.match_info:
            answered(response.status)

    return tell


def tls_context(bundle: Bundle, client_authorities: str) -> ssl.SSLContext:
    """Build the server's side of TLS. Raises OSError on parts that do not belong together.

    Client certificates are asked for and verified; one that is missing is answered by 401, not by a broken connection.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=client_authorities)
    with _as_file(bundle.certificate + bundle.key) as path:
        context.load_cert_chain(path)
    return context


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Lend content as a file, in memory where the system can: `ssl` reads keys from files alone."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("key", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "key")
        path.touch(mode=0o600)
        path.write_bytes(content)
        yield str(path)
