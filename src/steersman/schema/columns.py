"""Columns of ``kubectl get`` that many kinds have, and how others are built from a path into the object.

Cells get the object, which must not be changed, and the time now in epoch seconds. The API server always fills the wide columns
too; ``kubectl`` hides them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from steersman.meta.objects import Object, metadata
from steersman.meta.selectors import SelectorError, label_selector_of
from steersman.schema.cells import NONE, age
from steersman.schema.kind import Column

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
Cell = Callable[[Object, float], Any]


def value_at(obj: Mapping[str, Any], *path: str) -> Any:
    """The value at a path of the object, None where any part of it is absent."""
    value: Any = obj
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def text(
    name: str, *path: str, empty: str = "", priority: int = 0, documented_by: str = "", description: str = ""
) -> Column:
    """A string field, ``empty`` where it is absent or empty."""
    return Column(
        name=name,
        priority=priority,
        documented_by=documented_by,
        description=description,
        cell=lambda obj, now: str(value_at(obj, *path) or empty),
    )


def count(name: str, *path: str, type: str = "integer", documented_by: str = "", description: str = "") -> Column:
    """An integer field, 0 where it is absent."""
    return Column(
        name=name,
        type=type,
        documented_by=documented_by,
        description=description,
        cell=lambda obj, now: value_at(obj, *path) or 0,
    )


def length(
    name: str, *paths: tuple[str, ...], type: str = "integer", documented_by: str = "", description: str = ""
) -> Column:
    """How many entries the lists or maps at ``paths`` have together."""
    return Column(
        name=name,
        type=type,
        documented_by=documented_by,
        description=description,
        cell=lambda obj, now: sum(len(value_at(obj, *path) or ()) for path in paths),
    )


def flag(name: str, *path: str, absent: bool = False, type: str = "boolean", documented_by: str = "") -> Column:
    """A boolean field."""

    def cell(obj: Object, now: float) -> bool:
        value = value_at(obj, *path)
        return absent if value is None else bool(value)

    return Column(name=name, type=type, documented_by=documented_by, cell=cell)


def computed(
    name: str, cell: Cell, *, type: str = "string", priority: int = 0, documented_by: str = "", description: str = ""
) -> Column:
    return Column(
        name=name, type=type, priority=priority, documented_by=documented_by, description=description, cell=cell
    )


def own_name(obj: Object, now: float) -> str:
    return str(metadata(obj).get("name") or "")


def own_age(obj: Object, now: float) -> str:
    return age(metadata(obj).get("creationTimestamp"), now)


NAME = Column(name="Name", format="name", documented_by=f"{_META}/name", cell=own_name)
AGE = Column(name="Age", documented_by=f"{_META}/creationTimestamp", cell=own_age)
CREATED_AT = Column(
    name="Created At",
    type="date",
    documented_by=f"{_META}/creationTimestamp",
    cell=lambda obj, now: metadata(obj).get("creationTimestamp"),
)
DEFAULT_COLUMNS = (NAME, CREATED_AT)
"""Of kinds without columns of their own."""


def named(cell: Cell) -> Column:
    """The Name column of kinds that mark their default: ``standard (default)``."""
    return Column(name="Name", format="name", documented_by=f"{_META}/name", cell=cell)


def containers(*path: str, priority: int = 1) -> tuple[Column, Column]:
    """Names and images of the containers of the pod template at ``path``."""

    def listed(field: str) -> Cell:
        def cell(obj: Object, now: float) -> str:
            entries = value_at(obj, *path, "spec", "containers") or ()
            return ",".join(str(entry.get(field) or "") for entry in entries)

        return cell

    return (
        Column(
            name="Containers",
            priority=priority,
            description="Names of each container in the template.",
            cell=listed("name"),
        ),
        Column(
            name="Images",
            priority=priority,
            description="Images referenced by each container in the template.",
            cell=listed("image"),
        ),
    )


def selector(*path: str, documented_by: str) -> Column:
    """A LabelSelector as text, on wide tables."""
    return Column(
        name="Selector",
        priority=1,
        documented_by=documented_by,
        cell=lambda obj, now: format_selector(value_at(obj, *path)),
    )


def format_selector(value: Mapping[str, Any] | None) -> str:
    """A LabelSelector as text, ``<none>`` where it is absent or empty."""
    try:
        parsed = label_selector_of(value)
    except (SelectorError, KeyError):
        return "<error>"
    return NONE if parsed.matches_nothing else str(parsed) or NONE


def format_labels(labels: Mapping[str, str] | None) -> str:
    """``a=b,c=d`` in the order of the keys, ``<none>`` for none."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def first_of_three(entries: Iterable[str], total: int) -> str:
    """The first three and how many more: ``a,b,c + 2 more...``; empty for none."""
    shown = list(entries)[:3]
    joined = ",".join(shown)
    return f"{joined} + {total - 3} more..." if total > 3 else joined
