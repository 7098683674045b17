"""Numbers that are counted on hot paths, and how a registry collects them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

Labels = tuple[str, ...]
K = TypeVar("K", bound=Labels)


class Distribution:
    """How many values fell below each bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound, values up to it)."""
        found: list[tuple[str, float]] = []
        count = 0
        for bound, here in zip((*self.bounds, float("inf")), self.counts, strict=True):
            count += here
            found.append((number(bound), count))
        return found


def rebucketed(bounds: Sequence[float], found: Iterable[Distribution]) -> Distribution:
    """All of ``found`` together, by ``bounds``, each of which is one of theirs."""
    total = Distribution(bounds)
    for distribution in found:
        total.total += distribution.total
        for bound, count in zip((*distribution.bounds, float("inf")), distribution.counts, strict=True):
            total.counts[bisect_left(bounds, bound)] += count
    return total


def number(value: float) -> str:
    """A float as Go's exposition writes it: queries compare ``le`` as text."""
    if value == float("inf"):
        return "+Inf"
    if value == float("-inf"):
        return "-Inf"
    if value != value:
        return "NaN"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    mantissa, _, exponent = f"{value!r}".partition("e")
    if not exponent and 1e-4 <= abs(value) < 1e6:
        return mantissa
    digits, _, power = f"{value:.17e}".partition("e")
    for precision in range(17):
        digits, _, power = f"{value:.{precision}e}".partition("e")
        if float(f"{digits}e{power}") == value:
            break
    return f"{digits}e{power}"


def counters(name: str, text: str, labels: Sequence[str], values: Mapping[K, float]) -> Metric:
    """Called ``<name>_total``."""
    return exact_counters(f"{name}_total", text, labels, values)


def exact_counters(name: str, text: str, labels: Sequence[str], values: Mapping[K, float]) -> Metric:
    """Called ``name``, as a few of upstream's are that are older than the convention."""
    family = Metric(name, text, "counter")
    for key, value in values.items():
        family.add_sample(name, dict(zip(labels, key, strict=True)), value)
    return family


def gauges(name: str, text: str, labels: Sequence[str], values: Mapping[K, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def histograms(name: str, text: str, labels: Sequence[str], values: Mapping[K, Distribution]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, buckets=value.buckets(), sum_value=value.total)
    return family
