"""Cron schedules: robfig's rules, as a table."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from steersman.controllers.cron import ScheduleError, UnknownTimeZone, parse_schedule, zone_of


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone_of(zone)).timestamp()


@pytest.mark.parametrize(
    "spec, after, expected",
    [
        ("* * * * *", "2026-01-01T00:00:00", "2026-01-01T00:01:00"),
        ("* * * * *", "2026-01-01T00:00:59", "2026-01-01T00:01:00"),
        ("*/15 * * * *", "2026-01-01T00:46:00", "2026-01-01T01:00:00"),
        ("20-40/10 * * * *", "2026-01-01T00:31:00", "2026-01-01T00:40:00"),
        ("50/5 * * * *", "2026-01-01T00:56:00", "2026-01-01T01:50:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 31 * *", "2026-04-01T00:00:00", "2026-05-31T00:00:00"),
        ("0 12 * * MON-fri", "2026-01-03T00:00:00", "2026-01-05T12:00:00"),
        ("0 0 1 jan ?", "2026-01-01T00:00:00", "2027-01-01T00:00:00"),
        ("0 0 13 * 5", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("0 0 13 * *", "2026-01-01T00:00:00", "2026-01-13T00:00:00"),
        ("0 0 */13 * 5", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("@hourly", "2026-01-01T00:30:00", "2026-01-01T01:00:00"),
        ("@weekly", "2026-01-01T00:30:00", "2026-01-04T00:00:00"),
        ("@every 1h30m", "2026-01-01T00:00:10", "2026-01-01T01:30:10"),
        ("TZ=Europe/Berlin 0 6 * * *", "2026-07-01T00:00:00", "2026-07-01T04:00:00"),
    ],
)
def test_the_next_time(spec: str, after: str, expected: str) -> None:
    assert parse_schedule(spec).next_s(at(after)) == at(expected)


@pytest.mark.parametrize(
    "spec, after, expected",
    [
        ("30 2 * * *", "2026-03-08T00:00:00", "2026-03-09T02:30:00"),
        ("0 3 * * *", "2026-03-08T00:00:00", "2026-03-08T03:00:00"),
        ("30 1 * * *", "2026-11-01T00:00:00", "2026-11-01T01:30:00"),
        ("0 0 * * *", "2026-03-07T12:00:00", "2026-03-08T00:00:00"),
    ],
)
def test_wall_clocks_that_change(spec: str, after: str, expected: str) -> None:
    zone = "America/New_York"
    assert parse_schedule(spec, zone).next_s(at(after, zone)) == at(expected, zone)


def test_a_midnight_that_does_not_exist_begins_with_the_first_hour() -> None:
    zone = ZoneInfo("America/Sao_Paulo")
    after = datetime(2018, 11, 3, 12, tzinfo=zone).timestamp()
    found = parse_schedule("0 * 4 11 *", "America/Sao_Paulo").next_s(after)
    assert found is not None
    assert datetime.fromtimestamp(found, zone).hour == 1


@pytest.mark.parametrize(
    "spec, complaint",
    [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("x * * * *", "failed to parse int from x: invalid syntax"),
        ("@never", "unrecognized descriptor: @never"),
    ],
)
def test_what_is_no_schedule(spec: str, complaint: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse_schedule(spec)
    assert str(caught.value) == complaint


def test_a_time_that_never_comes() -> None:
    assert parse_schedule("0 0 30 2 *").next_s(at("2026-01-01T00:00:00")) is None


def test_an_unknown_zone() -> None:
    with pytest.raises(UnknownTimeZone):
        parse_schedule("* * * * *", "Mars/Olympus")
