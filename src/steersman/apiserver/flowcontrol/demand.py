"""How long a priority level was in which state: the source of its demand for seats and of its utilization metrics.

What happens on each request is one addition to a table of durations; averages and histograms are made of the table when
limits are adjusted or metrics are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from steersman.apiserver.flowcontrol.distribution import Distribution

SMOOTHING = 0.977
"""Decay of smoothed demand by one adjustment period (10 s): a half-life of five minutes."""
REQUEST_BOUNDS = (0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 1)
SEAT_BOUNDS = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
DEMAND_BOUNDS = (0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.7, 2, 2.8, 4, 6)
_NS = 1e9
"""Metrics of utilization count nanoseconds, as upstream's timing histograms do."""


Load = tuple[int, int, int, int]
"""The state of a priority level between two changes: requests waiting and executing, seats in use and waited for."""
Held = dict[Load, float]
"""Seconds spent in each state."""


class Denominators(Struct, frozen=True, kw_only=True):
    """What the utilization metrics are fractions of."""

    waiting: float = 1.0
    executing: float = 1.0
    demand: float = 1.0


class SeatDemand(Struct, frozen=True, kw_only=True):
    """What a level could have used in the latest period, in seats."""

    average: float = 0.0
    deviation: float = 0.0
    high_watermark: int = 0
    smoothed: float = 0.0

    def after(self, moments: Moments, peak: int) -> SeatDemand:
        """The next period's demand; ``peak`` is the most that was asked for at once."""
        if moments.duration_s <= 0:
            return replace(self, high_watermark=peak)
        average = moments.integral / moments.duration_s
        deviation = math.sqrt(max(moments.integral_of_squares / moments.duration_s - average * average, 0.0))
        envelope = average + deviation
        smoothed = max(envelope, SMOOTHING * self.smoothed + (1 - SMOOTHING) * envelope)
        return SeatDemand(average=average, deviation=deviation, high_watermark=peak, smoothed=smoothed)


class Moments(Struct, frozen=True, kw_only=True):
    """Integrals over time of the demand for seats, of its zeroth, first and second power."""

    duration_s: float = 0.0
    integral: float = 0.0
    integral_of_squares: float = 0.0

    def with_durations(self, held: Mapping[Load, float]) -> Moments:
        return Moments(
            duration_s=self.duration_s + math.fsum(held.values()),
            integral=self.integral + math.fsum(_demand(load) * held_s for load, held_s in held.items()),
            integral_of_squares=self.integral_of_squares
            + math.fsum(_demand(load) ** 2 * held_s for load, held_s in held.items()),
        )


def _demand(load: Load) -> int:
    return load[2] + load[3]


class Utilization:
    """The utilization histograms of one priority level."""

    __slots__ = ("demand", "executing", "seats", "waiting")

    def __init__(self) -> None:
        self.waiting = Distribution(REQUEST_BOUNDS)
        self.executing = Distribution(REQUEST_BOUNDS)
        self.seats = Distribution(SEAT_BOUNDS)
        self.demand = Distribution(DEMAND_BOUNDS)

    def add(self, held: Mapping[Load, float], denominators: Denominators) -> None:
        for load, held_s in held.items():
            weight = round(held_s * _NS)
            waiting, executing, seats_in_use, _ = load
            self.waiting.observe(waiting / denominators.waiting, weight)
            self.executing.observe(executing / denominators.executing, weight)
            self.seats.observe(seats_in_use / denominators.executing, weight)
            self.demand.observe(_demand(load) / denominators.demand, weight)
