"""``/metrics``: everything of a registry in Prometheus' text format, written as Go's client library writes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from steersman.apiserver import respond
from steersman.apiserver.call import Call
from steersman.apiserver.metrics.series import number
from steersman.apiserver.router import PathHandler
from steersman.meta.wire import Response

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_HELP_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n"})


def render(registry: CollectorRegistry) -> bytes:
    """All metrics that have values, by name."""
    families = sorted(registry.collect(), key=lambda family: family.name)
    return "".join([line for family in families if family.samples for line in _lines(family)]).encode()


def _lines(family: Metric) -> list[str]:
    name = family.samples[0].name if family.type == "counter" else family.name
    kind = "untyped" if family.type in ("unknown", "info", "stateset") else family.type
    lines = [f"# HELP {name} {family.documentation.translate(_HELP_ESCAPES)}\n", f"# TYPE {name} {kind}\n"]
    for sample in family.samples:
        if sample.name.endswith("_created"):
            continue
        labels = ",".join([f'{key}="{_value(key, value)}"' for key, value in sorted(sample.labels.items(), key=_as_go)])
        lines.append(f"{sample.name}{{{labels}}} {number(sample.value)}\n" if labels else f"{sample.name} {number(sample.value)}\n")  # fmt: skip
    return lines


def _value(name: str, value: str) -> str:
    return number(float(value)) if name == "le" else value.translate(_ESCAPES)


def _as_go(label: tuple[str, str]) -> tuple[bool, str]:
    """By name, the bounds of buckets and quantiles last."""
    return label[0] in ("le", "quantile"), label[0]


class MetricsPath:
    """``/metrics`` and ``/metrics/slis``. ``refresh`` is called before, for what has to be asked elsewhere."""

    def __init__(
        self, registry: CollectorRegistry, slis: CollectorRegistry, *, refresh: Callable[[], Awaitable[None]]
    ) -> None:
        self._registry = registry
        self._slis = slis
        self._refresh = refresh

    @property
    def paths(self) -> Mapping[str, PathHandler]:
        return {"/metrics": self.serve, "/metrics/slis": self.serve_slis}

    @property
    def prefixes(self) -> Mapping[str, PathHandler]:
        return {}

    async def serve(self, call: Call) -> Response:
        await self._refresh()
        return Response(headers=respond.headers(call, CONTENT_TYPE), body=render(self._registry))

    async def serve_slis(self, call: Call) -> Response:
        return Response(headers=respond.headers(call, CONTENT_TYPE), body=render(self._slis))
