"""Representations of objects for clients that want less: ``Table`` (what ``kubectl get`` prints) and
``PartialObjectMetadata``, single and as lists, of meta.k8s.io ``v1`` and ``v1beta1``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, get_args

from steersman.meta import objects
from steersman.meta.errors import BadRequest
from steersman.meta.objects import Object
from steersman.schema import definitions
from steersman.schema.kind import Column, Kind

IncludeObject = Literal["None", "Metadata", "Object"]
"""What a row carries besides its cells; ``Metadata`` unless the client asks otherwise."""

_ZERO_TIME = "0001-01-01T00:00:00Z"


def include_object(text: str) -> IncludeObject:
    """The ``includeObject`` query parameter. Raises ``BadRequest``."""
    if not text:
        return "Metadata"
    for value in get_args(IncludeObject):
        if value == text:
            choice: IncludeObject = value
            return choice
    raise BadRequest(
        f"Unable to convert to Table as requested: includeObject: Invalid value: \"{text}\": must be 'Metadata', "
        "'Object', 'None', or empty"
    )


def columns_of(kind: Kind) -> Sequence[Column]:
    """A kind's columns; Name and Created At for a kind that defines none, as upstream's default table has."""
    return kind.columns or _default_columns()


def _default_columns() -> Sequence[Column]:
    documented = definitions.definition(definitions.OBJECT_META)["properties"]
    return (
        Column(
            name="Name",
            format="name",
            description=documented["name"]["description"],
            cell=lambda obj, now: objects.name(obj),
        ),
        Column(
            name="Created At",
            type="date",
            description=documented["creationTimestamp"]["description"],
            cell=lambda obj, now: objects.metadata(obj).get("creationTimestamp") or _ZERO_TIME,
        ),
    )


@cache
def _documented(field: str) -> str:
    """The description of ``<definition>/<property>``."""
    name, _, prop = field.partition("/")
    return str(definitions.definition(name)["properties"][prop].get("description") or "") if field else ""


def column_definitions(columns: Sequence[Column]) -> list[Object]:
    """The head of a table as ``TableColumnDefinition``s."""
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description or _documented(column.documented_by),
            "priority": column.priority,
        }
        for column in columns
    ]


def cells(kind: Kind, columns: Sequence[Column], obj: Object, now: float) -> list[Any]:
    """One row's cells; ``columns``: those of ``kind``."""
    if kind.cells is not None:
        return kind.cells(obj, now)
    return [column.cell(obj, now) for column in columns]


def row(
    kind: Kind,
    columns: Sequence[Column],
    obj: Object,
    *,
    now: float,
    include: IncludeObject = "Metadata",
    version: str = "v1",
) -> Object:
    """One ``TableRow``; ``now`` in epoch seconds, for ages."""
    line: Object = {"cells": cells(kind, columns, obj, now)}
    found = kind.row_conditions(obj) if kind.row_conditions is not None else None
    if found:
        line["conditions"] = found
    if include == "Object":
        line["object"] = obj
    else:
        line["object"] = partial(obj, version) if include == "Metadata" else None
    return line


def table(
    kind: Kind,
    items: Iterable[Object],
    *,
    now: float,
    list_metadata: Mapping[str, Any] | None = None,
    include: IncludeObject = "Metadata",
    version: str = "v1",
    headers: bool = True,
) -> Object:
    """A ``Table`` of ``items``.

    ``list_metadata`` is the list's metadata (resourceVersion, continue, remainingItemCount), or that of the single
    object. ``headers`` is false for a client's ``noHeaders`` and for events of a watch after the first.
    """
    columns = columns_of(kind)
    kept = ("resourceVersion", "continue", "remainingItemCount")
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": {key: value for key, value in (list_metadata or {}).items() if key in kept and value},
        "columnDefinitions": column_definitions(columns) if headers else None,
        "rows": [row(kind, columns, item, now=now, include=include, version=version) for item in items],
    }


def partial(obj: Mapping[str, Any], version: str = "v1") -> Object:
    """``PartialObjectMetadata``: the object's metadata and nothing else."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": obj.get("metadata") or {},
    }


def partial_list(
    items: Iterable[Mapping[str, Any]], list_metadata: Mapping[str, Any] | None = None, version: str = "v1"
) -> Object:
    """``PartialObjectMetadataList``."""
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": dict(list_metadata or {}),
        "items": [partial(item, version) for item in items],
    }
