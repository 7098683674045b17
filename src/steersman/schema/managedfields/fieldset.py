"""Sets of fields, in the form in which objects carry them: FieldsV1.

A set is a tree of dicts. A key is one step of a path: ``f:<field>``, ``k:{…}`` (an element of a keyed list), ``v:<value>``
(an element of a set), ``i:<index>``. Below a step: ``{}`` says that the path up to here is a member of the set; steps below
it come with ``.`` where the path itself is a member too, and without where it only leads somewhere. At the root, ``{}`` is
the empty set. Sets are never changed: operations share what stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec

FieldSet = dict[str, Any]
"""One set, or the part of it below a step."""

EMPTY: FieldSet = {}
SELF = "."
_SELF_ONLY: FieldSet = {}
_PREFIXES = ("f:", "k:", "v:", "i:")


_MAX_INTERNED = 4096
"""Sets that are kept to be shared; all are let go when there are more."""
_interned: dict[bytes, FieldSet] = {}
_encode = msgspec.json.Encoder().encode


class MalformedFields(ValueError):
    """What should be a FieldsV1 is none."""


def is_member(node: FieldSet) -> bool:
    """The path that leads to ``node`` is in the set."""
    return not node or SELF in node


def of_paths(*paths: str) -> FieldSet:
    """A set of plain field paths: ``of_paths("kind", "metadata.name")``."""
    result: FieldSet = EMPTY
    for path in paths:
        node: FieldSet = {}
        for field in reversed(path.split(".")):
            node = {f"f:{field}": node}
        result = union(result, node)
    return result


def _node(member: bool, children: FieldSet) -> FieldSet | None:
    """The node with these properties, or None where it would say nothing."""
    if not children:
        return _SELF_ONLY if member else None
    return {SELF: _SELF_ONLY, **children} if member else children


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Fields of either set; ``left`` itself where ``right`` adds nothing."""
    if not left or left is right:
        return right
    if not right:
        return left
    result: FieldSet | None = None
    for step, node in right.items():
        mine = left.get(step)
        both = node if mine is None else _union_below(mine, node)
        if both is not mine:
            if result is None:
                result = dict(left)
            result[step] = both
    return left if result is None else result


def _union_below(left: FieldSet, right: FieldSet) -> FieldSet:
    """``left`` itself where ``right`` adds nothing."""
    if left is right or left == right:
        return left
    member = is_member(left)
    mine = _children(left)
    children = union(mine, _children(right))
    if children is mine and (member or not is_member(right)):
        return left
    merged = _node(member or is_member(right), children)
    assert merged is not None, "a node of a set says something"
    return merged


def _children(node: FieldSet) -> FieldSet:
    return {step: child for step, child in node.items() if step != SELF} if SELF in node else node


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Fields of ``left`` that are not in ``right``. A field stays where only fields below it go, and the other way round."""
    if not right or not left:
        return left
    result: FieldSet | None = None
    for step, theirs in right.items():
        mine = left.get(step)
        if mine is None or step == SELF:
            continue
        member = is_member(mine) and not is_member(theirs)
        kept = _node(member, difference(_children(mine), _children(theirs)))
        if result is None:
            result = dict(left)
        if kept is None:
            del result[step]
        else:
            result[step] = kept
    return left if result is None else result


def without(left: FieldSet, right: FieldSet) -> FieldSet:
    """As ``difference``, and with a field go all fields below it."""
    if not right or not left:
        return left
    result: FieldSet | None = None
    for step, theirs in right.items():
        mine = left.get(step)
        if mine is None or step == SELF:
            continue
        if result is None:
            result = dict(left)
        kept = None if is_member(theirs) else _node(is_member(mine), without(_children(mine), _children(theirs)))
        if kept is None:
            del result[step]
        else:
            result[step] = kept
    return left if result is None else result


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Fields of both sets."""
    result: FieldSet = {}
    for step, mine in left.items():
        theirs = right.get(step)
        if theirs is None or step == SELF:
            continue
        member = is_member(mine) and is_member(theirs)
        common = _node(member, intersection(_children(mine), _children(theirs)))
        if common is not None:
            result[step] = common
    return result


def paths(fields: FieldSet) -> Iterator[tuple[str, ...]]:
    """Every member as its steps; those at one level before those below it."""
    for step in sorted(fields, key=order):
        if step != SELF and is_member(fields[step]):
            yield (step,)
    for step in sorted(fields, key=order):
        if step != SELF:
            for below in paths(fields[step]):
                yield step, *below


