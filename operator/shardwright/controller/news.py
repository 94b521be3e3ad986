"""Events for users, posted in the background: they must never hold up a reconcile, and a lost one costs nothing."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from shardwright.api.reasons import Reason
from shardwright.cluster.apply import Writer
from shardwright.cluster.client import ApiError
from shardwright.inventory import NodeFacts, SkippedNode
from shardwright.inventory.annotations import KEYS as LINK_ANNOTATIONS
from shardwright.manifests.hashes import digest
from shardwright.reconcile.types import Event

log = logging.getLogger("shardwright")
_MOST_WAITING = 2000
_ON_PURPOSE = frozenset({Reason.NO_GPU, Reason.NODE_NOT_READY, Reason.NODE_CORDONED, Reason.NODE_BEING_DELETED})


def _node(name: str) -> dict[str, Any]:
    """A Node as Events refer to it: by its name, as kubelets do."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}}


class News:
    """One poster with a bounded queue; what does not fit is dropped."""

    def __init__(self, writer: Writer) -> None:
        """Starts with the first event."""
        self._writer = writer
        self._waiting: asyncio.Queue[tuple[Mapping[str, Any], Event, str, str]] = asyncio.Queue(_MOST_WAITING)
        self._told: set[str] = set()
        self._poster: asyncio.Task[None] | None = None

    def tell(self, about: Mapping[str, Any], event: Event, now: str, name: str = "") -> None:
        """Post soon; an Event with a name is posted once and for all."""
        if self._poster is None:
            self._poster = asyncio.get_running_loop().create_task(self._post())
        try:
            self._waiting.put_nowait((about, event, now, name))
        except asyncio.QueueFull:
            log.debug("an event was dropped: %s", event.reason)

    def tell_of_node(self, node: NodeFacts | SkippedNode | None, now: str) -> None:
        """Say on a Node what cannot be read there, once for each reason; what its owner did on purpose is no news."""
        if isinstance(node, SkippedNode) and node.reason not in _ON_PURPOSE:
            self.tell_once(_node(node.name), Event("Warning", str(node.reason), f"not planned on: {node.message}"), now)
        elif isinstance(node, NodeFacts):
            for note in node.notes:
                if any(key in note for key in LINK_ANNOTATIONS):
                    self.tell_once(_node(node.name), Event("Warning", str(Reason.MALFORMED_ANNOTATION), note), now)

    def tell_once(self, about: Mapping[str, Any], event: Event, now: str) -> None:
        """Post an Event that would otherwise be repeated, and log it, once for each object and text."""
        metadata = about["metadata"]
        name = f"{metadata['name']}.shardwright-{digest([metadata['uid'], event.reason, event.message])}"
        if name not in self._told:
            self._told.add(name)
            log.warning("%s %s: %s: %s", about["kind"], metadata["name"], event.reason, event.message)
            self.tell(about, event, now, name)

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
            about, event, now, name = await self._waiting.get()
            try:
                await self._writer.event(about, event.kind, event.reason, event.message, now, name)
            except ApiError as error:
                log.debug("an event could not be posted: %s", error)
            finally:
                self._waiting.task_done()
