"""A priority level as the server has it: its configuration, its queues, and who is charged for what."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from steersman.apiserver.flowcontrol.concurrency import SeatLimits, Shares
from steersman.apiserver.flowcontrol.demand import Denominators, Moments, SeatDemand, Utilization
from steersman.apiserver.flowcontrol.distribution import Distribution
from steersman.apiserver.flowcontrol.queueset import QueueSet, Queuing
from steersman.apiserver.flowcontrol.retryafter import RetryAfter
from steersman.schema.groups.flowcontrol.mandatory import EXEMPT

_SECONDS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
_LENGTHS = (0, 10, 25, 50, 100, 250, 500, 1000)
_SEATS = (1, 2, 4, 8, 16, 32, 64, 100)
_WATCHES = (0, 1, 10, 100, 1000, 10000)
_WIDEST_REQUEST = 0.15
"""Of a level's nominal seats, what one request may take."""


class MalformedLevel(ValueError):
    """A PriorityLevelConfiguration that validation should not have let through."""


class FlowAccount:
    """What the requests of one FlowSchema did at one priority level."""

    __slots__ = (
        "dispatched",
        "executing",
        "execution_s",
        "initialization_s",
        "level",
        "queue_lengths",
        "rejected",
        "schema",
        "seats_estimated",
        "seats_in_use",
        "seats_waiting",
        "unaccommodated",
        "waited_refused_s",
        "waited_s",
        "waiting",
        "watches",
    )  # fmt: skip

    def __init__(self, level: str, schema: str) -> None:
        self.level = level
        self.schema = schema
        self.waiting = 0
        self.seats_waiting = 0
        self.executing = 0
        self.seats_in_use = 0
        self.unaccommodated = 0
        self.dispatched = 0
        self.rejected: dict[str, int] = {}
        """By reason: ``queue-full``, ``concurrency-limit``, ``time-out``, ``cancelled``."""
        self.waited_s = Distribution(_SECONDS)
        self.waited_refused_s = Distribution(_SECONDS)
        self.execution_s = Distribution(_SECONDS)
        self.initialization_s = Distribution(_SECONDS)
        """Of watches: until they are set up."""
        self.queue_lengths = Distribution(_LENGTHS)
        self.seats_estimated = Distribution(_SEATS)
        self.watches = Distribution(_WATCHES)


class LevelConfig(Struct, frozen=True, kw_only=True):
    """A PriorityLevelConfiguration, read once."""

    name: str
    uid: str
    shares: Shares
    queuing: Queuing

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> LevelConfig:
        """Raises ``MalformedLevel``."""
        metadata, spec = obj.get("metadata") or {}, obj.get("spec") or {}
        name, kind = metadata.get("name") or "", spec.get("type")
        limited, exempt = spec.get("limited"), spec.get("exempt")
        if (kind == "Limited") != (limited is not None) or (kind == "Exempt") != (name == EXEMPT):
            raise MalformedLevel(f"{name}: the type {kind} does not go with the rest of the configuration")
        if limited is None:
            return cls(
                name=name, uid=metadata.get("uid") or "", shares=_shares(exempt or {}, is_exempt=True),
                queuing=Queuing(is_exempt=True),
            )  # fmt: skip
        response = limited.get("limitResponse") or {}
        found = response.get("queuing")
        if (response.get("type") == "Reject") != (found is None):
            raise MalformedLevel(f"{name}: queuing goes with the limit response Queue and no other")
        queuing = Queuing()
        if found is not None:
            queuing = Queuing(
                queues=found["queues"], hand_size=found["handSize"], queue_length_limit=found["queueLengthLimit"]
            )
        return cls(name=name, uid=metadata.get("uid") or "", shares=_shares(limited, is_exempt=False), queuing=queuing)

    @property
    def is_exempt(self) -> bool:
        return self.shares.is_exempt


def _shares(part: Mapping[str, Any], *, is_exempt: bool) -> Shares:
    return Shares(
        nominal=part.get("nominalConcurrencyShares") or 0,
        lendable_percent=part.get("lendablePercent") or 0,
        borrowing_limit_percent=part.get("borrowingLimitPercent"),
        is_exempt=is_exempt,
    )


class Level:
    """The state of one priority level; it survives changes of its configuration."""

    __slots__ = (
        "_moments",
        "config",
        "demand",
        "denominators",
        "is_quiescing",
        "limits",
        "most_seats",
        "queues",
        "retry_after",
        "target",
        "utilization",
    )  # fmt: skip

    def __init__(self, config: LevelConfig, *, now_s: float) -> None:
        self.config = config
        self.queues = QueueSet(config.queuing, limit=0, now_s=now_s)
        self.limits = SeatLimits(nominal=0, least=0, most=0)
        self.most_seats = 0
        """That one request may take; 0: as many as its estimate says."""
        self.is_quiescing = False
        """Its configuration is gone; it goes when its last request has."""
        self.demand = SeatDemand()
        self.target = 0.0
        self.utilization = Utilization()
        self.denominators = Denominators()
        self.retry_after = RetryAfter()
        self._moments = Moments()

    @property
    def name(self) -> str:
        return self.config.name

    def take_limits(self, limits: SeatLimits) -> None:
        self.limits = limits
        queuing = self.config.queuing
        self.most_seats = 0
        if queuing.hand_size:
            widest = min(math.ceil(limits.nominal * _WIDEST_REQUEST), limits.nominal // queuing.hand_size)
            self.most_seats = max(1, widest)

    def fold(self, now_s: float) -> None:
        """Hand on what was measured, before the histograms are read or what they are fractions of changes."""
        held = self.queues.durations(now_s)
        self.utilization.add(held, self.denominators)
        self._moments = self._moments.with_durations(held)

    def end_period(self, now_s: float) -> None:
        """Conclude the demand of the period since the last call."""
        self.fold(now_s)
        self.demand = self.demand.after(self._moments, self.queues.take_peak())
        self._moments = Moments()

    def configure(self, limit: int, server_limit: int, now_s: float) -> None:
        """Use ``limit`` seats from now on."""
        queuing = self.config.queuing
        denominator = limit or max(1, math.floor(server_limit / 10 + 0.5))
        self.denominators = Denominators(
            waiting=max(queuing.queue_length_limit, 1) * max(queuing.queues, 1),
            executing=denominator,
            demand=denominator,
        )
        self.queues.configure(queuing, limit=limit, now_s=now_s)
