"""The shape of an object: which fields and elements it has, whatever their values.

Two objects of one shape claim the same fields when they are created, so that their managed fields are computed once: the
ten-thousandth pod of a ReplicaSet costs a walk and a look-up.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from steersman.schema.managedfields.typed import ANY, Type


def shape_of(value: Any, type_: Type) -> Hashable | None:
    """Equal for values whose fields are the same. Raises ``typed.UntypedElement``."""
    if not value:
        return type(value).__name__
    form = type_.form
    if form == "leaf":
        return None
    if isinstance(value, dict):
        parts: list[Hashable] = []
        if form == "struct":
            field = type_.field
            for key, child in value.items():
                parts.append(key)
                if isinstance(child, (dict, list)):
                    below = shape_of(child, field(key) or ANY)
                    if below is not None:
                        parts.append((below,))
        elif form in ("map", "any"):
            element = type_.element or ANY
            for key, child in value.items():
                parts.append(key)
                if isinstance(child, (dict, list)):
                    parts.append((shape_of(child, element),))
        return tuple(parts)
    if isinstance(value, list) and form in ("keyed", "set"):
        element = type_.element or ANY
        if form == "set":
            return tuple([type_.step(item) for item in value])
        return tuple([(type_.step(item), shape_of(item, element)) for item in value])
    return None
