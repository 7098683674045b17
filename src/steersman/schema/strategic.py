"""Strategic merge patch: a merge patch that knows from the definitions which lists merge, and by which key.

Directives: ``$patch: replace|delete``, ``$retainKeys``, ``$setElementOrder/<list>``, ``$deleteFromPrimitiveList/<list>``.
Neither the object nor the patch is changed; what the patch does not touch is shared with the result.
Source: upstream's "strategic merge patch" and "preserve order in strategic merge patch" documents; errors as upstream's
API server answers them, including 500 for patches that contradict the structure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from steersman.meta.errors import APIError, BadRequest
from steersman.meta.objects import Object
from steersman.meta.patches import PatchDoesNotApply
from steersman.schema.patch_meta import FieldMeta, Node, node

_DIRECTIVE = "$patch"
_RETAIN_KEYS = "$retainKeys"
_SET_ELEMENT_ORDER = "$setElementOrder"
_DELETE_FROM_PRIMITIVES = "$deleteFromPrimitiveList"
_JSON_TYPES: Mapping[type, str] = {list: "array", str: "string", bool: "bool"}
_GONE: Any = object()
"""Stands for a value that was only a directive."""


def strategic_merge(original: Object, patch: Any, definition: str) -> Object:
    """``original`` after ``patch``, both of the kind that ``definition`` describes.

    Raises ``BadRequest`` for a malformed patch, ``PatchDoesNotApply`` for lists of lists, ``APIError`` (500) for a patch
    that contradicts the structure: unknown fields below existing ones, elements without their merge key.
    """
    if not isinstance(patch, dict):
        found = "null" if patch is None else _JSON_TYPES.get(type(patch), "number")
        raise BadRequest(f"json: cannot unmarshal {found} into Go value of type map[string]interface {{}}")
    try:
        return _merge_map(original, patch, node(definition))
    except RecursionError as error:
        raise BadRequest("exceeded max depth") from error


def _merge_map(original: Mapping[str, Any], patch: Mapping[str, Any], below: Node) -> Object:
    if _DIRECTIVE in patch:
        directive = patch[_DIRECTIVE]
        if directive == "replace":
            return {key: value for key, value in patch.items() if key != _DIRECTIVE}
        if directive == "delete":
            return {}
        raise _bad_directive(directive, patch)
    result = _retained(original, patch)
    done = _merge_ordered_lists(result, patch, below)
    for key, value in patch.items():
        if key in done or key == _RETAIN_KEYS:
            continue
        deletes = key.startswith(_DELETE_FROM_PRIMITIVES)
        if deletes:
            key = _named_list(key, "invalid patch format of primitive list")
        if value is None:
            result.pop(key, None)
            continue
        current = result.get(key, _GONE)
        if isinstance(value, dict) and isinstance(current, dict):
            meta = below.field(key)
            result[key] = value if meta.strategy == "replace" else _merge_map(current, value, meta.below)
        elif isinstance(value, list) and isinstance(current, list):
            result[key] = _merge_list(current, value, below.field(key), deletes=deletes)
        elif not deletes:
            added = _without_directives(value)
            if added is _GONE:
                result.pop(key, None)
            else:
                result[key] = added
    return result


def _retained(original: Mapping[str, Any], patch: Mapping[str, Any]) -> Object:
    """A copy of ``original``, only with the fields that ``$retainKeys`` lists where the patch has that directive."""
    if _RETAIN_KEYS not in patch:
        return dict(original)
    retained = patch[_RETAIN_KEYS]
    if not isinstance(retained, list):
        raise BadRequest("invalid patch format of retainKeys")
    for key, value in patch.items():
        is_directive = key == _RETAIN_KEYS or key.startswith((_DELETE_FROM_PRIMITIVES, _SET_ELEMENT_ORDER))
        if value is not None and not is_directive and key not in retained:
            raise BadRequest("invalid patch format of retainKeys")
    return {key: value for key, value in original.items() if key in retained}


def _named_list(key: str, malformed: str) -> str:
    """``ports`` of ``$setElementOrder/ports``."""
    directive, slash, name = key.partition("/")
    if not slash or directive not in (_SET_ELEMENT_ORDER, _DELETE_FROM_PRIMITIVES):
        raise BadRequest(malformed)
    return name


def _merge_ordered_lists(result: Object, patch: Mapping[str, Any], below: Node) -> set[str]:
    """Merges into ``result`` the lists whose order the patch sets; gives the keys of ``patch`` that this took care of."""
    done: set[str] = set()
    for key, order in patch.items():
        if not key.startswith(_SET_ELEMENT_ORDER):
            continue
        done.add(key)
        order = _list(order)
        name = _named_list(key, "invalid patch format of setElementOrder list")
        meta = below.field(name)
        if name not in result and name not in patch:
            continue
        current = _list(result[name]) if name in result else []
        wanted = _list(patch[name]) if name in patch else []
        _check_order(wanted, order, meta.merge_key)
        if name not in patch:
            merged = current
        elif name not in result:
            merged = _without_directives(wanted)
        else:
            merged = _merge_list(current, wanted, meta, deletes=False)
        _element_type(current, wanted)
        result[name] = _arranged(merged, order, current, meta.merge_key)
        done.add(name)
    return done


def _check_order(wanted: Sequence[Any], order: Sequence[Any], merge_key: str) -> None:
    """The patch's elements stand in the order that it sets, and all of them are in it."""
    if not wanted or not order:
        return
    elements = [entry for entry in wanted if not (isinstance(entry, dict) and _DIRECTIVE in entry)]
    position = 0
    for entry in order:
        if position == len(elements):
            return
        if _identity(elements[position], merge_key) == _identity(entry, merge_key):
            position += 1
    if position < len(elements):
        raise APIError(
            f"The order in patch list:\n{go_value(wanted)}\n doesn't match {_SET_ELEMENT_ORDER} list:\n{go_value(order)}\n"
        )


