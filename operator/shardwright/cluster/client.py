"""One HTTP session to the API server: get, list, apply, delete, with errors as values of one type. Decides nothing.

Objects are plain dicts. Nothing is retried here: the queue repeats a key with a growing delay.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self

import aiohttp
import orjson

from shardwright.cluster.kinds import Kind
from shardwright.cluster.login import Login

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
PAGE = 500
JsonObject = dict[str, Any]


class ApiError(Exception):
    """The API server refused, or could not be reached (status 0)."""

    def __init__(self, status: int, reason: str, message: str, retry_after_seconds: float | None = None) -> None:
        """`reason` is Kubernetes' word such as NotFound; empty if the answer had none."""
        super().__init__(f"{status or 'no answer'} {reason}: {message}".replace(" :", ":"))
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_seconds = retry_after_seconds

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later without anybody changing it."""
        return self.status in {0, 401, 408, 409, 429} or self.status >= 500


class ApiClient:
    """An asyncio client of one API server. Use as `async with ApiClient(login) as client`."""

    def __init__(
        self,
        login: Login,
        *,
        timeout_seconds: float = 30,
        connections: int = 64,
        observe: Callable[[str, str, int, float], None] | None = None,
    ) -> None:
        """`observe(verb, kind, status, seconds)` is told of every request."""
        self._login = login
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._connections = connections
        self._observe = observe
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        context = await asyncio.to_thread(self._login.ssl_context)
        connector = aiohttp.TCPConnector(
            limit=self._connections, ssl=context if context else True, keepalive_timeout=60
        )
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, auto_decompress=True, headers={"User-Agent": "shardwright"}
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session and its connections."""
        if self._session is not None:
            await self._session.close()

    async def get(self, kind: Kind, namespace: str | None, name: str) -> JsonObject:
        """One object. Raises ApiError (404 where there is none)."""
        return await self._send("get", kind, "GET", kind.path(namespace, name))

    async def pages(
        self, kind: Kind, namespace: str | None = None, selector: str = ""
    ) -> AsyncIterator[tuple[list[JsonObject], int]]:
        """All objects of a kind, page by page, each page with the version of the whole list. Raises ApiError."""
        parameters = {"limit": str(PAGE)}
        if selector:
            parameters["labelSelector"] = selector
        while True:
            page = await self._send("list", kind, "GET", kind.path(namespace), parameters)
            metadata = page.get("metadata") or {}
            yield page.get("items") or [], int(metadata.get("resourceVersion") or 0)
            if not metadata.get("continue"):
                return
            parameters["continue"] = metadata["continue"]

    async def apply(
        self, document: Mapping[str, Any], kind: Kind, *, manager: str, force: bool, subresource: str | None = None
    ) -> JsonObject:
        """Server-side apply; returns the object as it stands after it. Raises ApiError."""
        metadata = document["metadata"]
        parameters = {"fieldManager": manager, "force": "true" if force else "false"}
        path = kind.path(metadata.get("namespace"), metadata["name"], subresource)
        return await self._send("apply", kind, "PATCH", path, parameters, document, APPLY)

    async def patch(
        self, kind: Kind, namespace: str | None, name: str, patch: Mapping[str, Any], *, manager: str
    ) -> JsonObject:
        """A JSON merge patch. Raises ApiError."""
        return await self._send(
            "patch", kind, "PATCH", kind.path(namespace, name), {"fieldManager": manager}, patch, MERGE
        )

    async def create(self, document: Mapping[str, Any], kind: Kind, *, manager: str) -> JsonObject:
        """A plain POST. Raises ApiError (409 where the name exists)."""
        path = kind.path(document["metadata"].get("namespace"))
        return await self._send("create", kind, "POST", path, {"fieldManager": manager}, document)

    async def delete(
        self, kind: Kind, namespace: str | None, name: str, *, uid: str, grace_seconds: int | None = None
    ) -> JsonObject | None:
        """Delete one object if it still has that UID; the object where it takes time to go, None where it is gone.

        Raises ApiError.
        """
        options: JsonObject = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            answer = await self._send("delete", kind, "DELETE", kind.path(namespace, name), None, options)
        except ApiError as error:
            if error.status in {404, 409}:
                return None
            raise
        return answer if answer.get("kind") == kind.name else None

    async def serves(self, api_version: str) -> bool:
        """Whether the API server has that group and version. Raises ApiError."""
        try:
            await self._request("GET", f"/apis/{api_version}", None, None, "application/json")
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def exchange(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, JsonObject]:
        """Any request by its path: the status and the answer, status 0 where there was none.

        A PATCH is a merge patch.
        """
        try:
            answer = await self._request(method, path, None, body, MERGE if method == "PATCH" else "application/json")
        except ApiError as error:
            return error.status, {"reason": error.reason, "message": error.message}
        return 200, answer

    async def _send(
        self,
        verb: str,
        kind: Kind,
        method: str,
        path: str,
        parameters: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> JsonObject:
        started = asyncio.get_running_loop().time()
        status = 200
        try:
            return await self._request(method, path, parameters, body, content_type)
        except ApiError as error:
            status = error.status
            raise
        finally:
            if self._observe is not None:
                self._observe(verb, kind.name, status, asyncio.get_running_loop().time() - started)

    async def _request(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        content_type: str,
    ) -> JsonObject:
        if self._session is None:
            raise RuntimeError("the client is used outside `async with`")
        headers = {"Accept": "application/json"}
        if authorization := await self._login.authorization():
            headers["Authorization"] = authorization
        data = None
        if body is not None:
            data = orjson.dumps(body)
            headers["Content-Type"] = content_type
        try:
            async with self._session.request(
                method,
                self._login.server + path,
                params=parameters,
                data=data,
                headers=headers,
                server_hostname=self._login.server_name or None,
                proxy=self._login.proxy or None,
            ) as response:
                content = await response.read()
                if response.status >= 400:
                    raise _refusal(response.status, content, response.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "", f"{method} {path}: {error or type(error).__name__}") from error
        return orjson.loads(content) if content else {}


def _refusal(status: int, content: bytes, retry_after: str | None) -> ApiError:
    try:
        answer = orjson.loads(content)
        reason, message = str(answer.get("reason") or ""), str(answer.get("message") or "")
    except (ValueError, AttributeError):
        reason, message = "", content[:300].decode(errors="replace")
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    return ApiError(status, reason, message, seconds)
