"""How many seats each priority level has: its nominal share, and what it lends and borrows. Pure.

Source: KEP-1040, "Dispatching" (borrowing of concurrency between priority levels).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from msgspec import Struct

_LEAST_TARGET = 0.001
"""Stands for a target of zero, so that levels without demand divide what is left evenly."""


class Shares(Struct, frozen=True, kw_only=True):
    """The part of a PriorityLevelConfiguration that seats follow from."""

    nominal: int
    lendable_percent: int = 0
    borrowing_limit_percent: int | None = None
    is_exempt: bool = False


class SeatLimits(Struct, frozen=True, kw_only=True):
    """Seats of one level: as configured, and between which bounds borrowing moves them."""

    nominal: int
    least: int
    most: int

    @property
    def initial(self) -> int:
        """Before there is any demand to go by: half of what can be lent is."""
        return self.nominal - (self.nominal - self.least) // 2


def seat_limits(shares: Shares, share_sum: int, server_limit: int) -> SeatLimits:
    """The level's part of ``server_limit`` seats; rounded up, so that the parts may add up to a little more."""
    nominal = math.ceil(server_limit * shares.nominal / share_sum) if share_sum else 0
    lendable = _percent(nominal, shares.lendable_percent)
    borrowable = (
        server_limit if shares.borrowing_limit_percent is None else _percent(nominal, shares.borrowing_limit_percent)
    )
    return SeatLimits(nominal=nominal, least=nominal - lendable, most=nominal + borrowable)


def _percent(seats: int, percent: int) -> int:
    return math.floor(seats * percent / 100 + 0.5)


class Claim(Struct, frozen=True, kw_only=True):
    """What one level asks of an allocation: ``least <= target``, ``least <= most``."""

    least: float
    most: float
    target: float


class Allocation(Struct, frozen=True, kw_only=True):
    seats: Sequence[float]
    fair_fraction: float
    """Of its target, what a level gets where no bound holds it."""


def allocate(total: float, claims: Sequence[Claim]) -> Allocation:
    """Divide ``total`` in proportion to the targets, within each level's bounds.

    There is one fraction f with ``sum(clamp(f * target, least, most)) == total``: the sum rises with f piece by piece, so
    the piece is found by walking its corners. Raises ``ValueError`` where the bounds leave no solution.
    """
    least, most = math.fsum(claim.least for claim in claims), math.fsum(claim.most for claim in claims)
    if total < least - 1e-7 or total > most + 1e-7:
        raise ValueError(f"bounds from {least} to {most} leave no way to divide {total}")
    targets = [max(claim.target, _LEAST_TARGET) for claim in claims]
    corners = sorted(
        {bound / target for claim, target in zip(claims, targets, strict=True) for bound in (claim.least, claim.most)}
    )

    def granted(fraction: float) -> list[float]:
        return [
            min(max(fraction * target, claim.least), claim.most) for claim, target in zip(claims, targets, strict=True)
        ]

    below = 0.0
    for corner in corners:
        if math.fsum(granted(corner)) >= total:
            fraction = _between(below, corner, total, granted)
            return Allocation(seats=granted(fraction), fair_fraction=fraction)
        below = corner
    return Allocation(seats=granted(below), fair_fraction=below)


def _between(low: float, high: float, total: float, granted: Callable[[float], list[float]]) -> float:
    """Where the sum, a straight line between two corners, is ``total``."""
    at_low, at_high = math.fsum(granted(low)), math.fsum(granted(high))
    if at_high <= at_low:
        return high
    return low + (high - low) * (total - at_low) / (at_high - at_low)


class Borrower(Struct, frozen=True, kw_only=True):
    """A level as borrowing sees it."""

    limits: SeatLimits
    high_watermark: int
    smoothed: float
    is_exempt: bool = False
    current: int = 0

    @property
    def floor(self) -> int:
        """What it keeps: enough for its recent peak, at most its nominal share unless it is exempt, at least its minimum."""
        wanted = self.high_watermark if self.is_exempt else min(self.limits.nominal, self.high_watermark)
        return max(self.limits.least, wanted)


class Adjustment(Struct, frozen=True, kw_only=True):
    seats: Sequence[int]
    """In the order of the borrowers."""
    targets: Sequence[float]
    fair_fraction: float


def adjust(borrowers: Sequence[Borrower]) -> Adjustment:
    """The current limits of all levels, from what each could have used lately."""
    total = sum(borrower.limits.nominal for borrower in borrowers)
    limited = [borrower for borrower in borrowers if not borrower.is_exempt]
    remaining = total - sum(borrower.floor for borrower in borrowers if borrower.is_exempt)
    least = sum(borrower.limits.least for borrower in limited)
    floors = sum(borrower.floor for borrower in limited)
    fair_fraction = 0.0
    targets = [max(float(borrower.floor), borrower.smoothed) for borrower in borrowers]
    if remaining <= least:
        seats = [borrower.limits.least for borrower in limited]
    elif remaining <= floors:
        part = (remaining - least) / (floors - least)
        seats = [
            borrower.limits.least + _round((borrower.floor - borrower.limits.least) * part) for borrower in limited
        ]
    else:
        claims = [
            Claim(
                least=float(borrower.floor),
                most=float(borrower.limits.most),
                target=max(float(borrower.floor), borrower.smoothed),
            )
            for borrower in limited
        ]
        try:
            allocation = allocate(total, claims)  # upstream's choice too: what is exempt does not shrink the rest
        except ValueError:
            seats = [borrower.current for borrower in limited]
        else:
            seats = [_round(value) for value in allocation.seats]
            fair_fraction = allocation.fair_fraction
    chosen = iter(seats)
    return Adjustment(
        seats=[borrower.floor if borrower.is_exempt else next(chosen) for borrower in borrowers],
        targets=targets,
        fair_fraction=fair_fraction,
    )


def _round(value: float) -> int:
    return math.floor(value + 0.5)
