"""Metrics of admission, under upstream's names.

Source: kube-apiserver's admission/metrics. Durations are taken several times in every write, so they are kept in rows of plain
numbers and become metrics when somebody looks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import HistogramMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

_STEP_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)
_WEBHOOK_BUCKETS = (*_STEP_BUCKETS, 10, 25)
_CONDITION_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25)
_HIGHEST_CODE = 600


class Bystanders:
    """How often a group of plugins was passed over because the request is none of their business."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Row:
    """The observations of one combination of labels."""

    __slots__ = ("_buckets", "_counts", "_first", "bystanders", "total_s")

    def __init__(self, buckets: Sequence[float]) -> None:
        self._buckets = buckets
        self._first = buckets[0]
        self._counts = [0] * (len(buckets) + 1)
        self.total_s = 0.0
        self.bystanders: list[Bystanders] = []
        """Each counts observations of this row, too, that took no time."""

    @property
    def counts(self) -> Sequence[int]:
        """By bucket."""
        return [self._counts[0] + sum(entry.count for entry in self.bystanders), *self._counts[1:]]

    def add(self, seconds: float) -> None:
        self.total_s += seconds
        self._counts[0 if seconds <= self._first else bisect_left(self._buckets, seconds)] += 1


class Latencies(Collector):
    """A histogram whose observing costs two additions. ``summary``: the same also as a metric of that name."""

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], buckets: Sequence[float], *, summary: str = ""
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._buckets = tuple(buckets)
        self._summary = summary
        self._rows: dict[tuple[str, ...], Row] = {}

    def row(self, *labels: str) -> Row:
        """To be kept by whoever observes often."""
        row = self._rows.get(labels)
        if row is None:
            row = self._rows[labels] = Row(self._buckets)
        return row

    def observe(self, labels: tuple[str, ...], seconds: float) -> None:
        self.row(*labels).add(seconds)

    def collect(self) -> Iterable[Metric]:
        histogram = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        summary = SummaryMetricFamily(self._summary or self._name, self._documentation, labels=self._labels)
        for labels, row in tuple(self._rows.items()):
            count, buckets = 0, []
            for bound, found in zip((*map(_bound, self._buckets), "+Inf"), row.counts, strict=True):
                count += found
                buckets.append((bound, count))
            histogram.add_metric(labels, buckets=buckets, sum_value=row.total_s)
            summary.add_metric(labels, count_value=count, sum_value=row.total_s)
        yield histogram
        if self._summary:
            yield summary


