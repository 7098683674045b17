"""The JSON patch of a mutating webhook, applied to the object that the webhook saw."""

from __future__ import annotations

from typing import Any

import msgspec

from steersman.apiserver.admission.matching import GroupVersionKind, Versions
from steersman.apiserver.admission.webhooks.refusals import CallingFailed, internal
from steersman.apiserver.admission.webhooks.review import JSON_PATCH, Answer
from steersman.meta.errors import APIError, BadRequest, InternalError, Invalid, invalid
from steersman.meta.objects import Object
from steersman.meta.patches import PatchDoesNotApply, json_patch
from steersman.meta.quoting import quoted
from steersman.schema.kind import Kind

_decoder = msgspec.json.Decoder()


def operations_of(hook: str, answer: Answer) -> list[Any]:
    """The operations of the patch; none where there is no patch. Raises ``CallingFailed``."""
    if not answer.patch:
        return []
    try:
        operations = _decoder.decode(answer.patch)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _undecodable(hook, error) from error
    if not isinstance(operations, list):
        raise _undecodable(hook, "json: cannot unmarshal into Go value of type jsonpatch.Patch")
    if operations and answer.patch_type != JSON_PATCH:
        raise CallingFailed(hook, f"unsupported patch type {quoted(answer.patch_type)}", 400)
    return operations


def _undecodable(hook: str, why: object) -> CallingFailed:
    return CallingFailed(hook, f"received undecodable patch in webhook response: {why}", 503)


def patched(
    hook: str, obj: Object | None, operations: list[Any], *, kind: Kind, of: GroupVersionKind, versions: Versions
) -> Object:
    """``obj``, which is a ``of``, after the operations, decoded and with defaults. Raises ``InternalError`` and ``Invalid``."""
    if obj is None:
        raise internal(
            f"admission webhook {quoted(hook)} attempted to modify the object, which is not supported for this operation"
        )
    try:
        result = json_patch(obj, operations)
    except PatchDoesNotApply as error:
        raise internal(error) from error
    except BadRequest as error:
        raise _undecodable(hook, error.message) from error
    except APIError as error:
        raise internal(error.message) from error
    if not isinstance(result, dict):
        raise internal(f"admission webhook {quoted(hook)} replaced the object by something else")
    _check_kind(result, obj, kind)
    try:
        return versions.decode(kind, result, of)
    except (BadRequest, InternalError) as error:
        raise internal(error.message) from error


def _check_kind(result: Object, obj: Object, kind: Kind) -> None:
    """A patch changes no object into one of another kind."""
    wrong = [field for field in ("apiVersion", "kind") if result.get(field) != obj.get(field)]
    if not wrong:
        return
    if not kind.is_custom:
        raise internal(
            f"unable to convert an object of {obj.get('apiVersion')}, Kind={obj.get('kind')} to "
            f"{result.get('apiVersion')}, Kind={result.get('kind')}"
        )
    resource, name = kind.resource, str((obj.get("metadata") or {}).get("name") or "")
    errors = [invalid(field, result.get(field), f"must be {obj.get(field)}") for field in wrong]
    raise Invalid.of(resource.kind, resource.group, name, errors)
