"""How many watches a write wakes: what its events cost follows from that."""

from __future__ import annotations

from steersman.apiserver.call import Call
from steersman.apiserver.requestinfo import RequestInfo
from steersman.meta.selectors import SelectorError, parse_field_selector

Scope = tuple[str, str, str, str]
"""Group, resource, namespace, name; the last two may be empty."""
_INDEXED = {"pods": "spec.nodeName"}
"""Watches restricted by such a field see few of the writes: they are not counted."""


class WatchCounts:
    """Watches by what they watch."""

    def __init__(self) -> None:
        self._counts: dict[Scope, int] = {}

    def add(self, call: Call) -> Scope | None:
        """A watch begins; what to give ``remove`` when it ends."""
        info = call.info
        field = _INDEXED.get(info.resource)
        if field is not None and _selected(call, field):
            return None
        scope = (info.group, info.resource, info.namespace, info.name)
        self._counts[scope] = self._counts.get(scope, 0) + 1
        return scope

    def remove(self, scope: Scope) -> None:
        left = self._counts[scope] - 1
        if left:
            self._counts[scope] = left
        else:
            del self._counts[scope]

    def interested_in(self, info: RequestInfo) -> int:
        """Watches of the kind, of the namespace, and of the object that a write is for."""
        counts = self._counts
        if not counts:
            return 0
        group, resource, namespace, name = info.group, info.resource, info.namespace, info.name
        found = counts.get((group, resource, "", ""), 0)
        if namespace:
            found += counts.get((group, resource, namespace, ""), 0)
        if name:
            found += counts.get((group, resource, namespace, name), 0)
        return found


def _selected(call: Call, field: str) -> str:
    text = call.query("fieldSelector")
    if not text:
        return ""
    try:
        return parse_field_selector(text).required_value(field) or ""
    except SelectorError:
        return ""
