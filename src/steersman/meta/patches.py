"""JSON patch (RFC 6902) and JSON merge patch (RFC 7386) on decoded JSON, copying only what changes.

The document given in is never changed: containers on changed paths are copied once, everything else is shared with the
result. Where the RFCs leave room, upstream's behaviour and error texts are kept (kube-apiserver answers a patch that does
not apply with 422 and these texts): ``replace`` of an absent member adds it, negative array indices count from the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from steersman.meta.errors import APIError, BadRequest, RequestEntityTooLarge
from steersman.meta.objects import Object

MAX_OPERATIONS = 10_000
"""Operations in one JSON patch (upstream's maxJSONPatchOperations)."""
MAX_COPIED_BYTES = 3 * 1024 * 1024
"""What the ``copy`` operations of one JSON patch may add, as JSON (upstream's JSONPatchMaxCopyBytes)."""

_INDEX = re.compile(r"[+-]?\d+", re.ASCII)
_ABSENT = object()
_MEMBERS = ("op", "path", "from", "value")


class PatchDoesNotApply(APIError):
    """422: the patch is well-formed, but this document cannot take it. ``str()`` says why; upstream does not tell clients."""

    code, reason = 422, "Invalid"

    def __init__(self, why: str) -> None:
        super().__init__("the server rejected our request due to an error in our request", details={})
        self.why = why

    def __str__(self) -> str:
        return self.why


def json_patch(document: Any, patch: Any) -> Any:
    """``document`` after the operations of ``patch``, in order; all of them apply or none.

    Raises ``BadRequest`` for what is not a JSON patch, ``RequestEntityTooLarge`` for one with too many operations, and
    ``PatchDoesNotApply``.
    """
    operations = _operations(patch)
    try:
        return _JSONPatch(document).run(operations)
    except RecursionError as error:
        raise BadRequest("exceeded max depth") from error


def json_patch_strict_errors(patch: Any) -> list[str]:
    """What strict field validation finds in a JSON patch: ``json patch unknown field "[0].frm"``."""
    return [
        f'json patch unknown field "[{position}].{member}"'
        for position, operation in enumerate(_operations(patch))
        for member in operation
        if member not in _MEMBERS
    ]


def _operations(patch: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(patch, list):
        raise BadRequest(
            f"error decoding patch: json: cannot unmarshal {_json_type(patch)} into Go value of type "
            "[]handlers.jsonPatchOp"
        )
    for operation in patch:
        if not isinstance(operation, dict):
            raise BadRequest(
                f"error decoding patch: json: cannot unmarshal {_json_type(operation)} into Go value of type "
                "handlers.jsonPatchOp"
            )
        for member in ("op", "path", "from"):
            value = operation.get(member)
            if value is not None and not isinstance(value, str):
                raise BadRequest(
                    f"error decoding patch: json: cannot unmarshal {_json_type(value)} into Go struct field "
                    f"jsonPatchOp.{member} of type string"
                )
    if len(patch) > MAX_OPERATIONS:
        raise RequestEntityTooLarge(
            f"Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}"
        )
    return patch


def _json_type(value: Any) -> str:
    """A value's type in the words of Go's JSON decoder."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (int, float)):
        return "number"
    return "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "null"


class _Fault(Exception):
    """Why one step of an operation failed; the operation adds what it was doing."""


class _JSONPatch:
    """One run over one document. ``_owned`` holds the containers made by this run, which it may change in place."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._owned: dict[int, Any] = {}
        self._copied_bytes = 0

    def run(self, operations: Sequence[Mapping[str, Any]]) -> Any:
        for operation in operations:
            name = operation.get("op")
            apply = getattr(self, f"_op_{name}", None) if isinstance(name, str) and name.isalpha() else None
            if apply is None:
                raise PatchDoesNotApply(f"Unexpected kind: {'unknown' if name is None else name}")
            try:
                apply(operation)
            except _Fault as fault:
                raise PatchDoesNotApply(str(fault)) from fault
        return self._document

    def _op_add(self, operation: Mapping[str, Any]) -> None:
        path = operation.get("path")
        if path is None:
            raise _Fault("add operation failed to decode path: missing value")
        container, key = self._container(path, f'add operation does not apply: doc is missing path: "{path}"')
        with _during(f"error in add for path: '{path}'"):
            _add(container, key, operation.get("value"))

    def _op_remove(self, operation: Mapping[str, Any]) -> None:
        path = operation.get("path")
        if path is None:
            raise _Fault("remove operation failed to decode path: missing value")
        container, key = self._container(path, f'remove operation does not apply: doc is missing path: "{path}"')
        with _during(f"error in remove for path: '{path}'"):
            _remove(container, key)

    def _op_replace(self, operation: Mapping[str, Any]) -> None:
        path = operation.get("path")
        value = operation.get("value")
        if path is None:
            raise _Fault("replace operation failed to decode path: operation missing path field: missing value")
        if path == "":
            if not isinstance(value, (dict, list)):
                raise _Fault("replace operation value must be object or array")
            self._document = value
            return
        container, key = self._container(path, f"replace operation does not apply: doc is missing path: {path}")
        if isinstance(container, dict):
            container[key] = value
            return
        with _during(f"replace operation does not apply: doc is missing key: {path}: missing value", final=True):
            container[_index(key, len(container))] = value

    def _op_move(self, operation: Mapping[str, Any]) -> None:
        source = operation.get("from")
        path = operation.get("path")
        if source is None:
            raise _Fault("move operation failed to decode from: operation, missing from field: missing value")
        container, key = self._container(source, f"move operation does not apply: doc is missing from path: {source}")
        with _during(f"error in move for path: '{key}'"):
            value = _get(container, key)
            _remove(container, key)
        if path is None:
            raise _Fault("move operation failed to decode path: operation missing path field: missing value")
        container, key = self._container(
            path, f"move operation does not apply: doc is missing destination path: {path}"
        )
        with _during(f"error in move for path: '{path}'"):
            _add(container, key, value)

    def _op_copy(self, operation: Mapping[str, Any]) -> None:
        source = operation.get("from")
        path = operation.get("path")
        if source is None:
            raise _Fault("copy operation failed to decode from: operation, missing from field: missing value")
        container, key = self._container(
            source, f"copy operation does not apply: doc is missing from path: {source}", write=False
        )
        with _during(f"error in copy for from: '{source}'"):
            value = _get(container, key)
        if path is None:
            raise _Fault("copy operation failed to decode path: missing value")
        container, key = self._container(
            path, f"copy operation does not apply: doc is missing destination path: {path}"
        )
        self._copied_bytes += len(msgspec.json.encode(value))
        if self._copied_bytes > MAX_COPIED_BYTES:
            raise _Fault(
                f"Unable to complete the copy, the accumulated size increase of copy is {self._copied_bytes}, "
                f"exceeding the limit {MAX_COPIED_BYTES}"
            )
        with _during("error while adding value during copy"):
            _add(container, key, value)
        # The value now hangs in two places: a later change below either must copy again.
        self._owned.clear()

    def _op_test(self, operation: Mapping[str, Any]) -> None:
        path = operation.get("path")
        if path is None:
            raise _Fault("test operation failed to decode path: operation missing path field: missing value")
        if path == "":
            found = self._document
        else:
            container, key = self._container(
                path, f"test operation does not apply: is missing path: {path}", write=False
            )
            with _during(f"error in test for path: '{path}'"):
                found = _get(container, key)
        if not same(found, operation.get("value")):
            raise _Fault(f"testing value {path} failed: test failed")

    def _container(self, path: str, missing: str, *, write: bool = True) -> tuple[Any, str]:
        """The container that holds the last part of ``path``, private to this run where it is to be written."""
        parts = path.split("/")
        if len(parts) < 2 or not isinstance(self._document, (dict, list)):
            raise _Fault(f"{missing}: missing value")
        current = self._document
        if write:
            current = self._document = self._own(current)
        for part in parts[1:-1]:
            key = _unescape(part)
            try:
                child = _get(current, key)
            except _Fault as fault:
                raise _Fault(f"{missing}: missing value") from fault
            if not isinstance(child, (dict, list)):
                raise _Fault(f"{missing}: missing value")
            if write:
                child = self._own(child)
                if isinstance(current, dict):
                    current[key] = child
                else:
                    current[_index(key, len(current))] = child
            current = child
        return current, _unescape(parts[-1])

    def _own(self, container: Any) -> Any:
        if id(container) in self._owned:
            return container
        copied = container.copy()
        self._owned[id(copied)] = copied
        return copied


class _during:
    """Prefixes a fault with what was being done; ``final`` leaves the inner reason out."""

    def __init__(self, doing: str, *, final: bool = False) -> None:
        self._doing = doing
        self._final = final

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _Fault):
            raise _Fault(self._doing if self._final else f"{self._doing}: {error}") from error


def _unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~") if "~" in part else part


def _parse_index(key: str) -> int:
    if not _INDEX.fullmatch(key):
        raise _Fault(f'strconv.Atoi: parsing "{key}": invalid syntax')
    if len(key) > 19:
        raise _Fault(f'strconv.Atoi: parsing "{key}": value out of range')
    return int(key)


def _index(key: str, length: int) -> int:
    """A position from 0 to ``length - 1``; negative ones count from the end."""
    index = _parse_index(key)
    if not -length <= index < length:
        raise _Fault(f"Unable to access invalid index: {index}: invalid index referenced")
    return index % length


def _get(container: Any, key: str) -> Any:
    """The member, None for an absent member of an object. Raises ``_Fault`` for an absent array element."""
    if isinstance(container, dict):
        return container.get(key)
    return container[_index(key, len(container))]


def _add(container: Any, key: str, value: Any) -> None:
    if isinstance(container, dict):
        container[key] = value
    elif key == "-":
        container.append(value)
    else:
        try:
            index = _parse_index(key)
        except _Fault as fault:
            raise _Fault(f"value was not a proper array index: '{key}': {fault}") from fault
        places = len(container) + 1
        if not -places <= index < places:
            raise _Fault(f"Unable to access invalid index: {index}: invalid index referenced")
        container.insert(index % places, value)


def _remove(container: Any, key: str) -> None:
    if isinstance(container, list):
        del container[_index(key, len(container))]
    elif container.pop(key, _ABSENT) is _ABSENT:
        raise _Fault(f"Unable to remove nonexistent key: {key}: missing value")


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: unlike Python's ``==``, ``true`` is not 1 and ``1.0`` is not 1."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    equal: bool = left == right
    return equal


def merge_patch(document: Object, patch: Any) -> Object:
    """``document`` after a JSON merge patch: objects merge, null removes, everything else replaces.

    Raises ``BadRequest`` where ``patch`` is not an object. Subtrees of both are shared with the result.
    """
    if not isinstance(patch, dict):
        raise BadRequest(
            f"error decoding patch: json: cannot unmarshal {_json_type(patch)} into Go value of type map[string]interface {{}}"
            if patch is not None
            else "Invalid JSON Patch"
        )
    try:
        return _merged(document, patch)
    except RecursionError as error:
        raise BadRequest("exceeded max depth") from error


def _merged(target: Mapping[str, Any], patch: Mapping[str, Any]) -> Object:
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            current = result.get(key)
            result[key] = _merged(current, value) if isinstance(current, dict) else _pruned(value)
        else:
            result[key] = value if isinstance(result.get(key), dict) else _pruned(value)
    return result


def _pruned(value: Any) -> Any:
    """What a patch adds where no object stands: members that are null are gone, also inside of arrays."""
    if isinstance(value, dict):
        return {key: _pruned(child) for key, child in value.items() if child is not None}
    if isinstance(value, list) and any(isinstance(child, (dict, list)) for child in value):
        return [_pruned(child) for child in value]
    return value
