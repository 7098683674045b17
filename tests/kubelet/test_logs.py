"""Logs in CRI format: what a client sees of them."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.aio.clock import SystemClock
from steersman.kubelet.logs import LogOptions, fixed_timestamp, read_logs, tail_offset

LINES = (
    b"2026-01-01T00:00:01.5Z stdout F one\n"
    b"2026-01-01T00:00:02.123456789Z stderr F two\n"
    b"2026-01-01T00:00:03Z stdout P thr\n"
    b"2026-01-01T00:00:03.1Z stdout F ee\n"
    b"2026-01-01T00:00:04+02:00 stdout F \n"
)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (LogOptions(), b"one\ntwo\nthree\n\n"),
        (LogOptions(tail_lines=0), b""),
        (LogOptions(tail_lines=1), b"\n"),
        (LogOptions(tail_lines=2), b"ee\n\n"),
        (LogOptions(tail_lines=100), b"one\ntwo\nthree\n\n"),
        (LogOptions(limit_bytes=5), b"one\nt"),
        (LogOptions(limit_bytes=0), b""),
        (LogOptions(since_s=1767225602.0), b"two\nthree\n\n"),
        (LogOptions(since_s=1767225999.0), b""),
        (LogOptions(streams=frozenset(["stderr"])), b"two\n"),
        (
            LogOptions(timestamps=True),
            b"2026-01-01T00:00:01.500000000Z one\n2026-01-01T00:00:02.123456789Z two\n"
            b"2026-01-01T00:00:03.000000000Z three\n2026-01-01T00:00:04.000000000+02:00 \n",
        ),
    ],
)
async def test_options_select_and_shape(tmp_path: Path, options: LogOptions, expected: bytes) -> None:
    (tmp_path / "0.log").write_bytes(LINES)
    assert await _collect(tmp_path / "0.log", options) == expected


async def test_what_is_not_in_the_format_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "0.log").write_bytes(
        b"garbage\n\n2026-01-01T00:00:01Z stdin F x\n" + LINES + b"2026-01-01T00:00:09Z std"
    )
    assert await _collect(tmp_path / "0.log", LogOptions()) == b"one\ntwo\nthree\n\n"


async def test_a_missing_file_is_an_error_unless_it_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await _collect(tmp_path / "0.log", LogOptions())
    assert await _collect(tmp_path / "0.log", LogOptions(follow=True)) == b""


async def test_following_survives_rotation_and_ends_with_the_container(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    running = True

    async def is_running() -> bool:
        return running

    received = b""
    arrived = asyncio.Event()

    async def follow() -> None:
        nonlocal received
        async for piece in read_logs(path, LogOptions(follow=True), is_running=is_running, clock=SystemClock()):
            received += piece
            arrived.set()

    async def until(text: bytes) -> None:
        async with asyncio.timeout(5):
            while not received.endswith(text):
                arrived.clear()
                await arrived.wait()

    follower = asyncio.create_task(follow())
    with path.open("ab", buffering=0) as file:
        file.write(b"2026-01-01T00:00:01Z stdout F 1\n2026-01-01T00:00:01Z std")
        await until(b"1\n")
        file.write(b"out F 2\n")
        await until(b"2\n")
        path.rename(tmp_path / "0.log.20260101-000000")
        file.write(b"2026-01-01T00:00:01Z stdout F 3\n")
    path.write_bytes(b"2026-01-01T00:00:02Z stdout F 4\n")
    await until(b"4\n")
    running = False
    with path.open("ab") as last:
        last.write(b"2026-01-01T00:00:02Z stdout F 5\n")
    async with asyncio.timeout(5):
        await follower
    assert received == b"1\n2\n3\n4\n5\n"


async def test_a_big_log_comes_in_pieces(tmp_path: Path) -> None:
    line = b"2026-01-01T00:00:01Z stdout F " + b"x" * 1000 + b"\n"
    (tmp_path / "0.log").write_bytes(line * 2000)
    pieces = [piece async for piece in read_logs(tmp_path / "0.log", LogOptions(), is_running=_no, clock=SystemClock())]
    assert len(b"".join(pieces)) == 2000 * 1001
    assert max(len(piece) for piece in pieces) <= 64 * 1024


@pytest.mark.parametrize(
    ("given_time", "shown"),
    [
        (b"2026-01-01T00:00:01Z", b"2026-01-01T00:00:01.000000000Z"),
        (b"2026-01-01T00:00:01.1234567891Z", b"2026-01-01T00:00:01.123456789Z"),
    ],
)
def test_timestamps_have_nine_digits(given_time: bytes, shown: bytes) -> None:
    assert fixed_timestamp(given_time) == shown


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=30), st.integers(0, 40))
def test_the_tail_is_the_last_lines(lines: list[bytes], count: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    offset = tail_offset(io.BytesIO(data), count)
    assert data[offset:] == b"".join(line + b"\n" for line in lines[max(0, len(lines) - count) :])


async def _no() -> bool:
    return False


async def _collect(path: Path, options: LogOptions) -> bytes:
    return b"".join([piece async for piece in read_logs(path, options, is_running=_no, clock=SystemClock())])
