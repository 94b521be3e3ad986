"""The index of triggers: which kinds are watched, and where their events go. kopf is only the shell that watches.

Handlers of kind `event` alone: every other kind makes kopf write finalizers or annotations. Nothing is decided here.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import kopf

from shardwright.cluster import kinds
from shardwright.cluster.kinds import Kind
from shardwright.cluster.login import Login

Sink = Callable[[Kind, str | None, Mapping[str, Any]], None]
"""Receives the kind, kopf's event type (None = from a list) and the object."""


class _NothingStored(kopf.DiffBaseStorage):
    """kopf computes the essence of every object for its own diffs; they are never read, so none is made or kept."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        del body, extra_fields
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        del body
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        del body, patch, essence


def registry(sink: Sink, login: Login, watched: Sequence[Kind]) -> kopf.OperatorRegistry:
    """All of kopf's handlers: one per watched kind, and one that logs in as we do."""
    handlers = kopf.OperatorRegistry()
    for kind in watched:
        kopf.on.event(*_address(kind), id=kind.name, registry=handlers)(_receiver(sink, kind))
    kopf.on.login(registry=handlers, id="login")(_log_in(login))
    return handlers


def settings(watched: Sequence[Kind]) -> kopf.OperatorSettings:
    """kopf, made to write nothing and to hold little."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.persistence.diffbase_storage = _NothingStored()
    chosen.watching.chunk_size = 500
    chosen.queueing.idle_timeout = 1.0
    for kind in watched:
        if selector := kinds.selector(kind):
            chosen.watching.label_selectors[_address(kind)] = selector
    return chosen


def _address(kind: Kind) -> tuple[str, str] | tuple[str, str, str]:
    return (kind.group, kind.version, kind.plural) if kind.group else (kind.version, kind.plural)


def _receiver(sink: Sink, kind: Kind) -> Callable[..., Awaitable[None]]:
    async def receive(event: Mapping[str, Any], **_: object) -> None:
        sink(kind, event["type"], event["object"])

    return receive


def _log_in(login: Login) -> Callable[..., Awaitable[kopf.ConnectionInfo]]:
    async def connect(**_: object) -> kopf.ConnectionInfo:
        authorization = await login.authorization()
        scheme, _space, token = (authorization or "").partition(" ")
        return kopf.ConnectionInfo(
            server=login.server,
            ca_path=login.ca_path,
            insecure=login.insecure,
            scheme=scheme or None,
            token=token or None,
            certificate_path=login.certificate_path,
            private_key_path=login.private_key_path,
            proxy_url=login.proxy,
        )

    return connect


__all__ = ["Sink", "registry", "settings"]
