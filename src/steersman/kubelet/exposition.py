"""Metrics in the Prometheus text format: those of a registry, and those with the time they were taken at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def registry_text(registry: CollectorRegistry) -> bytes:
    """Every series of ``registry``, but when each was made, which no Go program tells."""
    return generate_latest(_Shown(registry))


class _Shown(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


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
