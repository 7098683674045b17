"""Times as Kubernetes writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.meta.times import format_micro_time, format_time, parse_time


@given(st.integers(0, 4_000_000_000))
def test_whole_seconds_survive(epoch_s: int) -> None:
    assert parse_time(format_time(epoch_s)) == epoch_s
    assert parse_time(format_micro_time(epoch_s)) == epoch_s


@given(st.integers(0, 2_000_000_000), st.integers(0, 999_999))
def test_microseconds_survive_in_a_micro_time_and_are_cut_off_in_a_time(seconds: int, micros: int) -> None:
    epoch_s = seconds + micros / 1e6
    assert format_micro_time(epoch_s).endswith(f".{micros:06}Z")
    assert parse_time(format_micro_time(epoch_s)) == pytest.approx(epoch_s, abs=1e-6)
    assert parse_time(format_time(epoch_s)) == seconds


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05Z", "2026-01-02t05:34:05+02:30", "2026-01-01T22:04:05.000-05:00"])
def test_offsets_are_taken_into_account(text: str) -> None:
    assert format_time(parse_time(text)) == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize("text", ["", "2026-01-02", "2026-01-02T03:04:05", "2026-13-02T03:04:05Z", "now"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)
