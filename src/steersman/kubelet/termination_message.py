"""A container's last words: the file at its ``terminationMessagePath``, or the end of its log."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

MESSAGE_LIMIT_BYTES = 4096
LOG_LIMIT_BYTES = 2048
LOG_LIMIT_LINES = 80
LOG_READ_BYTES = 64 * 1024


def termination_message(file: Path | None, log: Path | None, *, from_logs: bool) -> str:
    """At most 4096 bytes of the file; where it is empty and ``from_logs``, at most 2048 bytes or 80 lines of the log."""
    text = _read_end(file, MESSAGE_LIMIT_BYTES, from_start=True) if file is not None else b""
    if text or not from_logs or log is None:
        return text.decode(errors="replace")
    lines = list(log_messages(_read_end(log, LOG_READ_BYTES).splitlines(keepends=True)))[-LOG_LIMIT_LINES:]
    return b"".join(lines)[-LOG_LIMIT_BYTES:].decode(errors="replace")


def log_messages(lines: Iterable[bytes]) -> Iterable[bytes]:
    """What was written, from lines of the CRI log format ``<time> <stream> <F|P> <text>``."""
    for line in lines:
        parts = line.split(b" ", 3)
        if len(parts) == 4:
            yield parts[3].rstrip(b"\n") if parts[2] == b"P" else parts[3]


def _read_end(path: Path, limit: int, *, from_start: bool = False) -> bytes:
    """Never follows a link: the file is in the pod's hands."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(handle, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if not from_start and size > limit:
            stream.seek(size - limit)
        return stream.read(limit)
