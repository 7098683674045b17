"""The Targets column of HorizontalPodAutoscalers: what each metric is and should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.schema.cells import NONE, UNKNOWN

_SHOWN = 2
_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def format_targets(metrics: Sequence[Mapping[str, Any]], statuses: Sequence[Mapping[str, Any]]) -> str:
    """``cpu: 30%/80%, 5/10 (avg)``: the first two metrics of v2 and how many more there are."""
    if not metrics:
        return NONE
    words = [_format(metric, statuses[index] if index < len(statuses) else {}) for index, metric in enumerate(metrics)]
    shown = ", ".join(words[:_SHOWN])
    return f"{shown} + {len(words) - _SHOWN} more..." if len(words) > _SHOWN else shown


def _format(metric: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    name = _SOURCES.get(str(metric.get("type")))
    if name is None:
        return "<unknown type>"
    source = metric.get(name) or {}
    target = source.get("target") or {}
    current = (status.get(name) or {}).get("current") or {}
    average = target.get("averageValue")
    if name in ("resource", "containerResource"):
        if average is not None:
            return f"{source.get('name')}: {current.get('averageValue') or UNKNOWN}/{average}"
        percent = target.get("averageUtilization")
        wanted = "<auto>" if percent is None else f"{percent}%"
        have = current.get("averageUtilization")
        return f"{source.get('name')}: {UNKNOWN if have is None else f'{have}%'}/{wanted}"
    if name == "pods":
        return f"{current.get('averageValue') or UNKNOWN}/{average}"
    if average is not None:
        return f"{current.get('averageValue') or UNKNOWN}/{average} (avg)"
    return f"{current.get('value') or UNKNOWN}/{target.get('value')}"
