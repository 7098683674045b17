"""``pods/proxy``, ``services/proxy``, ``nodes/proxy``: any request, passed on to what the name stands for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

from steersman.apiserver import respond
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.connect import admit_connect, connect_options
from steersman.apiserver.proxying.backend import Target, forwarded_headers, is_upgrade, query_of
from steersman.apiserver.proxying.rewriting import CORS_HEADERS, Rewriter
from steersman.apiserver.served import Served
from steersman.meta.errors import MethodNotAllowed
from steersman.meta.wire import Response

METHODS: frozenset[str] = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
HTML_LIMIT_BYTES = 10 * 1024 * 1024
"""Longer pages are passed on as they are."""

_Locate = Callable[[API, Call, str, str], Target]


def _to_pod(api: API, call: Call, path: str, query: str) -> Target:
    return api.locations.pod_proxy(call.info.namespace, call.info.name, path, query)


def _to_service(api: API, call: Call, path: str, query: str) -> Target:
    return api.locations.service_proxy(call.info.namespace, call.info.name, path, query)


def _to_node(api: API, call: Call, path: str, query: str) -> Target:
    return api.locations.node_proxy(call.info.name, path, query)


def proxying(locate: _Locate, kind: str) -> Endpoint:
    async def proxy(api: API, served: Served, call: Call) -> Response:
        if call.request.method not in METHODS:
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        path = call.info.path
        prefix, rest = _split(call)
        options = connect_options(call, kind)
        if rest:
            options["path"] = rest
        rest = (await admit_connect(api, served, call, options)).get("path") or ""
        if not rest and call.request.method in ("GET", "HEAD") and not path.endswith("/"):
            query = query_of(call)
            location = f"{path}/{'?' + query if query else ''}"
            return Response(status=301, headers={**respond.headers(call, "text/html"), "location": location})
        target = locate(api, call, rest or "/", query_of(call))
        if is_upgrade(call):
            return await api.backends.upgrade(call, target)
        headers = forwarded_headers(call)
        address = call.request.peer.address
        forwarded_for = call.header("x-forwarded-for")
        headers["x-forwarded-for"] = f"{forwarded_for}, {address}" if forwarded_for else address
        headers["x-forwarded-uri"] = path
        headers["x-forwarded-host"] = call.header("host")
        headers["x-forwarded-proto"] = "https"
        answer = await api.backends.request(call, target, headers=headers)
        return await _rewritten(answer, Rewriter(host=target.authority, prefix=prefix))

    return proxy


def _split(call: Call) -> tuple[str, str]:
    """The path up to and with ``/proxy``, and what follows it."""
    path, info = call.info.path, call.info
    head = f"/{info.resource}/{info.name}/proxy"
    at = path.index(head) + len(head)
    return path[:at], path[at:]


async def _rewritten(answer: Response, rewriter: Rewriter) -> Response:
    headers = {name: value for name, value in answer.headers.items() if name not in CORS_HEADERS}
    if "location" in headers:
        headers["location"] = rewriter.url(headers["location"])
    is_page = headers.get("content-type", "").startswith("text/html") and not headers.get("content-encoding")
    if not is_page or answer.stream is None:
        return Response(status=answer.status, headers=headers, stream=answer.stream, body=answer.body)
    body = b""
    async for chunk in answer.stream:
        body += chunk
        if len(body) > HTML_LIMIT_BYTES:
            return Response(status=answer.status, headers=headers, stream=_with_head(body, answer.stream))
    headers.pop("content-length", None)
    return Response(status=answer.status, headers=headers, body=rewriter.html(body))


async def _with_head(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for chunk in rest:
        yield chunk


_VERBS = ("create", "delete", "get", "patch", "update", "")
"""The last one is what OPTIONS is to authorization, as upstream has it."""
ROWS: Mapping[tuple[str, str, str], Mapping[str, Endpoint]] = {
    ("", plural, "proxy"): dict.fromkeys(_VERBS, proxying(locate, kind))
    for plural, locate, kind in (
        ("pods", _to_pod, "PodProxyOptions"),
        ("services", _to_service, "ServiceProxyOptions"),
        ("nodes", _to_node, "NodeProxyOptions"),
    )
}
