"""A deployment's question to a hub, asked in the background, with the token from the Secret that its spec names.

A reconcile never waits here: it gets what is known, and its deployment is woken when more is.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from shardwright.api.reasons import Reason
from shardwright.api.spec import SecretKeyReference
from shardwright.cluster import kinds
from shardwright.cluster.client import ApiClient, ApiError
from shardwright.cluster.store import Key
from shardwright.fetch.addresses import is_local
from shardwright.fetch.http import HubReader, open_session
from shardwright.fetch.library import Library
from shardwright.fetch.model import DEFAULT_REVISION, HubModel, fetch_model
from shardwright.fetch.problem import FetchProblem
from shardwright.reconcile.facts import HubQuestion
from shardwright.reconcile.types import ModelFacts
from shardwright.settings import Settings

_OFF = (
    "model {id!r} is not in the bundled catalogue, and no hub may be asked (SHARDWRIGHT_HUB=off): put its config.json "
    "into a ConfigMap and name that in spec.model.facts.configMapRef"
)
_MAY_NOT_READ = (
    "the operator may not read Secret {name}: install the chart with rbac.readTokenSecrets=true, or let its service "
    "account get that one Secret by a Role in namespace {namespace}"
)


class HubFacts:
    """All methods belong to one event loop. Nothing is opened before the first question."""

    def __init__(self, client: ApiClient, settings: Settings, wake: Callable[[Key], None]) -> None:
        """`wake` is called with each deployment whose answer is there."""
        self._client = client
        self._endpoint = settings.hub
        self._seconds = settings.hub_timeout_seconds
        self._loopback = is_local(urlsplit(settings.hub).hostname or "")
        self._session: aiohttp.ClientSession | None = None
        first_retry = settings.hub_first_retry_seconds
        self._library: Library[HubModel, Key] = Library(self._fetch, wake, first_retry_seconds=first_retry)

    def answer(self, key: Key, question: HubQuestion) -> ModelFacts:
        """What is known now. Never waits, never raises."""
        if not self._endpoint:
            return ModelFacts(problem=_OFF.format(id=question.id))
        model = HubModel(question.endpoint or self._endpoint, question.id, question.revision or DEFAULT_REVISION)
        reference = question.token
        if reference is None:
            book = self._library.ask(model, key)
        else:
            owner = (key[0], reference.name, reference.key)
            book = self._library.ask(model, key, lambda: self._token(key[0], reference), owner)
        if book.files is not None:
            return ModelFacts(book.files)
        if book.problem is not None:
            return ModelFacts(None, book.problem.message, book.problem.reason, book.retry_seconds)
        return ModelFacts(None, f"the facts of {model} are being read", Reason.MODEL_FACTS_PENDING)

    async def close(self) -> None:
        """End what is being read."""
        await self._library.close()
        if self._session is not None:
            await self._session.close()

    async def _fetch(self, model: HubModel, token: str) -> Mapping[str, str]:
        if self._session is None:
            self._session = open_session(loopback=self._loopback)
        return await fetch_model(HubReader(self._session, token, loopback=self._loopback), model, self._seconds)

    async def _token(self, namespace: str, reference: SecretKeyReference) -> str:
        """The token. Raises FetchProblem."""
        try:
            secret = await self._client.get(kinds.SECRET, namespace, reference.name)
        except ApiError as error:
            raise _secret_problem(error, namespace, reference.name) from error
        return token_in(secret, reference)


def token_in(secret: Mapping[str, Any], reference: SecretKeyReference) -> str:
    """The token that a Secret holds. Raises FetchProblem."""
    try:
        token = base64.b64decode((secret.get("data") or {})[reference.key], validate=True).decode("ascii").strip()
    except KeyError:
        token = ""
    except (ValueError, binascii.Error) as error:
        words = f"key {reference.key} of Secret {reference.name} is no text: put the token there as it is"
        raise FetchProblem(Reason.MODEL_ACCESS_DENIED, words) from error
    if not token or not token.isprintable() or " " in token:
        words = f"Secret {reference.name} has no token under the key {reference.key}: put it there as it is"
        raise FetchProblem(Reason.MODEL_ACCESS_DENIED, words)
    return token


def _secret_problem(error: ApiError, namespace: str, name: str) -> FetchProblem:
    if error.status == 404:
        words = f"there is no Secret {name} in namespace {namespace}: make it, with the token under the key you named"
        return FetchProblem(Reason.MODEL_ACCESS_DENIED, words)
    if error.status == 403:
        return FetchProblem(Reason.MODEL_ACCESS_DENIED, _MAY_NOT_READ.format(name=name, namespace=namespace))
    return FetchProblem(Reason.HUB_UNREACHABLE, f"Secret {name} with the hub's token could not be read: {error.reason}")
