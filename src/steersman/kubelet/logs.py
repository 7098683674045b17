"""Container log files in CRI format, as ``kubectl logs`` wants them.

A record is ``<RFC 3339 time> <stdout|stderr> <tags> <content>`` and a newline; the tag ``P`` marks a piece of a line that
goes on in the next record, ``F`` its end. Rotation renames the file and creates a new one: who follows reads the old one
to its end and goes on with the new one, without losing or repeating a record.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

import inotify_simple
from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.meta.times import parse_time

CHUNK_BYTES: Final = 64 * 1024
STATE_CHECK_S: Final = 1.0
"""How often a follower that sees nothing new asks whether the container still runs."""
MAX_RECORD_BYTES: Final = 1024 * 1024
"""A record that is longer is handed on in pieces; runtimes cut lines at 16 KiB."""


class LogOptions(Struct, frozen=True, kw_only=True):
    """``PodLogOptions`` as far as they concern one file."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_s: float | None = None
    """Records before this moment (seconds since the epoch) are left out."""
    limit_bytes: int | None = None
    streams: frozenset[str] = frozenset(("stdout", "stderr"))


class LogRecord(Struct, frozen=True):
    timestamp: bytes
    stream: bytes
    partial: bool
    content: bytes
    """With its newline where the line ends here."""


def parse_record(line: bytes) -> LogRecord | None:
    """A line of the file, without its newline. None for what is not in CRI format."""
    fields = line.split(b" ", 3)
    if len(fields) < 4 or fields[1] not in (b"stdout", b"stderr"):
        return None
    timestamp, stream, tags, content = fields
    partial = tags.split(b":", 1)[0] == b"P"
    return LogRecord(timestamp, stream, partial, content if partial else content + b"\n")


def fixed_timestamp(timestamp: bytes) -> bytes:
    """With exactly nine digits of a second, as ``kubectl logs --timestamps`` shows them."""
    date, dot, rest = timestamp.partition(b".")
    if not dot:
        zone = 1 if date.endswith((b"Z", b"z")) else 6
        return date[:-zone] + b".000000000" + date[-zone:]
    digits = rest.rstrip(b"Zz") if rest.endswith((b"Z", b"z")) else rest[:-6]
    return date + b"." + digits[:9].ljust(9, b"0") + rest[len(digits) :]


class LogFormatter:
    """Records to what a client gets, under the options' limits. Feed it lines; it is ``done`` when the limit is met."""

    def __init__(self, options: LogOptions) -> None:
        self._streams = frozenset(stream.encode() for stream in options.streams)
        self._timestamps = options.timestamps
        self._since_s = options.since_s
        self._remaining = options.limit_bytes
        self._line_goes_on = {b"stdout": False, b"stderr": False}
        self.done = options.limit_bytes == 0

    def format(self, line: bytes) -> bytes:
        record = parse_record(line)
        if record is None or self.done or record.stream not in self._streams:
            return b""
        if self._since_s is not None:
            if _seconds(record.timestamp) < self._since_s:
                return b""
            self._since_s = None  # records are in order: all later ones qualify
        text = record.content
        if self._timestamps and not self._line_goes_on[record.stream]:
            text = fixed_timestamp(record.timestamp) + b" " + text
        self._line_goes_on[record.stream] = record.partial
        if self._remaining is not None:
            text = text[: self._remaining]
            self._remaining -= len(text)
            self.done = self._remaining == 0
        return text


