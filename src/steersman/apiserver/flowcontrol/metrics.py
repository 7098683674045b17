"""``apiserver_flowcontrol_*``: what the controller counted, made into metrics when somebody reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from steersman.aio.clock import Clock
from steersman.apiserver.flowcontrol.controller import PriorityAndFairness
from steersman.apiserver.flowcontrol.distribution import Distribution
from steersman.apiserver.flowcontrol.levels import FlowAccount, Level
from steersman.apiserver.flowcontrol.requestkinds import KINDS, PHASES

_PREFIX = "apiserver_flowcontrol_"
_BY_FLOW = ("priority_level", "flow_schema")
_BY_LEVEL = ("priority_level",)


class FlowControlMetrics(Collector):
    """Upstream's names, labels and help texts."""

    def __init__(self, control: PriorityAndFairness, clock: Clock) -> None:
        self._control = control
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        control = self._control
        now_s = self._clock.monotonic()
        for level in control.levels.values():
            level.fold(now_s)
        control.requests.fold()
        accounts = list(control.accounts.values())
        yield from _counters(accounts)
        yield from _gauges(accounts)
        yield from _histograms(accounts)
        yield from _limits(list(control.levels.values()), control.fair_fraction)
        yield from _progress(list(control.levels.values()))
        yield from _utilization(list(control.levels.values()))
        yield from self._requests()

    def _requests(self) -> Iterator[Metric]:
        requests = self._control.requests
        current = _histogram(
            "read_vs_write_current_requests",
            "Observations, at the end of every nanosecond, of the number of requests (as a fraction of the relevant limit) "
            "waiting or in regular stage of execution",
            ("phase", "request_kind"),
        )
        for (phase, kind), found in requests.histograms.items():
            _add(current, (phase, kind), found)
        yield current
        for phase, name in zip(PHASES, ("inflight", "inqueue"), strict=True):
            gauge = GaugeMetricFamily(
                f"apiserver_current_{name}_requests",
                f"Maximal number of currently used {name} request limit of this apiserver per request kind in last second."
                if name == "inflight"
                else "Maximal number of queued requests in this apiserver per request kind in last second.",
                labels=("request_kind",),
            )
            for kind in KINDS:
                gauge.add_metric((kind,), requests.peak(phase, kind))
            yield gauge


def _counter(name: str, text: str, labels: Sequence[str] = _BY_FLOW) -> CounterMetricFamily:
    return CounterMetricFamily(f"{_PREFIX}{name}", text, labels=labels)


def _gauge(name: str, text: str, labels: Sequence[str] = _BY_FLOW) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}{name}", text, labels=labels)


def _histogram(name: str, text: str, labels: Sequence[str] = _BY_FLOW) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"{_PREFIX}{name}", text, labels=labels)


def _add(family: HistogramMetricFamily, labels: Sequence[str], found: Distribution) -> None:
    family.add_metric(labels, buckets=found.buckets(), sum_value=found.total)


def _counters(accounts: Iterable[FlowAccount]) -> Iterator[Metric]:
    rejected = _counter(
        "rejected_requests",
        "Number of requests rejected by API Priority and Fairness subsystem",
        (*_BY_FLOW, "reason"),
    )
    dispatched = _counter("dispatched_requests", "Number of requests executed by API Priority and Fairness subsystem")
    unaccommodated = _counter(
        "request_dispatch_no_accommodation",
        "Number of times a dispatch attempt resulted in a non accommodation due to lack of available seats",
    )
    for account in accounts:
        for reason, count in account.rejected.items():
            rejected.add_metric((account.level, account.schema, reason), count)
        if account.dispatched:
            dispatched.add_metric((account.level, account.schema), account.dispatched)
        if account.unaccommodated:
            unaccommodated.add_metric((account.level, account.schema), account.unaccommodated)
    yield from (rejected, dispatched, unaccommodated)


_STAGE = "(initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem"
_FLOW_GAUGES = (
    (
        "current_inqueue_requests", "waiting",
        "Number of requests currently pending in queues of the API Priority and Fairness subsystem",
    ),
    (
        "current_inqueue_seats", "seats_waiting",
        "Number of seats currently pending in queues of the API Priority and Fairness subsystem",
    ),
    (
        "current_executing_requests", "executing",
        "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and "
        "Fairness subsystem",
    ),
    (
        "current_executing_seats", "seats_in_use",
        f"Concurrency (number of seats) occupied by the currently executing {_STAGE}",
    ),
)  # fmt: skip


def _gauges(accounts: Sequence[FlowAccount]) -> Iterator[Metric]:
    for name, attribute, text in _FLOW_GAUGES:
        gauge = _gauge(name, text)
        for account in accounts:
            gauge.add_metric((account.level, account.schema), getattr(account, attribute))
        yield gauge


_FLOW_HISTOGRAMS = (
    (
        "request_queue_length_after_enqueue", "queue_lengths",
        "Length of queue in the API Priority and Fairness subsystem, as seen by each request after it is enqueued",
    ),
    (
        "watch_count_samples", "watches",
        "count of watchers for mutating requests in API Priority and Fairness",
    ),
    (
        "work_estimated_seats", "seats_estimated",
        "Number of estimated seats (maximum of initial and final seats) associated with requests in API Priority and "
        "Fairness",
    ),
)  # fmt: skip