def _merge_list(original: list[Any], patch: list[Any], meta: FieldMeta, *, deletes: bool) -> list[Any]:
    if meta.strategy != "merge" and not deletes:
        return patch
    if not original and not patch:
        return original
    if _element_type(original, patch) is not dict:
        if deletes:
            unwanted = {_identity(entry, "") for entry in patch}
            return [entry for entry in original if _identity(entry, "") not in unwanted]
        if meta.merge_key:
            raise APIError(f"expected a map[string]interface {{}}, but received a {_go_type((original or patch)[0])}")
        unique = {_identity(entry, ""): entry for entry in reversed((*original, *patch))}
        return _arranged(list(reversed(unique.values())), patch, original, "")
    if not meta.merge_key:
        raise APIError("cannot merge lists without merge key for struct")
    current, elements = _apply_directives(original, patch, meta.merge_key)
    merged = _merge_elements(current, elements, meta)
    return _arranged(merged, elements, current, meta.merge_key)


def _apply_directives(
    original: list[Any], patch: list[Any], merge_key: str
) -> tuple[list[Any], list[Mapping[str, Any]]]:
    """Elements of the list that stay, and elements of the patch that are no directives."""
    elements: list[Mapping[str, Any]] = []
    unwanted: set[Any] = set()
    replaces = False
    for entry in patch:
        if _DIRECTIVE not in entry:
            elements.append(entry)
        elif entry[_DIRECTIVE] == "delete":
            unwanted.add(_identity(entry, merge_key))
        elif entry[_DIRECTIVE] == "replace":
            replaces = True
        elif entry[_DIRECTIVE] == "merge":
            raise APIError("merging lists cannot yet be specified in the patch")
        else:
            raise _bad_directive(entry[_DIRECTIVE], entry)
    if replaces:
        return list(elements), []
    if unwanted:
        original = [
            entry
            for entry in original
            if not isinstance(entry, dict) or merge_key not in entry or _identity(entry, merge_key) not in unwanted
        ]
    return original, elements


