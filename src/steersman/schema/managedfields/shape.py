"""The shape of an object: which fields and elements it has, whatever their values.

Two objects of one shape claim the same fields when they are created, so that their managed fields are computed once: the
ten-thousandth pod of a ReplicaSet costs a walk and a look-up.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from steersman.schema.managedfields.typed import ANY, Type

_LEAF, _EMPTY_MAP, _EMPTY_LIST, _END = "leaf", "{}", "[]", "end"


def shape_of(value: Any, type_: Type) -> Hashable:
    """Equal for values whose fields are the same. Raises ``typed.UntypedElement``.

    A flat tuple, which hashes three times faster than nested ones: of a map its size, its keys, and each key below which
    there is more with what is there; of a structure also its fields that are zero, which nobody owns; of a list its size,
    and each element's key with what is there.
    """
    shape: list[Hashable] = []
    _walk(value, type_, shape)
    return tuple(shape)


def _walk(value: Any, type_: Type, shape: list[Hashable]) -> None:
    form = type_.form
    if form == "leaf":
        shape.append(_LEAF)
    elif value.__class__ is dict:
        shape.append(len(value))
        shape.extend(value)
        if form == "struct":
            _walk_struct(value, type_, shape)
        else:
            _walk_map(value, type_.element or ANY, shape)
        shape.append(_END)
    elif form == "keyed":
        _walk_keyed(value, type_, shape)
    elif form == "set":
        shape.append(len(value))
        shape.extend([type_.step(item) for item in value])
    else:
        shape.append(_LEAF)


def _walk_struct(value: dict[str, Any], type_: Type, shape: list[Hashable]) -> None:
    for key, zero in type_.zero_scalars:
        if value.get(key) == zero:
            shape.append(f"{key}=0")
    field = type_.field
    for key, child in value.items():
        if child.__class__ is dict or child.__class__ is list:
            shape.append(key)
            if not child:
                shape.append(_EMPTY_MAP if child.__class__ is dict else _EMPTY_LIST)
                continue
            below = field(key) or ANY
            if below.form == "leaf":
                shape.append(_LEAF)
            else:
                _walk(child, below, shape)


def _walk_map(value: dict[str, Any], element: Type, shape: list[Hashable]) -> None:
    for key, child in value.items():
        if child.__class__ is dict or child.__class__ is list:
            shape.append(key)
            if child:
                _walk(child, element, shape)
            else:
                shape.append(_EMPTY_MAP if child.__class__ is dict else _EMPTY_LIST)


def _walk_keyed(items: list[Any], type_: Type, shape: list[Hashable]) -> None:
    element = type_.element or ANY
    only_key = type_.keys[0][0] if len(type_.keys) == 1 else ""
    shape.append(len(items))
    is_struct = element.form == "struct"
    for item in items:
        is_dict = item.__class__ is dict
        key = item.get(only_key) if is_dict else None
        shape.append(key if key.__class__ is str else type_.step(item))
        if is_dict and is_struct:
            shape.append(len(item))
            shape.extend(item)
            _walk_struct(item, element, shape)
            shape.append(_END)
        else:
            _walk(item, element, shape)