def _histograms(accounts: Sequence[FlowAccount]) -> Iterator[Metric]:
    for name, attribute, text in _FLOW_HISTOGRAMS:
        family = _histogram(name, text)
        for account in accounts:
            found: Distribution = getattr(account, attribute)
            if found.count:
                _add(family, (account.level, account.schema), found)
        yield family
    waited = _histogram(
        "request_wait_duration_seconds", "Length of time a request spent waiting in its queue", (*_BY_FLOW, "execute")
    )
    executed = _histogram(
        "request_execution_seconds",
        "Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the API Priority "
        "and Fairness subsystem",
        (*_BY_FLOW, "type"),
    )
    for account in accounts:
        labels = (account.level, account.schema)
        for family, value, found in (
            (waited, "true", account.waited_s),
            (waited, "false", account.waited_refused_s),
            (executed, "regular", account.execution_s),
            (executed, "watch", account.initialization_s),
        ):
            if found.count:
                _add(family, (*labels, value), found)
    yield from (waited, executed)


def _limits(levels: Sequence[Level], fair_fraction: float) -> Iterator[Metric]:
    rows: Sequence[tuple[str, str, Callable[[Level], float]]] = (
        (
            "nominal_limit_seats", "Nominal number of execution seats configured for each priority level",
            lambda level: level.limits.nominal,
        ),
        (
            "lower_limit_seats", "Configured lower bound on number of execution seats available to each priority level",
            lambda level: level.limits.least,
        ),
        (
            "upper_limit_seats", "Configured upper bound on number of execution seats available to each priority level",
            lambda level: level.limits.most,
        ),
        (
            "current_limit_seats", "current derived number of execution seats available to each priority level",
            lambda level: level.queues.limit,
        ),
        (
            "demand_seats_high_watermark", "High watermark, over last adjustment period, of demand_seats",
            lambda level: level.demand.high_watermark,
        ),
        (
            "demand_seats_average", "Time-weighted average, over last adjustment period, of demand_seats",
            lambda level: level.demand.average,
        ),
        (
            "demand_seats_stdev", "Time-weighted standard deviation, over last adjustment period, of demand_seats",
            lambda level: level.demand.deviation,
        ),
        ("demand_seats_smoothed", "Smoothed seat demands", lambda level: level.demand.smoothed),
        ("target_seats", "Seat allocation targets", lambda level: level.target),
    )  # fmt: skip
    for name, text, value in rows:
        gauge = _gauge(name, text, _BY_LEVEL)
        for level in levels:
            gauge.add_metric((level.name,), value(level))
        yield gauge
    fair = _gauge(
        "seat_fair_frac",
        "Fair fraction of server's concurrency to allocate to each priority level that can use it",
        (),
    )
    fair.add_metric((), fair_fraction)
    yield fair


def _progress(levels: Sequence[Level]) -> Iterator[Metric]:
    current = _gauge("current_r", "R(time of last change)", _BY_LEVEL)
    dispatch = _gauge("dispatch_r", "R(time of last dispatch)", _BY_LEVEL)
    latest = _gauge("latest_s", "S(most recently dispatched request)", _BY_LEVEL)
    bounds = _gauge(
        "next_s_bounds", "min and max, over queues, of S(oldest waiting request in queue)", (*_BY_LEVEL, "bound")
    )
    discounted = _gauge(
        "next_discounted_s_bounds",
        "min and max, over queues, of S(oldest waiting request in queue) - estimated work in progress",
        (*_BY_LEVEL, "bound"),
    )
    for level in levels:
        name, queues = level.name, level.queues
        current.add_metric((name,), queues.r)
        dispatch.add_metric((name,), queues.last_dispatch_r)
        latest.add_metric((name,), queues.last_dispatch_s)
        found = queues.backlog_bounds()
        if found is not None:
            bounds.add_metric((name, "min"), found[0])
            bounds.add_metric((name, "max"), found[1])
            discounted.add_metric((name, "min"), found[2])
            discounted.add_metric((name, "max"), found[3])
    yield from (current, dispatch, latest, bounds, discounted)


def _utilization(levels: Sequence[Level]) -> Iterator[Metric]:
    requests = _histogram(
        "priority_level_request_utilization",
        "Observations, at the end of every nanosecond, of number of requests (as a fraction of the relevant limit) waiting or "
        "in any stage of execution (but only initial stage for WATCHes)",
        ("phase", *_BY_LEVEL),
    )
    seats = _histogram(
        "priority_level_seat_utilization",
        "Observations, at the end of every nanosecond, of utilization of seats for any stage of execution (but only initial "
        "stage for WATCHes)",
        (*_BY_LEVEL, "phase"),
    )
    demand = _histogram(
        "demand_seats",
        "Observations, at the end of every nanosecond, of (the number of seats each priority level could use) / (nominal "
        "number of seats for that level)",
        _BY_LEVEL,
    )
    for level in levels:
        found = level.utilization
        _add(requests, ("waiting", level.name), found.waiting)
        _add(requests, ("executing", level.name), found.executing)
        _add(seats, (level.name, "executing"), found.seats)
        _add(demand, (level.name,), found.demand)
    yield from (requests, seats, demand)
