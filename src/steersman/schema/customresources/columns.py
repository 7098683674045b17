"""What ``kubectl get`` prints of custom resources: the columns that their definition names, by JSONPath."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from steersman.meta import times
from steersman.meta.objects import Object
from steersman.schema import definitions
from steersman.schema.cells import INVALID, UNKNOWN, human_duration
from steersman.schema.columns import NAME
from steersman.schema.customresources.jsonpath import JSONPath, JSONPathError, parse, text_of
from steersman.schema.kind import Column

_DESCRIPTION = "Custom resource definition column (in JSONPath format): {}"
_AGE: Mapping[str, Any] = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
"""The column of definitions that name none."""


def columns_of(version: Mapping[str, Any]) -> Sequence[Column]:
    """The columns of one version; only the name where a path is malformed, as upstream does."""
    own = version.get("additionalPrinterColumns") or (_AGE,)
    try:
        return (NAME, *(_column(entry) for entry in own))
    except JSONPathError:
        return (NAME,)


def _column(entry: Mapping[str, Any]) -> Column:
    source = entry["jsonPath"]
    return Column(
        name=entry["name"],
        type=entry["type"],
        format=entry.get("format") or "",
        description="" if entry is _AGE else entry.get("description") or _DESCRIPTION.format(source),
        documented_by=f"{definitions.OBJECT_META}/creationTimestamp" if entry is _AGE else "",
        priority=entry.get("priority") or 0,
        cell=_cell(parse(source), entry["type"]),
    )


def _cell(path: JSONPath, kind: str) -> Callable[[Object, float], Any]:
    def cell(obj: Object, now: float) -> Any:
        try:
            found = path.find(obj)
        except JSONPathError:
            return None
        if not found:
            return None
        return text_of(found[0]) if kind == "string" else _typed(found[0], kind, now)

    return cell


def _typed(value: Any, kind: str, now: float) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "integer" if is_number:
            return int(value)
        case "number" if is_number:
            return value
        case "boolean" if isinstance(value, bool):
            return value
        case "date" if isinstance(value, str):
            return _age(value, now)
    return None


def _age(value: str, now: float) -> str:
    if not value or value == "null":
        return UNKNOWN
    try:
        return human_duration(now - times.parse_time(value))
    except ValueError:
        return INVALID