def _seconds(timestamp: bytes) -> float:
    try:
        return parse_time(timestamp.decode())
    except ValueError:
        return 0.0


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last ``lines`` lines of the file begin, found from its end in pieces."""
    end = file.seek(0, os.SEEK_END)
    if lines <= 0:
        return end
    wanted = lines + 1  # the newline before the first of them
    position = end
    while position > 0:
        size = min(CHUNK_BYTES, position)
        position -= size
        file.seek(position)
        chunk = file.read(size)
        if position + size == end and not chunk.endswith(b"\n"):
            wanted = max(wanted - 1, 1)
        at = len(chunk)
        while (at := chunk.rfind(b"\n", 0, at)) >= 0:
            wanted -= 1
            if wanted == 0:
                return position + at + 1
    return 0


async def read_logs(
    path: Path, options: LogOptions, *, is_running: Callable[[], Awaitable[bool]], clock: Clock
) -> AsyncIterator[bytes]:
    """The log as bytes to send, in pieces of about ``CHUNK_BYTES``.

    With ``follow`` it ends when the container no longer runs and all is read. A file that is not there yet is waited
    for then; else ``FileNotFoundError``.
    """
    formatter = LogFormatter(options)
    path = path.parent.resolve() / path.name
    if not options.follow and not path.exists():
        raise FileNotFoundError(f"failed to try resolving symlinks in path {str(path)!r}: no such file or directory")
    with _DirectoryWatch(path.parent if options.follow else None, clock) as watch:
        tail_lines = options.tail_lines
        file: BinaryIO | None = None
        try:
            while not formatter.done:
                running = not options.follow or await is_running()  # asked before reading: what it wrote last is read
                if file is None and (file := _open(path)) is not None:
                    file.seek(tail_offset(file, tail_lines) if tail_lines is not None else 0)
                    tail_lines = None
                for piece in _formatted(file, formatter) if file is not None else ():
                    yield piece
                    await asyncio.sleep(0)
                if not options.follow or formatter.done:
                    return
                if file is not None and _was_replaced(file, path):
                    for piece in _formatted(file, formatter):  # what was written between reading and renaming
                        yield piece
                    file.close()
                    file = None
                    continue
                if not running:
                    return
                await watch.wait(STATE_CHECK_S)
        finally:
            if file is not None:
                file.close()


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _formatted(file: BinaryIO, formatter: LogFormatter) -> Iterator[bytes]:
    """What whole lines there are from here on, leaving the file's position after the last of them."""
    while not formatter.done:
        start = file.tell()
        chunk = file.read(CHUNK_BYTES)
        while b"\n" not in chunk and len(chunk) < MAX_RECORD_BYTES and (more := file.read(CHUNK_BYTES)):
            chunk += more
        whole, newline, _ = chunk.rpartition(b"\n")
        if not newline:
            if len(chunk) < MAX_RECORD_BYTES:
                file.seek(start)
                return
            whole = chunk
        file.seek(start + len(whole) + len(newline))
        if text := b"".join(formatter.format(line) for line in whole.split(b"\n")):
            yield text


def _was_replaced(file: BinaryIO, path: Path) -> bool:
    """Rotation gave the name to another file, or it was cut to less than what was read."""
    opened = os.fstat(file.fileno())
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino) or opened.st_size < file.tell()


class _DirectoryWatch:
    """Wakes a follower when something happens in the log's directory."""

    _FLAGS = (
        inotify_simple.flags.MODIFY | inotify_simple.flags.CREATE | inotify_simple.flags.MOVED_TO
        | inotify_simple.flags.MOVED_FROM
    )  # fmt: skip

    def __init__(self, directory: Path | None, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._changed = asyncio.Event()
        self._inotify: inotify_simple.INotify | None = None

    def __enter__(self) -> _DirectoryWatch:
        if self._directory is not None and self._directory.is_dir():
            self._inotify = inotify_simple.INotify(nonblocking=True)
            self._inotify.add_watch(self._directory, self._FLAGS)
            asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._on_event)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fileno())
            self._inotify.close()

    async def wait(self, timeout_s: float) -> None:
        """Until something happened since the last time, or ``timeout_s``."""
        try:
            await self._clock.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return
        self._changed.clear()

    def _on_event(self) -> None:
        assert self._inotify is not None
        self._inotify.read(timeout=0)
        self._changed.set()
