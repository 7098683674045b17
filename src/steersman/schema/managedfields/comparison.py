"""What a change did: the fields it removed, modified and added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.schema.managedfields import fieldset
from steersman.schema.managedfields.fieldset import SELF, FieldSet
from steersman.schema.managedfields.typed import ABSENT, ANY, Type

_MEMBER: FieldSet = {}
_LISTS = ("keyed", "set")


class Comparison(Struct, frozen=True, kw_only=True):
    """No field is in more than one of the sets; all are empty where the objects are equal."""

    removed: FieldSet
    modified: FieldSet
    added: FieldSet

    def without(self, ignored: FieldSet) -> Comparison:
        """The same without the ignored fields and all fields below them."""
        if not ignored:
            return self
        return Comparison(
            removed=fieldset.without(self.removed, ignored),
            modified=fieldset.without(self.modified, ignored),
            added=fieldset.without(self.added, ignored),
        )


class _Changes:
    """The three sets of one level while it is compared."""

    __slots__ = ("added", "modified", "removed")

    def __init__(self) -> None:
        self.removed: FieldSet = {}
        self.modified: FieldSet = {}
        self.added: FieldSet = {}

    def below(self, step: str, changes: _Changes) -> None:
        if changes.removed:
            self.removed[step] = changes.removed
        if changes.modified:
            self.modified[step] = changes.modified
        if changes.added:
            self.added[step] = changes.added


def compare(left: Mapping[str, Any], right: Mapping[str, Any], type_: Type) -> Comparison:
    """What makes ``right`` out of ``left``. Raises ``typed.UntypedElement``."""
    changes = _Changes()
    _compare_maps(left, right, type_, changes)
    return Comparison(removed=changes.removed, modified=changes.modified, added=changes.added)


def _compare_step(step: str, left: Any, right: Any, type_: Type, changes: _Changes) -> None:
    """Compares one field or element that both sides have."""
    if left is right or (left == right and type(left) is type(right)):
        return
    if type_.form == "leaf" or _is_leaf(left, right, type_):
        changes.modified[step] = _MEMBER
        return
    deeper = _Changes()
    if type_.form in _LISTS:
        _compare_lists(left or (), right or (), type_, deeper)
    else:
        _compare_maps(left or {}, right or {}, type_, deeper)
    changes.below(step, deeper)


def _is_leaf(left: Any, right: Any, type_: Type) -> bool:
    """Both sides together count as one value: scalars, both empty, or of different types."""
    if not left and not right:
        return True
    wanted = list if type_.form in _LISTS else dict
    return any(side is not None and not isinstance(side, wanted) for side in (left, right))


def _compare_maps(left: Mapping[str, Any], right: Mapping[str, Any], type_: Type, changes: _Changes) -> None:
    zeros = type_.zeros
    for key, mine in left.items():
        theirs = right.get(key, ABSENT)
        if mine is theirs or (mine == theirs and type(mine) is type(theirs)):
            continue
        child = type_.child(key) or ANY
        if theirs is ABSENT:
            theirs = zeros.get(key, ABSENT)
        if theirs is ABSENT:
            changes.removed[f"f:{key}"] = whole(mine, child)
        else:
            _compare_step(f"f:{key}", mine, theirs, child, changes)
    for key, theirs in right.items():
        if key in left:
            continue
        child = type_.child(key) or ANY
        mine = zeros.get(key, ABSENT)
        if mine is ABSENT:
            changes.added[f"f:{key}"] = whole(theirs, child)
        else:
            _compare_step(f"f:{key}", mine, theirs, child, changes)


def _compare_lists(left: Sequence[Any], right: Sequence[Any], type_: Type, changes: _Changes) -> None:
    mine, theirs = _by_step(left, type_), _by_step(right, type_)
    element = type_.element or ANY
    for step, ours in mine.items():
        others = theirs.get(step, ())
        if len(ours) == 1 and len(others) == 1:
            _compare_step(step, ours[0], others[0], element, changes)
        elif len(ours) == 1:
            changes.removed[step] = whole(ours[0], element)
            if others:
                changes.added[step] = _MEMBER
        elif len(others) > 1:
            if list(ours) != list(others):
                changes.modified[step] = _MEMBER
        else:
            changes.removed[step] = _MEMBER
            if others:
                changes.added[step] = whole(others[0], element)
    for step, others in theirs.items():
        if step not in mine:
            changes.added[step] = whole(others[0], element) if len(others) == 1 else _MEMBER


def _by_step(items: Sequence[Any], type_: Type) -> dict[str, list[Any]]:
    """Elements by their step; several where the list has duplicates."""
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(type_.step(item), []).append(item)
    return found


def whole(value: Any, type_: Type) -> FieldSet:
    """A value that came or went, with everything in it, as the part of a set below its step."""
    if not value or type_.form == "leaf" or not isinstance(value, (dict, list)):
        return _MEMBER
    if type_.form in _LISTS:
        if not isinstance(value, list):
            return _MEMBER
        element = type_.element or ANY
        return {
            SELF: _MEMBER,
            **{
                step: whole(items[0], element) if len(items) == 1 else _MEMBER
                for step, items in _by_step(value, type_).items()
            },
        }
    if not isinstance(value, dict):
        return _MEMBER
    fields = {f"f:{key}": whole(child, type_.child(key) or ANY) for key, child in value.items()}
    for key, zero in type_.zeros.items():
        if key not in value:
            fields[f"f:{key}"] = whole(zero, type_.child(key) or ANY)
    return {SELF: _MEMBER, **fields}
