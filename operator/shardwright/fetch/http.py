"""GET of a hub's files, bounded in time, bytes, redirects and addresses; a refusal becomes a reason and a sentence.

The token goes to the endpoint's own origin and to nobody it redirects to.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from shardwright.api.reasons import Reason
from shardwright.fetch.addresses import CheckedResolver, check_url, shown
from shardwright.fetch.problem import FetchProblem

MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MIB = 1 << 20


def open_session(*, loopback: bool, proxies: bool = True, attempt_seconds: float = 20) -> aiohttp.ClientSession:
    """A session that speaks to no forbidden address. `proxies`: whether HTTPS_PROXY and NO_PROXY count."""
    connector = aiohttp.TCPConnector(resolver=CheckedResolver(loopback=loopback), limit=32, limit_per_host=16)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=attempt_seconds, sock_read=attempt_seconds)
    headers = {"User-Agent": "shardwright", "Accept-Encoding": "identity"}
    return aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=headers, trust_env=proxies, cookie_jar=aiohttp.DummyCookieJar()
    )


class HubReader:
    """Reads files of one hub. Every method raises FetchProblem and nothing else."""

    def __init__(self, session: aiohttp.ClientSession, token: str = "", *, loopback: bool = False) -> None:
        """`loopback`: whether this very machine may be asked."""
        self._session = session
        self._token = token
        self._loopback = loopback

    async def whole(self, address: URL, limit_bytes: int) -> bytes:
        """The whole file; one that is longer than the limit is a problem."""
        async with self._open(address, {}) as answer:
            content = await _read(answer, limit_bytes + 1)
        if len(content) > limit_bytes:
            raise FetchProblem(
                Reason.MODEL_FACTS_UNREADABLE,
                f"{shown(address)} is longer than {limit_bytes // MIB or 1} MiB: it is not what it should be",
            )
        return content

    async def part(self, address: URL, start: int, length: int) -> bytes:
        """`length` bytes from `start`, fewer where the file ends; of a server that ignores ranges no more is read."""
        async with self._open(address, {"Range": f"bytes={start}-{start + length - 1}"}) as answer:
            ranged = answer.status == 206
            content = await _read(answer, length if ranged else start + length)
        return content if ranged else content[start:]

    @asynccontextmanager
    async def _open(self, address: URL, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        first, target = address, address
        try:
            for _ in range(MOST_REDIRECTS + 1):
                check_url(target, loopback=self._loopback)
                own = target.origin() == first.origin()
                sent = {**headers, "Authorization": f"Bearer {self._token}"} if own and self._token else headers
                async with self._session.get(target, headers=sent, allow_redirects=False) as answer:
                    if answer.status not in REDIRECTS:
                        _check_status(answer, first, has_token=bool(self._token))
                        yield answer
                        return
                    target = _next(target, answer)
        except FetchProblem:
            raise
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            said = "it does not answer in time" if isinstance(error, TimeoutError) else error or type(error).__name__
            raise FetchProblem(Reason.HUB_UNREACHABLE, f"{shown(first)} cannot be read: {said}") from error
        raise FetchProblem(Reason.HUB_UNREACHABLE, f"{shown(first)} redirects more than {MOST_REDIRECTS} times")


async def _read(answer: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """At most so many bytes; where more would come, the connection is closed rather than emptied."""
    parts, size = [], 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size >= most_bytes:
            answer.close()
            break
    return b"".join(parts)[:most_bytes]


def _next(address: URL, answer: aiohttp.ClientResponse) -> URL:
    target = address.join(URL(answer.headers.get("Location", ""), encoded=True))
    if address.scheme == "https" and target.scheme == "http":
        raise FetchProblem(Reason.HUB_UNREACHABLE, f"{shown(address)} redirects to plain HTTP: this is not followed")
    return target


def _check_status(answer: aiohttp.ClientResponse, address: URL, *, has_token: bool) -> None:
    """Raise FetchProblem unless the answer is the file. The hub's X-Error-Code says more than the number."""
    status, word = answer.status, answer.headers.get("X-Error-Code", "")
    if status in {200, 206}:
        return
    where = shown(address)
    if status in {404, 410} or word in {"RepoNotFound", "RevisionNotFound", "EntryNotFound"}:
        hint = "" if has_token else " (a private model looks like this too: name a token in tokenSecretRef)"
        raise FetchProblem(
            Reason.MODEL_NOT_FOUND, f"{where} does not exist: check spec.model.id, revision and endpoint{hint}"
        )
    if status in {401, 403}:
        do = (
            "the token is not allowed to read it: ask for access on the model's page"
            if has_token
            else "name a token that may read it in spec.model.source.hub.tokenSecretRef"
        )
        raise FetchProblem(Reason.MODEL_ACCESS_DENIED, f"{where} is refused with {status}: {do}")
    after = answer.headers.get("Retry-After", "")
    raise FetchProblem(
        Reason.HUB_UNREACHABLE,
        f"{where} answers with {status} instead of the file",
        min(float(after), 3600.0) if after.isdigit() else None,
    )