def has(fields: FieldSet, path: tuple[str, ...]) -> bool:
    """The path is a member."""
    node = fields
    for step in path:
        found = node.get(step)
        if found is None:
            return False
        node = found
    return is_member(node)


def in_order(fields: FieldSet, known: FieldSet = EMPTY) -> FieldSet:
    """The same set with its steps in the order in which upstream writes them. Parts that it shares with ``known``, which is
    in order, are not looked at again."""
    if fields is known:
        return fields
    return {
        step: in_order(node, known.get(step, EMPTY)) if node else node
        for step, node in (sorted(fields.items(), key=_step_order) if len(fields) > 1 else fields.items())
    }


def _step_order(item: tuple[str, FieldSet]) -> tuple[int, Any]:
    return order(item[0])


def interned(fields: FieldSet) -> FieldSet:
    """One dict for equal sets in one order, however many objects have them: pods of one shape share what their managers
    own, which is most of a cached pod's memory (and of the garbage collector's work)."""
    written = _encode(fields)
    found = _interned.get(written)
    if found is None:
        if len(_interned) >= _MAX_INTERNED:
            _interned.clear()
        _interned[written] = found = fields
    return found


@lru_cache(maxsize=16384)
def order(step: str) -> tuple[int, Any]:
    """Sort key of a step: the member itself, fields, keys, values, indices; each kind by its content."""
    prefix, content = step[:2], step[2:]
    if step == SELF:
        return 0, ""
    if prefix == "f:":
        return 1, content
    if prefix == "k:":
        return 2, tuple((name, _comparable(value)) for name, value in msgspec.json.decode(content).items())
    if prefix == "v:":
        return 3, _comparable(msgspec.json.decode(content))
    return 4, int(content)


def _comparable(value: Any) -> tuple[int, Any]:
    """Values of different types next to each other, in upstream's order of types."""
    if isinstance(value, bool):
        return 2, value
    if isinstance(value, (int, float)):
        return 0, value
    if isinstance(value, str):
        return 1, value
    return 3, msgspec.json.encode(value)


def checked(fields: Any) -> FieldSet:
    """``fields`` if it is a FieldsV1, with keys and values in the form that this module writes. Raises ``MalformedFields``."""
    if not isinstance(fields, dict):
        raise MalformedFields(f"fields must be an object, not {fields!r}")
    return {_checked_step(step): checked(below) for step, below in fields.items()}


@lru_cache(maxsize=16384)
def _checked_step(step: str) -> str:
    if step == SELF:
        return step
    if not step.startswith(_PREFIXES):
        raise MalformedFields(f"unknown path element: {step}")
    content = step[2:]
    try:
        if step.startswith("i:"):
            return f"i:{int(content)}"
        if step.startswith("k:"):
            key = msgspec.json.decode(content, type=dict[str, Any])
            return key_step(key)
        if step.startswith("v:"):
            return value_step(msgspec.json.decode(content))
    except (ValueError, msgspec.DecodeError) as error:
        raise MalformedFields(f"malformed path element: {step}") from error
    return step


def key_step(key: Mapping[str, Any]) -> str:
    """The step to the element of a list whose key fields have these values."""
    return "k:" + msgspec.json.encode(dict(sorted(key.items()))).decode()


def single_key_step(name: str, value: Any) -> str:
    """As ``key_step``, for the common case of one key field, named by an identifier."""
    return _text_key_step(name, value) if value.__class__ is str else f'k:{{"{name}":{_encoded(value)}}}'


@lru_cache(maxsize=16384)
def _text_key_step(name: str, value: str) -> str:
    return f'k:{{"{name}":{_encoded(value)}}}'


def value_step(value: Any) -> str:
    """The step to an element of a set."""
    return f"v:{_encoded(value)}"


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def path_text(path: tuple[str, ...]) -> str:
    """As upstream prints a path: ``.spec.containers[name="a"].image``."""
    return "".join(map(step_text, path))


def step_text(step: str) -> str:
    content = step[2:]
    if step.startswith("f:"):
        return f".{content}"
    if step.startswith("k:"):
        key = msgspec.json.decode(content)
        return f"[{','.join(f'{name}={_encoded(value)}' for name, value in sorted(key.items()))}]"
    if step.startswith("v:"):
        return f"[={content}]"
    return f"[{content}]"
