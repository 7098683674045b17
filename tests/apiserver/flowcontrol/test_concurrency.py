"""Seats: nominal shares, lending and borrowing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.apiserver.flowcontrol.concurrency import (
    Borrower,
    Claim,
    SeatLimits,
    Shares,
    adjust,
    allocate,
    seat_limits,
)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        (Shares(nominal=30, lendable_percent=33), SeatLimits(nominal=74, least=50, most=674)),
        (Shares(nominal=100, lendable_percent=90), SeatLimits(nominal=245, least=24, most=845)),
        (Shares(nominal=10), SeatLimits(nominal=25, least=25, most=625)),
        (Shares(nominal=10, borrowing_limit_percent=0), SeatLimits(nominal=25, least=25, most=25)),
        (Shares(nominal=10, borrowing_limit_percent=150), SeatLimits(nominal=25, least=25, most=63)),
        (Shares(nominal=0, is_exempt=True), SeatLimits(nominal=0, least=0, most=600)),
    ],
)
def test_seats_follow_from_shares(shares: Shares, expected: SeatLimits) -> None:
    assert seat_limits(shares, 245, 600) == expected


def test_unbounded_claims_are_met_in_proportion() -> None:
    found = allocate(30, [Claim(least=0, most=100, target=1), Claim(least=0, most=100, target=2)])
    assert found.seats == pytest.approx([10, 20])
    assert found.fair_fraction == pytest.approx(10)


def test_bounds_hold_and_the_others_share_the_rest() -> None:
    claims = [Claim(least=0, most=5, target=10), Claim(least=8, most=50, target=8), Claim(least=0, most=50, target=10)]
    found = allocate(30, claims)
    assert found.seats[0] == 5
    assert found.seats[1] / 8 == pytest.approx(found.seats[2] / 10)
    assert math.fsum(found.seats) == pytest.approx(30)


def test_what_the_bounds_forbid_is_an_error() -> None:
    with pytest.raises(ValueError, match="leave no way"):
        allocate(3, [Claim(least=4, most=5, target=5)])


_claims = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0, 100, allow_nan=False)), min_size=1, max_size=8
)


@given(_claims, st.floats(0, 1, allow_nan=False))
def test_an_allocation_adds_up_within_the_bounds(rows: list[tuple[int, int, float]], at: float) -> None:
    claims = [
        Claim(least=float(low), most=float(low + extra), target=max(float(low), target)) for low, extra, target in rows
    ]
    low, high = sum(claim.least for claim in claims), sum(claim.most for claim in claims)
    total = low + (high - low) * at
    found = allocate(total, claims)
    assert math.fsum(found.seats) == pytest.approx(total, abs=1e-6)
    for seats, claim in zip(found.seats, claims, strict=True):
        assert claim.least - 1e-9 <= seats <= claim.most + 1e-9
        wanted = found.fair_fraction * max(claim.target, 0.001)
        assert (
            seats == pytest.approx(wanted, abs=1e-6)
            or (seats == claim.least and seats >= wanted)
            or (seats == claim.most and seats <= wanted)
        )


def test_an_idle_level_lends_to_a_busy_one_and_takes_back() -> None:
    limits = SeatLimits(nominal=100, least=10, most=200)
    idle = Borrower(limits=limits, high_watermark=0, smoothed=0.0)
    busy = Borrower(limits=limits, high_watermark=500, smoothed=400.0)
    lent = adjust([idle, busy]).seats
    assert lent == [10, 190]
    assert adjust([busy, busy]).seats == [100, 100]


def test_a_level_keeps_what_it_needed_lately() -> None:
    limits = SeatLimits(nominal=100, least=10, most=200)
    modest = Borrower(limits=limits, high_watermark=60, smoothed=5.0)
    busy = Borrower(limits=limits, high_watermark=500, smoothed=400.0)
    seats = adjust([modest, busy]).seats
    assert seats[0] >= 60
    assert sum(seats) == 200


def test_what_is_exempt_takes_what_it_takes() -> None:
    exempt = Borrower(limits=SeatLimits(nominal=0, least=0, most=200), high_watermark=150, smoothed=1.0, is_exempt=True)
    limited = Borrower(limits=SeatLimits(nominal=100, least=20, most=200), high_watermark=100, smoothed=100.0)
    assert adjust([exempt, limited]).seats == [150, 20]
