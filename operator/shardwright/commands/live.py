"""Nodes, pods and claimable devices of the cluster that kubectl would talk to, read once. Writes nothing."""

import asyncio
from typing import Any

from shardwright.cluster.client import ApiClient, ApiError
from shardwright.cluster.kinds import COMPUTE_DOMAIN, NODE, POD, RESOURCE_CLAIM, RESOURCE_SLICE, Kind
from shardwright.cluster.login import LoginError, login
from shardwright.commands.documents import COMPUTE_DOMAINS, fail

_LIMIT_SECONDS = 60


def read_cluster() -> list[dict[str, Any]]:
    """Every Node and Pod of the current context; ends the command where it cannot be reached."""
    try:
        return asyncio.run(asyncio.wait_for(_read(), _LIMIT_SECONDS))
    except ApiError as error:
        raise fail(f"the cluster of the current context refused: {error}; or give --nodes FILE") from error
    except (LoginError, OSError, TimeoutError) as error:
        raise fail(f"{error}; or give --nodes FILE") from error


async def _read() -> list[dict[str, Any]]:
    async with ApiClient(await login()) as client:
        seen = [*await _all(client, NODE), *await _all(client, POD)]
        if await client.serves(RESOURCE_SLICE.api_version):
            seen += [*await _all(client, RESOURCE_SLICE), *await _all(client, RESOURCE_CLAIM)]
        if await client.serves(COMPUTE_DOMAIN.api_version):
            seen.append({"kind": "CustomResourceDefinition", "metadata": {"name": COMPUTE_DOMAINS}})
        return seen


async def _all(client: ApiClient, kind: Kind) -> list[dict[str, Any]]:
    """Every object of a kind; list items carry no kind of their own, so it is put back."""
    return [{"kind": kind.name, **item} async for page, _ in client.pages(kind) for item in page]
