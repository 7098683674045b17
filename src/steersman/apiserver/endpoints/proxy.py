"""``pods/proxy``, ``services/proxy``, ``nodes/proxy``: any request, passed on to what the name stands for."""

from __future__ import annotations

import posixpath
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from msgspec.structs import replace

from steersman.apiserver import respond
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.connect import admit_connect, connect_options
from steersman.apiserver.proxying.backend import DialError, Target, forwarded_headers, is_upgrade, query_of
from steersman.apiserver.proxying.rewriting import CORS_HEADERS, Rewriter, recoded
from steersman.apiserver.served import Served
from steersman.meta.errors import BadRequest, MethodNotAllowed
from steersman.meta.wire import Response

HTML_LIMIT_BYTES = 10 * 1024 * 1024
"""Longer pages are passed on as they are."""
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})

_Locate = Callable[[API, Call, str, str], Awaitable[Target]]


async def _to_pod(api: API, call: Call, path: str, query: str) -> Target:
    return api.locations.pod_proxy(call.info.namespace, call.info.name, path, query)


async def _to_service(api: API, call: Call, path: str, query: str) -> Target:
    return api.locations.service_proxy(call.info.namespace, call.info.name, path, query)


async def _to_node(api: API, call: Call, path: str, query: str) -> Target:
    return await api.locations.node_proxy(call.info.name, path, query)


def proxying(locate: _Locate, kind: str) -> Endpoint:
    async def proxy(api: API, served: Served, call: Call) -> Response:
        if call.request.method not in METHODS:
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        if call.query("dryRun"):
            raise BadRequest("dryRun is not supported")
        prefix, rest = _split(call)
        options = connect_options(call, kind)
        if rest:
            options["path"] = rest
        rest = (await admit_connect(api, served, call, options)).get("path") or ""
        target = await locate(api, call, _normalized(rest), query_of(call))
        host = call.header("host")
        target = replace(target, host_header=host)
        if is_upgrade(call):
            return await api.backends.upgrade(call, target)
        if not rest and call.request.method in ("GET", "HEAD"):
            location = f"{call.info.path}/{'?' + target.query if target.query else ''}"
            return Response(status=301, headers={**respond.headers(call, "text/html"), "location": location})
        headers = forwarded_headers(call)
        headers["x-forwarded-uri"] = f"{prefix}{target.url_path.partition('?')[0]}"
        answer = await api.backends.request(call, target, headers=headers)
        return await _rewritten(call, answer, Rewriter(host=target.authority, requested=host, prefix=prefix))

    return proxy


def _split(call: Call) -> tuple[str, str]:
    """The path up to and with ``/proxy``, and what follows it."""
    path, info = call.info.path, call.info
    head = f"/{info.resource}/{info.name}/proxy"
    at = path.index(head) + len(head)
    return path[:at], path[at:]


def _normalized(rest: str) -> str:
    """The path without ``..``, ``.`` and empty segments; a slash at its end stays."""
    path = posixpath.normpath(f"/{rest}").replace("//", "/")
    return f"{path}/" if rest.endswith("/") and path != "/" else path


async def _rewritten(call: Call, answer: Response, rewriter: Rewriter) -> Response:
    own = respond.headers(call, "")
    del own["content-type"]
    headers = {**own, **{name: value for name, value in answer.headers.items() if name not in CORS_HEADERS}}
    answer = replace(answer, headers=headers)
    if headers.get("location"):
        headers["location"] = rewriter.url(headers["location"])
        return answer
    encoding = headers.get("content-encoding", "")
    is_page = headers.get("content-type", "").partition(";")[0].strip() == "text/html"
    if not is_page or answer.stream is None or call.request.method == "HEAD" or encoding not in ("", "gzip", "deflate"):
        return answer
    body = b""
    async for chunk in answer.stream:
        body += chunk
        if len(body) > HTML_LIMIT_BYTES:
            return replace(answer, stream=_with_head(body, answer.stream))
    try:
        page = recoded(body, encoding, rewriter.html, limit_bytes=HTML_LIMIT_BYTES)
    except zlib.error as error:
        raise DialError(f"error making {encoding} reader: {error}") from error
    headers.pop("content-length", None)
    return replace(answer, stream=None, body=page)


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
