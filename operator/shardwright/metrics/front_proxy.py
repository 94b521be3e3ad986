"""Who asks, and what they may do. Knows no metric.

The API server's front proxy vouches for a user by its own client certificate; nothing without one is
trusted. What that user may do is the API server's answer to a SubjectAccessReview.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

CONFIG_MAP_PATH = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
REVIEW_PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

AUTHENTICATED, ANONYMOUS = "system:authenticated", "system:anonymous"

JsonObject = Mapping[str, Any]
ApiRequest = Callable[[str, str, JsonObject | None], Awaitable[tuple[int, JsonObject]]]
"""`(method, path, body) -> (status, answer)`; status 0 = no answer. The body of a PATCH is a merge patch."""


class FrontProxyError(Exception):
    """The cluster does not say whom to trust, or cannot be asked; nobody is let in until it does."""


class NotAuthenticatedError(Exception):
    """The connection is not the front proxy's, or it names no user."""


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """Whom to trust, as the API server publishes it for extension servers."""

    certificate_authorities: str
    """PEM."""
    allowed_names: tuple[str, ...] = ()
    """Common names; empty = any certificate of that authority."""
    user_headers: tuple[str, ...] = ("X-Remote-User",)
    group_headers: tuple[str, ...] = ("X-Remote-Group",)
    extra_prefixes: tuple[str, ...] = ("X-Remote-Extra-",)
    uid_headers: tuple[str, ...] = ("X-Remote-Uid",)


@dataclass(frozen=True, slots=True)
class User:
    """Who asked, as the API server authenticated them."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


def read_front_proxy(config_map: JsonObject) -> FrontProxy:
    """Read kube-system/extension-apiserver-authentication. Raises FrontProxyError where it trusts no front proxy."""
    data = config_map.get("data") or {}
    authorities = data.get("requestheader-client-ca-file") or ""
    if "BEGIN CERTIFICATE" not in authorities:
        raise FrontProxyError(
            "configmap kube-system/extension-apiserver-authentication has no requestheader-client-ca-file: the API "
            "server runs without its aggregation layer, so start it with --requestheader-client-ca-file"
        )
    return FrontProxy(
        certificate_authorities=authorities,
        allowed_names=_words(data, "requestheader-allowed-names", ()),
        user_headers=_words(data, "requestheader-username-headers", FrontProxy("").user_headers),
        group_headers=_words(data, "requestheader-group-headers", FrontProxy("").group_headers),
        extra_prefixes=_words(data, "requestheader-extra-headers-prefix", FrontProxy("").extra_prefixes),
        uid_headers=_words(data, "requestheader-uid-headers", FrontProxy("").uid_headers),
    )


def _words(data: Mapping[str, str], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """Read one of the JSON lists in which the configmap keeps its words."""
    try:
        words = json.loads(data[key]) if data.get(key) else default
    except ValueError as error:
        raise FrontProxyError(f"configmap key {key} is no JSON list: {error}") from error
    if not all(isinstance(word, str) for word in words):
        raise FrontProxyError(f"configmap key {key} is no list of words")
    return tuple(words)


def authenticate(trust: FrontProxy, certificate: Mapping[str, Any] | None, headers: list[tuple[str, str]]) -> User:
    """Name the user behind a request whose certificate TLS has verified against the trusted authority.

    `certificate` is what `ssl` gives of the peer; None = it showed none. Raises NotAuthenticatedError.
    """
    if not certificate:
        raise NotAuthenticatedError("ask through the API server: its front proxy's client certificate is needed")
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    if trust.allowed_names and not set(names) & set(trust.allowed_names):
        raise NotAuthenticatedError(f"certificate of {', '.join(names) or 'nobody'} is not the front proxy's")
    lowered = [(name.lower(), value) for name, value in headers]
    name = next(iter(_values(lowered, trust.user_headers)), "")
    if not name:
        raise NotAuthenticatedError("the front proxy names no user")
    return User(
        name=name,
        uid=next(iter(_values(lowered, trust.uid_headers)), ""),
        groups=_with_authenticated(name, _values(lowered, trust.group_headers)),
        extra=_extra(lowered, trust.extra_prefixes),
    )


def _with_authenticated(name: str, groups: list[str]) -> tuple[str, ...]:
    """Add the group of all who are known, as every extension server does.

    The API server reads discovery as a user without groups; refused, it calls the API stale, and no namespace of the
    cluster can be deleted while a part of its discovery is stale.
    """
    known = name == ANONYMOUS or AUTHENTICATED in groups
    return tuple(groups) if known else (*groups, AUTHENTICATED)


def _values(headers: list[tuple[str, str]], names: tuple[str, ...]) -> list[str]:
    return [value for wanted in names for name, value in headers if name == wanted.lower() and value]


def _extra(headers: list[tuple[str, str]], prefixes: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found: dict[str, list[str]] = {}
    for prefix in (prefix.lower() for prefix in prefixes):
        for name, value in headers:
            if name.startswith(prefix):
                found.setdefault(unquote(name.removeprefix(prefix)), []).append(value)
    return tuple((key, tuple(values)) for key, values in sorted(found.items()))


class Reviewer:
    """Asks the API server what a user may do, and remembers each answer for a few seconds."""

    def __init__(self, request: ApiRequest, clock: Callable[[], float], remember_seconds: float = 10) -> None:
        """`clock` is monotonic, in seconds."""
        self._request, self._clock, self._remember = request, clock, remember_seconds
        self._known: dict[tuple[User, tuple[tuple[str, str], ...]], tuple[float, bool]] = {}

    async def allows(self, user: User, *, path: str = "", **resource: str) -> bool:
        """Whether the user may do it: a GET of a plain path, or the verb on the resource. Raises FrontProxyError."""
        key = (user, tuple(sorted({**resource, "path": path}.items())))
        now = self._clock()
        self._known = {asked: answer for asked, answer in self._known.items() if now - answer[0] < self._remember}
        if key not in self._known:
            self._known[key] = (now, await self._ask(user, path, resource))
        return self._known[key][1]

    async def _ask(self, user: User, path: str, resource: Mapping[str, str]) -> bool:
        asked: dict[str, Any] = {"user": user.name, "groups": list(user.groups)}
        asked |= {"uid": user.uid} if user.uid else {}
        asked |= {"extra": {key: list(values) for key, values in user.extra}} if user.extra else {}
        asked |= {"nonResourceAttributes": {"path": path, "verb": "get"}} if path else {"resourceAttributes": resource}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": asked}
        status, answer = await self._request("POST", REVIEW_PATH, body)
        if status not in (200, 201):
            raise FrontProxyError(f"the API server does not judge requests ({status}: {answer.get('message', '')})")
        verdict = answer.get("status") or {}
        return bool(verdict.get("allowed")) and not verdict.get("denied")
