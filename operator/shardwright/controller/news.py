"""Events for users, posted in the background: they must never hold up a reconcile, and a lost one costs nothing."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from shardwright.cluster.apply import Writer
from shardwright.cluster.client import ApiError
from shardwright.reconcile.types import Event

log = logging.getLogger("shardwright")
_MOST_WAITING = 2000


class News:
    """One poster with a bounded queue; what does not fit is dropped."""

    def __init__(self, writer: Writer) -> None:
        """Starts with the first event."""
        self._writer = writer
        self._waiting: asyncio.Queue[tuple[Mapping[str, Any], Event, str]] = asyncio.Queue(_MOST_WAITING)
        self._poster: asyncio.Task[None] | None = None

    def tell(self, deployment: Mapping[str, Any], event: Event, now: str) -> None:
        """Post soon."""
        if self._poster is None:
            self._poster = asyncio.get_running_loop().create_task(self._post())
        try:
            self._waiting.put_nowait((deployment, event, now))
        except asyncio.QueueFull:
            log.debug("an event was dropped: %s", event.reason)

    async def close(self, patience_seconds: float = 2) -> None:
        """Give what waits a last chance."""
        if self._poster is None:
            return
        try:
            await asyncio.wait_for(self._waiting.join(), patience_seconds)
        except TimeoutError:
            log.debug("%d events were not posted", self._waiting.qsize())
        self._poster.cancel()

    async def _post(self) -> None:
        while True:
            deployment, event, now = await self._waiting.get()
            try:
                await self._writer.event(deployment, event.kind, event.reason, event.message, now)
            except ApiError as error:
                log.debug("an event could not be posted: %s", error)
            finally:
                self._waiting.task_done()
