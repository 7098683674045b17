"""Metrics of requests. Source: upstream's endpoints/metrics: which requests count, and as what.

A request counts once it has found who answers it: what is refused before (401, 403, no such path) does not, as upstream has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from steersman.aio.clock import Clock
from steersman.apiserver.call import Call
from steersman.apiserver.lifetimes import at_end, counting, lasts
from steersman.apiserver.metrics.series import Distribution, Labels, counters, gauges, histograms, rebucketed
from steersman.apiserver.requestinfo import RequestInfo
from steersman.meta.wire import Response

SERVER, AGGREGATOR = "apiserver", "aggregator"
_DURATIONS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
_SLI_DURATIONS = _DURATIONS[2:]
_VALIDATION_DURATIONS = _DURATIONS[2:]
_BODY_SIZES = tuple(50_000.0 + 100_000 * step for step in range(31))
_BODIES = {
    "create": "create",
    "update": "update",
    "patch": "patch",
    "delete": "delete",
    "deletecollection": "delete_collection",
}
"""Verbs of requests that have a body, as ``apiserver_request_body_size_bytes`` names them."""
_VALIDATIONS = frozenset({"Ignore", "Warn", "Strict"})
_SIZES = tuple(1000.0 * 10**power for power in range(7))
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "LIST", "PATCH", "POST", "PROXY", "PUT", "WATCH"})
_CONNECTS = frozenset({"log", "exec", "portforward", "attach", "proxy"})
_APPLY = "application/apply-patch+yaml"
_OWN_AGENT = "kube-apiserver/"
_SUBJECT = ("verb", "group", "version", "resource", "subresource", "scope", "component")
_COUNTED = ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component")
_Of = tuple[str, str, str, str, str, str, str, str]
"""Values of ``_COUNTED``."""


class _Series:
    """Everything that requests with the same labels count."""

    __slots__ = ("codes", "durations", "sizes", "slis")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.durations = Distribution(_DURATIONS)
        self.slis = Distribution(_SLI_DURATIONS)
        self.sizes: Distribution | None = None


class RequestMetrics(Collector):
    def __init__(self, registry: CollectorRegistry, *, clock: Clock) -> None:
        self.registry = registry
        self._clock = clock
        self._series: dict[_Of, _Series] = {}
        self._long_running: dict[Labels, int] = {}
        self._terminations: dict[Labels, int] = {}
        self._aborts: dict[Labels, int] = {}
        self._own: dict[Labels, int] = {}
        self._deprecated: dict[Labels, int] = {}
        self._bodies: dict[Labels, Distribution] = {}
        self._validated: dict[Labels, Distribution] = {}
        self._given_up: dict[Labels, int] = {}
        registry.register(self)

    # -- what happens

    def answered(self, call: Call, response: Response) -> Response:
        """``call`` has its response: counted now, or when that ends. The response to send instead."""
        if call.monitored is None:
            self._refused(call, response.status)
            return response
        if not lasts(response):
            size_bytes = len(response.body) or sum(map(len, response.slices))
            self._count(call, response.status, size_bytes)
            return response
        if call.info.is_long_running:
            return at_end(response, self._began(call, response.status))
        stated = response.headers.get("content-length")
        if stated is not None and stated.isdigit():
            return at_end(response, lambda: self._count(call, response.status, int(stated)))
        return counting(response, lambda size_bytes: self._count(call, response.status, size_bytes))

    def aborted(self, call: Call) -> None:
        """The client has gone before it was answered."""
        info, verb = call.info, verb_of(call)
        key = (verb, info.group, info.version, info.resource, info.subresource, scope_of(info))
        self._aborts[key] = self._aborts.get(key, 0) + 1

    def deprecated(self, info: RequestInfo) -> None:
        """A deprecated version was asked for. Of those that are served none has a release yet that will be without it."""
        self._deprecated[info.group, info.version, info.resource, info.subresource, ""] = 1

    def gave_up(self, result: str) -> None:
        """What worked on a request that had timed out has come to its end."""
        key = ("timeout-handler", result)
        self._given_up[key] = self._given_up.get(key, 0) + 1

    def terminated(self, call: Call, code: int, component: str = SERVER) -> None:
        """The request was given up to protect the server, or because another one does not answer."""
        key = (*self._subject(call, component), str(code))
        self._terminations[key] = self._terminations.get(key, 0) + 1

    def _refused(self, call: Call, code: int) -> None:
        if code == 429:
            self._of(call).codes[429] = self._of(call).codes.get(429, 0) + 1
        if code in (429, 504):
            self.terminated(call, code)

    def _count(self, call: Call, code: int, size_bytes: int) -> None:
        series = self._of(call)
        series.codes[code] = series.codes.get(code, 0) + 1
        elapsed_s = self._clock.monotonic() - call.received_s
        series.durations.observe(elapsed_s)
        query, verb = call.request.query, _BODIES.get(call.info.verb)
        if not query or "dryRun" not in query:
            series.slis.observe(elapsed_s)
        if query and "fieldValidation" in query:
            self._validated_as(call.query("fieldValidation"), elapsed_s)
        if verb is not None and call.info.is_resource and call.request.content is None:
            self._of_body((call.info.group, call.info.resource, verb), len(call.request.body))
        if call.request.method in ("GET", "HEAD") and call.info.is_resource and not call.info.is_long_running:
            if series.sizes is None:
                series.sizes = Distribution(_SIZES)
            series.sizes.observe(size_bytes)
        if code == 504:
            self.terminated(call, code)
        if call.header("user-agent").startswith(_OWN_AGENT):
            key = (verb_of(call), call.info.group, call.info.resource, call.info.subresource)
            self._own[key] = self._own.get(key, 0) + 1

    def _validated_as(self, value: str, elapsed_s: float) -> None:
        if not value:
            return
        key = (value if value in _VALIDATIONS else "invalid",)
        found = self._validated.get(key)
        if found is None:
            found = self._validated[key] = Distribution(_VALIDATION_DURATIONS)
        found.observe(elapsed_s)

    def _of_body(self, key: Labels, size_bytes: int) -> None:
        found = self._bodies.get(key)
        if found is None:
            found = self._bodies[key] = Distribution(_BODY_SIZES)
        found.observe(size_bytes)

    def _began(self, call: Call, code: int) -> Callable[[], None]:
        """A watch or a stream that goes on; the result is called at its end."""
        key = self._subject(call, SERVER)
        self._long_running[key] = self._long_running.get(key, 0) + 1

        def ended() -> None:
            self._long_running[key] -= 1
            self._count(call, code, 0)

        return ended

    def _subject(self, call: Call, component: str) -> Labels:
        info = call.info
        if not info.is_resource:
            return (verb_of(call), "", "", "", info.path, "", component)
        names = (info.group, info.version, info.resource, info.subresource)
        return (verb_of(call), *names, scope_of(info), component)

    def _of(self, call: Call) -> _Series:
        info = call.info
        dry_run = _dry_run(call) if call.request.query else ""
        subresource = info.subresource or call.monitored or ""
        key = (verb_of(call), dry_run, info.group, info.version, info.resource, subresource, scope_of(info), SERVER)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
        return series

    # -- collecting

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        series = dict(self._series)
        yield counters(
            "apiserver_request",
            "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, "
            "component, and HTTP response code.",
            (*_COUNTED, "code"),
            {(*key, str(code)): count for key, found in series.items() for code, count in found.codes.items()},
        )
        yield histograms(
            "apiserver_request_duration_seconds",
            "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, "
            "scope and component.",
            _COUNTED,
            {key: found.durations for key, found in series.items()},
        )
        yield histograms(
            "apiserver_request_sli_duration_seconds",
            "Response latency distribution (not counting webhook duration and priority & fairness queue wait times) in "
            "seconds for each verb, group, version, resource, subresource, scope and component.",
            _SUBJECT,
            {(key[0], *key[2:]): found.slis for key, found in series.items() if not key[1]},
        )
        yield histograms(
            "apiserver_response_sizes",
            "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.",
            _SUBJECT,
            {
                (key[0], *key[2:]): found.sizes
                for key, found in series.items()
                if found.sizes is not None and not key[1]
            },
        )
        yield gauges(
            "apiserver_longrunning_requests",
            "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and "
            "component. Not all requests are tracked this way.",
            _SUBJECT,
            dict(self._long_running),
        )
        yield counters(
            "apiserver_request_terminations",
            "Number of requests which apiserver terminated in self-defense.",
            (*_SUBJECT, "code"),
            dict(self._terminations),
        )
        yield counters(
            "apiserver_request_aborts",
            "Number of requests which apiserver aborted possibly due to a timeout, for each group, version, verb, resource, "
            "subresource and scope",
            _SUBJECT[:-1],
            dict(self._aborts),
        )
        yield gauges(
            "apiserver_requested_deprecated_apis",
            "Gauge of deprecated APIs that have been requested, broken out by API group, version, resource, subresource, "
            "and removed_release.",
            ("group", "version", "resource", "subresource", "removed_release"),
            dict(self._deprecated),
        )
        yield counters(
            "apiserver_selfrequest",
            "Counter of apiserver self-requests broken out for each verb, API resource and subresource.",
            ("verb", "group", "resource", "subresource"),
            dict(self._own),
        )
        yield from self._of_writes()

    def _of_writes(self) -> Iterator[Metric]:
        yield histograms(
            "apiserver_request_body_size_bytes",
            "Apiserver request body size in bytes broken out by resource and verb.",
            ("group", "resource", "verb"),
            dict(self._bodies),
        )
        yield histograms(
            "field_validation_request_duration_seconds",
            "Response latency distribution in seconds for each field validation value",
            ("field_validation",),
            {("",): self._not_validated(), **self._validated},
        )
        yield counters(
            "apiserver_request_post_timeout",
            "Tracks the activity of the request handlers after the associated requests have been timed out by the apiserver",
            ("source", "status"),
            dict(self._given_up),
        )

    def _not_validated(self) -> Distribution:
        """Of the requests that say nothing about it: all but the others."""
        found = rebucketed(_VALIDATION_DURATIONS, [series.durations for series in self._series.values()])
        for said in self._validated.values():
            found.total -= said.total
            found.counts = [count - other for count, other in zip(found.counts, said.counts, strict=True)]
        return found


def verb_of(call: Call) -> str:
    """GET told from LIST and WATCH, PATCH from APPLY, and CONNECT from the method by which it comes."""
    info = call.info
    if info.is_resource and info.subresource in _CONNECTS:
        return "CONNECT"
    if info.verb == "watch":
        return "WATCH"
    method = call.request.method
    if method in ("GET", "HEAD"):
        return "GET" if scope_of(info) in ("resource", "") else "LIST"
    if method == "PATCH" and call.header("content-type") == _APPLY:
        return "APPLY"
    return method if method in _METHODS else "other"


def scope_of(info: RequestInfo) -> str:
    if info.name or info.verb == "create":
        return "resource"
    if info.namespace:
        return "namespace"
    return "cluster" if info.is_resource else ""


def _dry_run(call: Call) -> str:
    values = call.request.query.get("dryRun")
    if not values:
        return ""
    return ",".join(sorted(set(values))) if all(value == "All" for value in values) else "invalid"