class Tally(Collector):
    """A counter whose name does not end in ``_total``, as a few of upstream's; the library would append it."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._counts: dict[tuple[str, ...], int] = {}

    def add(self, *labels: str) -> None:
        self._counts[labels] = self._counts.get(labels, 0) + 1

    def collect(self) -> Iterable[Metric]:
        metric = Metric(self._name, self._documentation, "unknown")
        for labels, count in tuple(self._counts.items()):
            metric.add_sample(self._name, dict(zip(self._labels, labels, strict=True)), count)
        yield metric


def _bound(value: float) -> str:
    return f"{value:g}"


_REJECTED: Mapping[bool, str] = {False: "false", True: "true"}


class AdmissionMetrics:
    """What one server's admission did. ``step`` is ``admit`` or ``validate``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "apiserver_admission"
        self._steps = Latencies(
            f"{prefix}_step_admission_duration_seconds",
            "Admission sub-step latency histogram in seconds, broken out for each operation and API resource and step type "
            "(validate or admit).",
            ("type", "operation", "rejected"),
            _STEP_BUCKETS,
            summary=f"{prefix}_step_admission_duration_seconds_summary",
        )
        self._controllers = Latencies(
            f"{prefix}_controller_admission_duration_seconds",
            "Admission controller latency histogram in seconds, identified by name and broken out for each operation and API "
            "resource and type (validate or admit).",
            ("name", "type", "operation", "rejected"),
            _STEP_BUCKETS,
        )
        self._webhooks = Latencies(
            f"{prefix}_webhook_admission_duration_seconds",
            "Admission webhook latency histogram in seconds, identified by name and broken out for each operation and API "
            "resource and type (validate or admit).",
            ("name", "type", "operation", "rejected"),
            _WEBHOOK_BUCKETS,
        )
        self._conditions = Latencies(
            f"{prefix}_match_condition_evaluation_seconds",
            "Admission match condition evaluation time in seconds, identified by name and broken out for each kind containing "
            "matchConditions (webhook or policy), operation and type (validate or admit).",
            ("name", "kind", "type", "operation"),
            _CONDITION_BUCKETS,
        )
        for latencies in (self._steps, self._controllers, self._webhooks, self._conditions):
            registry.register(latencies)
        self._rejections = Tally(
            f"{prefix}_webhook_rejection_count",
            "Admission webhook rejection count, identified by name and broken out for each admission type (validating or "
            "admit) and operation. Additional labels specify an error type (calling_webhook_error or "
            "apiserver_internal_error if an error occurred; no_error otherwise) and optionally a non-zero rejection code.",
            ("name", "type", "operation", "error_type", "rejection_code"),
        )
        self._fail_open = Tally(
            f"{prefix}_webhook_fail_open_count",
            "Admission webhook fail open count, identified by name and broken out for each admission type (validating or "
            "admit).",
            ("name", "type"),
        )
        registry.register(self._rejections)
        registry.register(self._fail_open)
        self._requests = Counter(
            f"{prefix}_webhook_request",
            "Admission webhook request total, identified by name and broken out for each admission type (validating or "
            "admit) and operation. Additional labels specify whether the request was rejected or not and an HTTP status "
            "code.",
            ("name", "type", "operation", "code", "rejected"),
            registry=registry,
        )
        labels = ("name", "kind", "type", "operation")
        self._condition_errors = Counter(
            f"{prefix}_match_condition_evaluation_errors",
            "Admission match condition evaluation errors count, identified by name of resource containing the match "
            "condition and broken out for each kind containing matchConditions (webhook or policy), operation and admission "
            "type (validate or admit).",
            labels,
            registry=registry,
        )
        self._condition_exclusions = Counter(
            f"{prefix}_match_condition_exclusions",
            "Admission match condition evaluation exclusions count, identified by name of resource containing the match "
            "condition and broken out for each kind containing matchConditions (webhook or policy), operation and admission "
            "type (validate or admit).",
            labels,
            registry=registry,
        )

    def step(self, step: str, operation: str, rejected: bool) -> Row:
        return self._steps.row(step, operation, _REJECTED[rejected])

    def controller(self, name: str, step: str, operation: str, rejected: bool) -> Row:
        return self._controllers.row(name, step, operation, _REJECTED[rejected])

    def webhook(self, name: str, kind: str, operation: str, rejected: bool, code: int, seconds: float) -> None:
        """One call. ``kind`` of webhooks is ``admit`` or ``validating``; ``code`` is 0 where upstream has none."""
        shown = _REJECTED[rejected]
        self._webhooks.row(name, kind, operation, shown).add(seconds)
        self._requests.labels(name, kind, operation, str(min(code, _HIGHEST_CODE)), shown).inc()

    def webhook_rejection(self, name: str, kind: str, operation: str, error_type: str, code: int) -> None:
        self._rejections.add(name, kind, operation, error_type, str(min(code, _HIGHEST_CODE)))

    def webhook_fail_open(self, name: str, kind: str) -> None:
        self._fail_open.add(name, kind)

    def match_conditions(
        self, name: str, kind: str, step: str, operation: str, *, failures: int, seconds: float
    ) -> None:
        """Conditions of a webhook or policy (``kind``) were evaluated."""
        self._conditions.row(name, kind, step, operation).add(seconds)
        if failures:
            self._condition_errors.labels(name, kind, step, operation).inc(failures)

    def match_condition_exclusion(self, name: str, kind: str, step: str, operation: str) -> None:
        self._condition_exclusions.labels(name, kind, step, operation).inc()
