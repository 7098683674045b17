"""Cells read as upstream's printers write them."""

from __future__ import annotations

import pytest

from steersman.schema import cells

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"), (-1.9, "0s"), (-0.5, "0s"), (0, "0s"), (5.9, "5s"), (119, "119s"), (120, "2m"),
        (123, "2m3s"), (599, "9m59s"), (600, "10m"), (179 * MINUTE + 59, "179m"), (3 * HOUR, "3h"),
        (3 * HOUR + MINUTE, "3h1m"), (8 * HOUR - 1, "7h59m"), (8 * HOUR, "8h"), (48 * HOUR - 1, "47h"), (2 * DAY, "2d"),
        (3 * DAY + 4 * HOUR, "3d4h"), (8 * DAY, "8d"), (2 * YEAR - 1, "729d"), (2 * YEAR, "2y"),
        (2 * YEAR + DAY, "2y1d"), (8 * YEAR - 1, "7y364d"), (8 * YEAR, "8y"), (100 * YEAR, "100y"),
    ],
)  # fmt: skip
def test_durations_have_two_or_three_figures(seconds: float, text: str) -> None:
    assert cells.human_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-2, "<invalid>"), (-1, "0s"), (59, "59s"), (60, "1m"), (HOUR, "1h"), (DAY, "1d"), (YEAR, "1y")],
)
def test_short_durations_have_one_unit(seconds: float, text: str) -> None:
    assert cells.short_human_duration(seconds) == text


def test_age_of_nothing_is_unknown() -> None:
    assert cells.age(None, 0) == "<unknown>"
    assert cells.age("yesterday", 0) == "<unknown>"
    assert cells.age("1970-01-01T00:00:10Z", 15) == "5s"
    assert cells.until("1970-01-01T00:00:10Z", 5) == "5s"


def test_lists_are_joined_and_cut() -> None:
    assert cells.joined([]) == "<none>"
    assert cells.joined(["a", "b"]) == "a,b"
    assert cells.joined(["a", "b", "c", "d"], limit=3) == "a,b,c + 1 more..."