def _merge_elements(current: list[Any], elements: Sequence[Mapping[str, Any]], meta: FieldMeta) -> list[Any]:
    merged = list(current)
    positions: dict[Any, int] = {}
    for position, entry in enumerate(merged):
        if meta.merge_key in entry:
            positions.setdefault(_identity(entry, meta.merge_key), position)
    for element in elements:
        identity = _identity(element, meta.merge_key)
        found = positions.get(identity)
        if found is None:
            positions[identity] = len(merged)
            merged.append(element)
        else:
            merged[found] = _merge_map(merged[found], element, meta.below)
    return merged


def _arranged(merged: Sequence[Any], order: Sequence[Any], live: Sequence[Any], merge_key: str) -> list[Any]:
    """``merged`` with the elements of ``order`` in its order and the others where they stood in ``live``, best effort.

    An element that only the live list has goes before the first ordered element that followed it there.
    """
    wanted = _positions(order, merge_key)
    alive = _positions(live, merge_key)
    keyed = [(_identity(entry, merge_key), entry) for entry in merged]
    ordered = [pair for pair in keyed if pair[0] in wanted]
    others = [pair for pair in keyed if pair[0] not in wanted]
    ordered.sort(key=lambda pair: wanted[pair[0]])
    others.sort(key=lambda pair: alive.get(pair[0], len(alive)))
    result: list[Any] = []
    next_ordered = 0
    for identity, entry in others:
        while next_ordered < len(ordered):
            other = ordered[next_ordered][0]
            if identity in alive and other in alive and alive[identity] < alive[other]:
                break
            result.append(ordered[next_ordered][1])
            next_ordered += 1
        result.append(entry)
    result.extend(entry for _, entry in ordered[next_ordered:])
    return result


def _positions(entries: Sequence[Any], merge_key: str) -> dict[Any, int]:
    positions: dict[Any, int] = {}
    for position, entry in enumerate(entries):
        positions.setdefault(_identity(entry, merge_key), position)
    return positions


def _identity(entry: Any, merge_key: str) -> Any:
    """What tells an element from others, hashable; JSON's types stay apart (1 is not true)."""
    if merge_key:
        if not isinstance(entry, dict):
            raise APIError(f"expected a map[string]interface {{}}, but received a {_go_type(entry)}")
        if merge_key not in entry:
            raise APIError(f"map: {go_value(entry)} does not contain declared merge key: {merge_key}")
        entry = entry[merge_key]
    if isinstance(entry, (dict, list)):
        return msgspec.json.encode(entry, order="sorted")
    return type(entry), entry


def _element_type(*lists: Sequence[Any]) -> type:
    """The one type that all elements have. Raises where there are several, or no element."""
    found: type | None = None
    for entries in lists:
        for entry in entries:
            if isinstance(entry, list):
                raise PatchDoesNotApply("lists of lists are not supported")
            if found is None:
                found = type(entry)
            elif type(entry) is not found:
                raise APIError(f"list element types are not identical: {go_value(list(lists))}")
    if found is None:
        raise APIError("no elements in any of the given slices")
    return found


def _list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    raise APIError(f"expected a []interface {{}}, but received a {_go_type(value)}")


def _without_directives(value: Any) -> Any:
    """What a patch adds where nothing of that type stood: without nulls and directives; ``_GONE`` for a bare directive."""
    if isinstance(value, dict):
        if _DIRECTIVE in value:
            return _GONE
        cleaned = {key: _without_directives(child) for key, child in value.items() if child is not None}
        return {key: child for key, child in cleaned.items() if child is not _GONE}
    if isinstance(value, list):
        return [child for child in map(_without_directives, value) if child is not _GONE]
    return value


def _bad_directive(directive: Any, patch: Mapping[str, Any]) -> APIError:
    return APIError(f"unknown patch type: {go_value(directive)} in map: {go_value(patch)}")


def go_value(value: Any) -> str:
    """A value as Go's ``%v`` prints it."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go_value(child)}' for key, child in sorted(value.items()))}]"
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(map(go_value, value))}]"
    if value is None:
        return "<nil>"
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _go_type(value: Any) -> str:
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list):
        return "[]interface {}"
    names: Mapping[type, str] = {str: "string", bool: "bool", int: "int64", float: "float64"}
    return names.get(type(value), "%!s(<nil>)")
