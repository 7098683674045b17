"""What a request is about, read from its method and path alone.

The rules are upstream's (apiserver/pkg/endpoints/request): they decide what authorization, audit, flow control and metrics
see, so they do not depend on which kinds are served.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from steersman.meta.selectors import SelectorError, parse_field_selector
from steersman.meta.wire import Request

_VERBS: Mapping[str, str] = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_LONG_RUNNING_SUBRESOURCES = frozenset({"attach", "exec", "proxy", "log", "portforward"})
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


class RequestInfo(Struct, frozen=True, kw_only=True):
    """A request for a resource, or (``is_resource`` false) for any other path."""

    path: str
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    remainder: tuple[str, ...] = ()
    """Path segments after the subresource: where a proxied request goes."""
    is_verb_in_path: bool = False
    """Of the kind that is no more in use, such as ``/api/v1/watch/pods``: authorization sees no selectors of these."""

    @property
    def is_long_running(self) -> bool:
        """Watches, streams and proxied requests: no deadline, and no limit on how many there are."""
        return self.verb == "watch" or (self.is_resource and self.subresource in _LONG_RUNNING_SUBRESOURCES)


def parse_bool(text: str) -> bool | None:
    """A boolean query parameter as Go's strconv reads it; None for what is none."""
    if text in _TRUE:
        return True
    return False if text in _FALSE else None


def request_info(request: Request) -> RequestInfo:
    """The ``RequestInfo`` of a request."""
    query = request.query
    if not query:
        return _parse(request.method, request.path, False, "")
    watch = query.get("watch")
    watches = watch is not None and parse_bool(watch[0]) is not False
    selector = query.get("fieldSelector")
    return _parse(request.method, request.path, watches, _selected_name(selector[0]) if selector else "")


def _selected_name(selector: str) -> str:
    """The one object that a list or watch is restricted to, so that access to single names can be granted."""
    try:
        name = parse_field_selector(selector).required_value("metadata.name") or ""
    except SelectorError:
        return ""
    return "" if "/" in name or "%" in name or name in (".", "..") else name


@lru_cache(maxsize=8192)
def _parse(method: str, path: str, watches: bool, selected_name: str) -> RequestInfo:
    parts = path.strip("/").split("/")
    verb = _VERBS.get(method, "")  # of OPTIONS none: only who may do everything may do that
    if parts[0] == "api" and len(parts) >= 3:
        group, version, parts = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(path=path, verb=method.lower())
    is_verb_in_path = parts[0] in ("watch", "proxy") and len(parts) > 1
    if is_verb_in_path:
        verb, parts = parts[0], parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    resource = parts[0]
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 else ""
    if not name and verb == "get":
        verb = "watch" if watches else "list"
        name = selected_name
    elif not name and verb == "watch":
        name = selected_name
    elif not name and verb == "delete":
        verb = "deletecollection"
    return RequestInfo(
        path=path,
        verb=verb,
        is_resource=True,
        group=group,
        version=version,
        namespace=namespace,
        resource=resource,
        subresource=subresource,
        name=name,
        remainder=tuple(parts[3:]),
        is_verb_in_path=is_verb_in_path,
    )
