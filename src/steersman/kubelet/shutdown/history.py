"""When the node last shut down gracefully, kept for the kubelet that comes up after it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from steersman.kubelet.state_files import replace_file
from steersman.meta.times import format_time, parse_time

FILE: Final = "graceful_node_shutdown_state"
ZERO: Final = "0001-01-01T00:00:00Z"
log = logging.getLogger(__name__)


class LastShutdown(Struct, frozen=True, kw_only=True):
    """Seconds since the epoch; 0 for never."""

    began_s: float = 0.0
    ended_s: float = 0.0


class ShutdownHistory:
    """One file, as upstream writes it."""

    def __init__(self, root_dir: Path) -> None:
        self._path = root_dir / FILE

    def read(self) -> LastShutdown:
        try:
            document = msgspec.json.decode(self._path.read_bytes())
            return LastShutdown(began_s=_parsed(document["startTime"]), ended_s=_parsed(document["endTime"]))
        except FileNotFoundError:
            return LastShutdown()
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.error("Failed to load graceful shutdown state: %s", error)
            return LastShutdown()

    def write(self, last: LastShutdown) -> None:
        document = {"startTime": _formatted(last.began_s), "endTime": _formatted(last.ended_s)}
        try:
            replace_file(self._path, msgspec.json.encode(document), mode=0o644)
        except OSError as error:
            log.error("Failed to store graceful shutdown state: %s", error)


def _formatted(seconds: float) -> str:
    return format_time(seconds) if seconds else ZERO


def _parsed(text: str) -> float:
    return 0.0 if text == ZERO else parse_time(text)
