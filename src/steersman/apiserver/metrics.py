"""The API server's metrics, under upstream's names, in a registry of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from steersman.apiserver import respond
from steersman.apiserver.call import Call
from steersman.apiserver.router import PathHandler
from steersman.meta.wire import Response

_DURATION_BUCKETS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
)  # fmt: skip
_VERBS = {"patch": "PATCH", "list": "LIST", "watch": "WATCH", "get": "GET", "create": "POST", "update": "PUT", "delete": "DELETE"}  # fmt: skip


class RequestMetrics:
    """Counts and durations of requests. Label children are kept: looking them up costs more than using them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "apiserver_request",
            "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, "
            "component, and HTTP response code.",
            ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component", "code"),
            registry=registry,
        )
        self._durations = Histogram(
            "apiserver_request_duration_seconds",
            "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, "
            "scope and component.",
            ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"),
            buckets=_DURATION_BUCKETS,
            registry=registry,
        )
        self._long_running = Gauge(
            "apiserver_longrunning_requests",
            "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and "
            "component. Not all requests are tracked this way.",
            ("verb", "group", "version", "resource", "subresource", "scope", "component"),
            registry=registry,
        )
        self._counters: dict[tuple[Any, ...], Any] = {}
        self._histograms: dict[tuple[Any, ...], Any] = {}

    def finished(self, call: Call, status: int, now_s: float) -> None:
        """A response is ready (of a watch or a stream: its beginning)."""
        info = call.info
        dry_run = "All" if call.request.query and "dryRun" in call.request.query else ""
        key = (info.verb, dry_run, info.group, info.version, info.resource, info.subresource, _scope(call), status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._child(self._counters, key)
        counter.inc()
        if not info.is_long_running:
            self._histograms[key[:-1]].observe(now_s - call.received_s)

    def _child(self, counters: dict[tuple[Any, ...], Any], key: tuple[Any, ...]) -> Any:
        verb, dry_run, group, version, resource, subresource, scope, status = key
        if status == 404 and len(counters) > 10_000:
            group = version = resource = subresource = ""
        labels = (_VERBS.get(verb, verb.upper()), dry_run, group, version, resource, subresource, scope, "apiserver")
        counters[key] = self._requests.labels(*labels, str(status))
        self._histograms[key[:-1]] = self._durations.labels(*labels)
        return counters[key]


def _scope(call: Call) -> str:
    info = call.info
    if not info.is_resource:
        return ""
    if info.name and info.verb not in ("list", "watch", "deletecollection"):
        return "resource"
    return "namespace" if info.namespace else "cluster"


class MetricsPath:
    """``/metrics`` in Prometheus' text format."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    @property
    def paths(self) -> Mapping[str, PathHandler]:
        return {"/metrics": self.serve}

    @property
    def prefixes(self) -> Mapping[str, PathHandler]:
        return {}

    async def serve(self, call: Call) -> Response:
        return Response(headers=respond.headers(call, CONTENT_TYPE_LATEST), body=generate_latest(self._registry))
