"""external.metrics.k8s.io for the HorizontalPodAutoscaler: a deployment's load, or an error, never a guess.

Every request is authenticated by the front proxy and judged by the API server; the namespace is the URL's alone.
"""

import logging
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from shardwright.api.labels import DEPLOYMENT
from shardwright.manifests.hpa import QUEUE_DEPTH_METRIC, REQUESTS_IN_HAND_METRIC
from shardwright.metrics.front_proxy import (
    FrontProxy,
    FrontProxyError,
    NotAuthenticatedError,
    Reviewer,
    User,
    authenticate,
)
from shardwright.metrics.scrape import Load, MetricsUnavailableError

GROUP, VERSION = "external.metrics.k8s.io", "v1beta1"
GROUP_VERSION = f"{GROUP}/{VERSION}"
METRICS: dict[str, Callable[[Load], int]] = {
    QUEUE_DEPTH_METRIC: lambda load: load.waiting,
    REQUESTS_IN_HAND_METRIC: lambda load: load.in_hand,
}
"""What each name tells."""
_SELECTOR = re.compile(rf"{re.escape(DEPLOYMENT)}\s*(?:==?\s*(?P<is>[-a-z0-9]+)|in\s+\(\s*(?P<in>[-a-z0-9]+)\s*\))")
_REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 503: "ServiceUnavailable"}
_USER: web.RequestKey[User] = web.RequestKey("user", User)
_log = logging.getLogger(__name__)

LoadOf = Callable[[str, str], Awaitable[Load | None]]
"""`(namespace, deployment) -> load`, None where there is no such one; raises MetricsUnavailableError."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RefusedError(Exception):
    """The request is answered with this HTTP status and this text."""

    def __init__(self, code: int, message: str) -> None:
        """`message` says what to do where the asker can."""
        super().__init__(message)
        self.code = code


class ExternalMetricsApi:
    """The web application. `trust` gives what holds at the moment of the request."""

    def __init__(self, trust: Callable[[], FrontProxy], reviewer: Reviewer, load_of: LoadOf) -> None:
        """Hold the three things that it asks: whom to trust, what they may do, and the figures."""
        self._trust, self._reviewer, self._load_of = trust, reviewer, load_of

    def application(self) -> web.Application:
        """Build the application, with its routes and its guard before all of them."""
        application = web.Application(middlewares=[_errors_as_status, self._guard], client_max_size=64 * 1024)
        application.router.add_get("/apis", _group_list)
        application.router.add_get(f"/apis/{GROUP}", _group)
        application.router.add_get(f"/apis/{GROUP_VERSION}", _resources)
        application.router.add_get(f"/apis/{GROUP_VERSION}/namespaces/{{namespace}}/{{metric}}", self._metric)
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let no request through whose user is unknown; what that user may do is judged by the handlers."""
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        user = authenticate(self._trust(), certificate, list(request.headers.items()))
        request[_USER] = user
        if "namespace" not in request.match_info and not await self._reviewer.allows(user, path=request.path):
            raise RefusedError(403, f"{user.name} may not get {request.path}")
        return await handler(request)

    async def _metric(self, request: web.Request) -> web.Response:
        user, namespace, metric = request[_USER], request.match_info["namespace"], request.match_info["metric"]
        resource = {"group": GROUP, "version": VERSION, "resource": metric, "namespace": namespace, "verb": "list"}
        if not await self._reviewer.allows(user, **resource):
            raise RefusedError(403, f"{user.name} may not list {metric}.{GROUP} in namespace {namespace}")
        if metric not in METRICS:
            raise RefusedError(404, f"no metric {metric}; there are {' and '.join(METRICS)}")
        name = _deployment_of(request.query.get("labelSelector", ""))
        load = await self._load_of(namespace, name)
        if load is None:
            raise RefusedError(404, f"no InferenceDeployment {namespace}/{name}")
        item = {
            "metricName": metric,
            "metricLabels": {DEPLOYMENT: name},
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "value": str(METRICS[metric](load)),
        }
        return _answer(
            {"kind": "ExternalMetricValueList", "apiVersion": GROUP_VERSION, "metadata": {}, "items": [item]}
        )


def _deployment_of(selector: str) -> str:
    """Read the one form of selector that is answered. Raises RefusedError with what to write."""
    match = _SELECTOR.fullmatch(selector.strip())
    if match is None:
        raise RefusedError(
            400, f"labelSelector must be {DEPLOYMENT}=<name of one InferenceDeployment>, not {selector!r}"
        )
    return match["is"] or match["in"]


async def _group_list(_: web.Request) -> web.Response:
    return _answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group_object()]})


async def _group(_: web.Request) -> web.Response:
    return _answer({"kind": "APIGroup", "apiVersion": "v1", **_group_object()})


async def _resources(_: web.Request) -> web.Response:
    shared = {"singularName": "", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
    resources = [{"name": name, **shared} for name in METRICS]
    return _answer(
        {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP_VERSION, "resources": resources}
    )


def _group_object() -> dict[str, Any]:
    version = {"groupVersion": GROUP_VERSION, "version": VERSION}
    return {"name": GROUP, "versions": [version], "preferredVersion": version}


@web.middleware
async def _errors_as_status(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure with a Status object, as the API server's clients expect."""
    try:
        return await handler(request)
    except NotAuthenticatedError as error:
        return _failure(401, str(error))
    except RefusedError as error:
        return _failure(error.code, str(error))
    except (MetricsUnavailableError, FrontProxyError) as error:
        return _failure(503, str(error))
    except web.HTTPException as error:
        return _failure(error.status, error.reason)
    except Exception:
        _log.exception("external metrics: a request failed by a bug of ours")
        return _failure(500, "a bug of the operator's, see its log")


def _failure(code: int, message: str) -> web.Response:
    reason = _REASONS.get(code, "InternalError")
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return _answer({**status, "message": message, "reason": reason, "code": code}, code)


def _answer(body: dict[str, Any], code: int = 200) -> web.Response:
    return web.json_response(body, status=code)
