"""Values and sets of fields together: the fields of a value, a configuration merged into a value, fields taken out of it.

Nothing here changes what it is given; unchanged parts are shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.schema.managedfields.fieldset import SELF, FieldSet, is_member
from steersman.schema.managedfields.typed import ABSENT, ANY, Type

_MEMBER: FieldSet = {}
_LISTS = ("keyed", "set")


def fields_of(value: Mapping[str, Any], type_: Type) -> FieldSet:
    """The fields that an applied configuration claims. Raises ``typed.UntypedElement``."""
    fields = _fields(value, type_)
    return fields or {}


def _fields(value: Any, type_: Type) -> FieldSet | None:
    """The part of the set below the value's step; None where it claims nothing."""
    if type_.form == "leaf" or not isinstance(value, (dict, list)):
        return _MEMBER if type_.form == "leaf" or value is not None else None
    if isinstance(value, list):
        return _fields_of_list(value, type_) if type_.form in _LISTS else _MEMBER
    fields: FieldSet = {}
    for key, child in value.items():
        declared = type_.field(key)
        node = _fields(child, declared or type_.element or ANY)
        if child is None or (isinstance(child, dict) and not child) or declared is None:
            node = _with_self(node)
        if node is not None:
            fields[f"f:{key}"] = node
    return fields or None


def _fields_of_list(items: Sequence[Any], type_: Type) -> FieldSet | None:
    fields: FieldSet = {}
    for item in items:
        step = type_.step(item)
        fields[step] = _MEMBER if step in fields else _with_self(_fields(item, type_.element or ANY))
    return fields or None


def _with_self(node: FieldSet | None) -> FieldSet:
    if not node:
        return _MEMBER
    return node if SELF in node else {SELF: _MEMBER, **node}


def merged(live: Mapping[str, Any], config: Mapping[str, Any], type_: Type) -> dict[str, Any]:
    """``live`` with the fields of ``config`` set. Raises ``typed.UntypedElement``."""
    result: dict[str, Any] = _merged(live, config, type_)
    return result


def _merged(live: Any, config: Any, type_: Type) -> Any:
    if live is config or live is ABSENT or type_.form == "leaf":
        return config
    if isinstance(live, dict) and isinstance(config, dict) and type_.form not in _LISTS:
        if not live and not config:
            return config
        result = dict(live)
        for key, wanted in config.items():
            result[key] = _merged(live.get(key, ABSENT), wanted, type_.child(key) or ANY)
        return result
    if isinstance(live, list) and isinstance(config, list) and type_.form in _LISTS:
        return _merged_lists(live, config, type_) if live or config else config
    return config


def _merged_lists(live: Sequence[Any], config: Sequence[Any], type_: Type) -> list[Any]:
    """Elements of both. Those of ``config`` keep its order; those of ``live`` alone stay where they were among the shared
    ones."""
    element = type_.element or ANY
    wanted = {type_.step(item): item for item in config}
    mine: dict[str, Any] = {}
    for item in live:
        step = type_.step(item)
        # A duplicated element is not merged with the configuration's, but replaced by it.
        mine[step] = ABSENT if step in mine else item
    order = list(wanted)
    shared = [step for step in order if step in mine]
    result: list[Any] = []
    taken: set[str] = set()
    position = next_shared = 0

    def take_until(stop: str | None) -> None:
        """Takes elements of the configuration up to and with ``stop``; all where it is None."""
        nonlocal position
        while position < len(order):
            step = order[position]
            position += 1
            taken.add(step)
            result.append(_merged(mine.get(step, ABSENT), wanted[step], element))
            if step == stop:
                return

    for item in live:
        step = type_.step(item)
        if step not in wanted:
            result.append(item)
        elif next_shared < len(shared) and step == shared[next_shared] and step not in taken:
            take_until(step)
            while next_shared < len(shared) and shared[next_shared] in taken:
                next_shared += 1
    take_until(None)
    return result


def removed(value: Any, fields: FieldSet, type_: Type) -> Any:
    """``value`` without the fields of a set; what becomes empty stays, empty."""
    if not fields or not value:
        return value
    if isinstance(value, dict) and type_.form not in ("leaf", *_LISTS):
        result: dict[str, Any] = {}
        for key, child in value.items():
            node = fields.get(f"f:{key}")
            if node is None:
                result[key] = child
            elif not is_member(node):
                result[key] = removed(child, node, type_.child(key) or ANY)
        return result
    if isinstance(value, list) and type_.form in _LISTS:
        kept: list[Any] = []
        for item in value:
            node = fields.get(type_.step(item))
            if node is None:
                kept.append(item)
            elif not is_member(node):
                kept.append(removed(item, node, type_.element or ANY))
        return kept
    # A leaf of which only parts were to go goes as a whole, as upstream's removal of atomic values does.
    return [] if isinstance(value, list) else {} if isinstance(value, dict) else value


def with_named_fields(fields: FieldSet, type_: Type) -> FieldSet:
    """``fields`` and, as members, the declared fields on the way to them (not entries of maps, not elements of lists)."""
    result: FieldSet = {}
    for step, node in fields.items():
        if step == SELF or not node:
            result[step] = node
            continue
        declared = type_.field(step[2:]) if step.startswith("f:") else None
        below = with_named_fields(node, declared or type_.element or ANY)
        result[step] = {SELF: _MEMBER, **below} if declared is not None and SELF not in below else below
    return result
