"""The log backend: a line for each event, in a file that is rotated, or on standard output."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.audit.api import AuditBackend
from steersman.apiserver.audit.event import AuditEvent
from steersman.apiserver.audit.metrics import AuditMetrics
from steersman.meta.quoting import quoted

_MEGABYTE = 1024 * 1024
_DAY_S = 86400.0


class RotationOptions(Struct, frozen=True, kw_only=True):
    """``--audit-log-max*``. Zero: no limit."""

    max_age_days: int = 366
    max_backups: int = 100
    max_size_megabytes: int = 100
    compress: bool = False


class RotatedFile:
    """A file that is renamed (``audit-2026-01-31T12-00-00.000.log``) before it grows beyond its limit.

    Not readable by others, as what is asked of an API server need not be known to everybody.
    """

    def __init__(self, path: Path, options: RotationOptions, *, clock: Clock) -> None:
        self._path = path
        self._options = options
        self._clock = clock
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = self._open()

    def write(self, data: bytes) -> None:
        """Raises ``OSError``."""
        limit = self._options.max_size_megabytes * _MEGABYTE
        if limit and self._size_bytes and self._size_bytes + len(data) > limit:
            self._rotate()
        self._file.write(data)
        self._size_bytes += len(data)

    def close(self) -> None:
        self._file.close()

    def _open(self) -> BinaryIO:
        file = open(self._path, "ab", buffering=0, opener=_private)  # noqa: SIM115 - it stays open
        self._size_bytes = file.seek(0, os.SEEK_END)
        return file

    def _rotate(self) -> None:
        self._file.close()
        moment = datetime.fromtimestamp(self._clock.now(), UTC)
        stamp = f"{moment:%Y-%m-%dT%H-%M-%S}.{moment.microsecond // 1000:03d}"
        backup = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
        self._path.rename(backup)
        self._file = self._open()
        if self._options.compress:
            _compress(backup)
        self._prune()

    def _prune(self) -> None:
        """Remove the backups that are too many or too old."""
        backups = sorted(self._backups(), reverse=True)
        options = self._options
        kept = backups[: options.max_backups] if options.max_backups else backups
        if options.max_age_days:
            oldest_s = self._clock.now() - options.max_age_days * _DAY_S
            kept = [entry for entry in kept if entry[0] >= oldest_s]
        for _, path in set(backups) - set(kept):
            path.unlink(missing_ok=True)

    def _backups(self) -> list[tuple[float, Path]]:
        """(when it was rotated, path) of each."""
        stem, suffix = re.escape(self._path.stem), re.escape(self._path.suffix)
        pattern = re.compile(rf"{stem}-(\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{{3}}){suffix}(?:\.gz)?")
        found = []
        for path in self._path.parent.iterdir():
            match = pattern.fullmatch(path.name)
            if match is not None:
                moment = datetime.strptime(match[1], "%Y-%m-%dT%H-%M-%S.%f").replace(tzinfo=UTC)
                found.append((moment.timestamp(), path))
        return found


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _compress(path: Path) -> None:
    target = path.with_name(f"{path.name}.gz")
    with open(path, "rb") as source, open(target, "wb", opener=_private) as file, gzip.GzipFile(fileobj=file, mode="wb") as packed:  # fmt: skip
        shutil.copyfileobj(source, packed)
    path.unlink()


class StandardOutput:
    def write(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def close(self) -> None:
        return None


class LogBackend:
    NAME = "log"

    def __init__(
        self, output: RotatedFile | StandardOutput, *, form: Literal["json", "legacy"], metrics: AuditMetrics
    ) -> None:
        self._output = output
        self._form = form
        self._metrics = metrics

    async def process(self, events: Sequence[AuditEvent]) -> bool:
        render = _legacy if self._form == "legacy" else _json
        try:
            self._output.write(b"".join(map(render, events)))
        except OSError as error:
            self._metrics.failed(self.NAME, error, events)
            return False
        return True

    def start(self, tasks: TaskGroup) -> None:
        return None

    async def close(self) -> None:
        self._output.close()


def _json(event: AuditEvent) -> bytes:
    return event.line + b"\n"


def _legacy(event: AuditEvent) -> bytes:
    fields = event.fields
    user, acting = fields["user"], fields.get("impersonatedUser")
    code = (fields.get("responseStatus") or {}).get("code")
    shown = {
        "id": fields["auditID"],
        "stage": fields["stage"],
        "ip": next(iter(fields.get("sourceIPs") or ()), "<unknown>"),
        "method": fields["verb"],
        "user": user.get("username", "<none>"),
        "groups": _quoted_list(user.get("groups")) or "<none>",
        "as": acting["username"] if acting else "<self>",
        "asgroups": (_quoted_list(acting.get("groups")) if acting else "") or "<lookup>",
        "user-agent": fields.get("userAgent", ""),
        "namespace": (fields.get("objectRef") or {}).get("namespace") or "<none>",
        "uri": fields["requestURI"],
        "response": str(code) if code is not None else "<deferred>",
    }
    pairs = " ".join(f"{name}={quoted(value)}" for name, value in shown.items())
    return f"{fields['requestReceivedTimestamp']} AUDIT: {pairs}\n".encode()


def _quoted_list(values: Sequence[str] | None) -> str:
    return ",".join(quoted(value) for value in values or ())


def _conforms(backend: LogBackend) -> AuditBackend:
    return backend
