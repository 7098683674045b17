"""From a call to the endpoint that answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from steersman.apiserver import respond
from steersman.apiserver.aggregation.aggregator import Aggregator
from steersman.apiserver.aggregation.apiservice import APIService
from steersman.apiserver.api import API, ServedKinds
from steersman.apiserver.call import Call
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.routes import ANY
from steersman.apiserver.metrics.requests import AGGREGATOR, RequestMetrics
from steersman.apiserver.negotiation import PRODUCED, PRODUCED_OF_MANY, require_produced
from steersman.apiserver.served import Served
from steersman.meta.errors import MethodNotAllowed, NotFound
from steersman.meta.wire import Response
from steersman.schema.registry import subresource

PathHandler = Callable[[Call], Awaitable[Response]]
"""Answers a path that names no resource."""

MONITORED: Mapping[str, str] = {
    "/api": "api",
    "/apis": "apis",
    "/healthz": "/healthz",
    "/livez": "/livez",
    "/readyz": "/readyz",
    "/openapi/v3": "openapi/v3",
}
"""Paths that requests are counted of, and under which name."""
_OF_MANY = frozenset({"deletecollection", "list", "watch"})
_WITHOUT_NEGOTIATION = frozenset({"attach", "exec", "log", "portforward", "proxy"})
"""Subresources that answer with what the kubelet or a pod sends."""
_WITHOUT_NAME = frozenset({"create", "deletecollection", "list", "watch"})


class Router:
    """Endpoints by verb and resource, handlers by path. ``own_verbs`` are those of single kinds: (group, plural, verb)."""

    def __init__(
        self,
        api: API,
        *,
        verbs: Mapping[str, Endpoint],
        own_verbs: Mapping[tuple[str, str, str], Endpoint],
        subresources: Mapping[tuple[str, str, str], Mapping[str, Endpoint]],
        paths: Mapping[str, PathHandler],
        prefixes: Mapping[str, PathHandler],
        aggregator: Aggregator,
        metrics: RequestMetrics,
    ) -> None:
        self._metrics = metrics
        self._aggregator = aggregator
        self._api = api
        self._verbs = verbs
        self._own_verbs = own_verbs
        self._subresources = subresources
        self._paths = paths
        self._prefixes = prefixes

    async def __call__(self, call: Call) -> Response:
        info = call.info
        remote = self._aggregator.directory.route(info.path)
        if remote is not None:
            return await self._proxied(call, remote)
        if not info.is_resource or info.path.startswith("//"):
            return await self._path(call)
        served = self._api.kinds.lookup(info.group, info.version, info.resource)
        if served is None:
            return await self._path(call)
        if served.warnings:
            self._note_deprecated(served, call)
        if info.subresource:
            endpoint = self._subresource(served, call)
        elif self._has_right_scope(served, call):
            if call.request.method == "HEAD":
                raise _not_allowed()
            if (info.verb == "create") if info.name else (info.verb not in _WITHOUT_NAME):
                raise _not_allowed()
            endpoint = self._verb(served, info.verb)
        else:
            endpoint = None
        if endpoint is None:
            if not served.kind.is_custom:
                raise NotFound.path()
            if info.subresource and self._has_right_scope(served, call):
                raise NotFound.of(served.resource, info.name)
            return not_found(call)
        if not served.kind.is_custom and info.subresource not in _WITHOUT_NEGOTIATION:
            require_produced(call.header("accept"), PRODUCED_OF_MANY if info.verb in _OF_MANY else PRODUCED)
        call.monitored = ""
        return await endpoint(self._api, served, call)

    def _note_deprecated(self, served: Served, call: Call) -> None:
        """The version is deprecated: the client, the audit log and the metrics are told."""
        for text in served.warnings:
            call.warn(text)
        call.annotations["k8s.io/deprecated"] = "true"
        self._metrics.deprecated(call.info)

    async def _proxied(self, call: Call, service: APIService) -> Response:
        response = await self._aggregator.servers.proxy(call, service)
        if response.stream is None and response.upgrade is None and response.status in (500, 503):
            self._metrics.terminated(call, response.status, AGGREGATOR)
        return response

    def _verb(self, served: Served, verb: str) -> Endpoint:
        """The kind's own endpoint for the verb, or the generic one of stored kinds. Raises ``MethodNotAllowed``."""
        resource = served.resource
        endpoint = self._own_verbs.get((resource.group, resource.plural, verb))
        if endpoint is None and served.kind.is_stored:
            endpoint = self._verbs.get(verb)
        if endpoint is None or verb not in served.kind.verbs:
            raise _not_allowed()
        return endpoint

    def _has_right_scope(self, served: Served, call: Call) -> bool:
        """Objects are addressed in their namespace, and objects of the cluster in none. Raises ``MethodNotAllowed``."""
        info = call.info
        is_namespace = info.resource == "namespaces" and not info.group
        if not served.resource.namespaced:
            return not info.namespace or is_namespace
        if info.namespace or info.verb in ("list", "watch", "deletecollection"):
            if info.verb == "deletecollection" and not info.namespace:
                raise _not_allowed()
            return True
        if not info.name and served.kind.is_stored:
            raise _not_allowed()
        return False

    def _subresource(self, served: Served, call: Call) -> Endpoint | None:
        info = call.info
        declared = subresource(served.kind, info.subresource)
        if declared is None or not info.name or not self._has_right_scope(served, call):
            return None
        if info.remainder and info.subresource != "proxy":
            return None
        rows = self._subresources
        row = rows.get((info.group, info.resource, info.subresource)) or rows.get((ANY, ANY, info.subresource)) or {}
        endpoint = row.get(info.verb)
        if endpoint is None or (call.request.method == "HEAD" and info.subresource != "proxy"):
            raise _not_allowed()
        return endpoint

    async def _path(self, call: Call) -> Response:
        path = call.info.path
        handler = self._paths.get(path)
        call.monitored = MONITORED.get(path)
        if handler is None and path.endswith("/"):
            handler = self._paths.get(path.rstrip("/"))
        if handler is None:
            handler = next((handler for prefix, handler in self._prefixes.items() if path.startswith(prefix)), None)
        if handler is None:
            return unserved(self._api.kinds, call)
        response = await handler(call)
        if response.status != 404 and self._is_routed(path):
            if call.request.method != "GET":
                raise _not_allowed()
            produced = response.headers["content-type"]
            require_produced(call.header("accept"), PRODUCED if path.startswith("/api") else (produced,))
        return response

    def _is_routed(self, path: str) -> bool:
        """Upstream's router of resources serves the path, for one method and some media types; others are for any."""
        root, *rest = path.strip("/").split("/")
        if root == "apis":
            return len(rest) > 1 and self._api.kinds.has_built_in(rest[0])
        return root in ("api", "version", ".well-known", "openid")


def unserved(kinds: ServedKinds, call: Call) -> Response:
    """Below ``/api`` and the groups that are built in, upstream's router answers itself. Raises ``NotFound``."""
    _, root, *rest = call.info.path.split("/")
    if root == "api" or (root == "apis" and rest and kinds.has_built_in(rest[0])):
        raise NotFound.path()
    return not_found(call)


def not_found(call: Call) -> Response:
    """No such path is served, in the words of Go's HTTP library."""
    return respond.text(call, "404 page not found\n", status=404)


def _not_allowed() -> MethodNotAllowed:
    return MethodNotAllowed("the server does not allow this method on the requested resource", details={})
