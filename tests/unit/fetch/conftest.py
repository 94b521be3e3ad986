"""A hub on this machine and a reader of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from shardwright.fetch.http import open_session
from support.hub import LocalHub


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with LocalHub() as hub:
        yield hub


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(loopback=True, proxies=False, attempt_seconds=5) as session:
        yield session
