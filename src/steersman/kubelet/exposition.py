"""Metrics with the time they were taken at, in the Prometheus text format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Exposition:
    """Series of one scrape, grouped by metric."""

    def __init__(self) -> None:
        self._families: dict[str, list[str]] = {}

    def add(
        self,
        name: str,
        kind: str,
        help: str,
        value: float | None,
        labels: Mapping[str, str] | None = None,
        *,
        time_ms: int | None = None,
    ) -> None:
        """A sample; nothing happens where the value is not known."""
        if value is None:
            return
        family = self._families.setdefault(name, [f"# HELP {name} {help}", f"# TYPE {name} {kind}"])
        shown = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in (labels or {}).items())
        stamp = f" {time_ms}" if time_ms is not None else ""
        family.append(f"{name}{{{shown}}} {value}{stamp}" if shown else f"{name} {value}{stamp}")

    def text(self) -> str:
        return "".join("\n".join(lines) + "\n" for lines in self._families.values())
