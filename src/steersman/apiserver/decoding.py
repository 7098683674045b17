"""From a request's body to an object of the kind that is wanted, failing as upstream fails.

The result is the caller's own: nothing else refers to it, so defaulting may change it in place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from steersman.apiserver import protobuf
from steersman.apiserver.call import Call
from steersman.apiserver.jsonsyntax import END, syntax_error
from steersman.apiserver.negotiation import JSON, PROTOBUF, body_media_type
from steersman.apiserver.options import FieldValidation
from steersman.apiserver.served import ObjectStructure, Served
from steersman.meta.errors import BadRequest, Invalid, invalid
from steersman.meta.objects import Object
from steersman.schema import strictness
from steersman.schema.structural import cannot_be_handled, strict_decoding_error

if TYPE_CHECKING:
    from steersman.apiserver.yamlbody import Duplicate

_SCHEME = "pkg/api/legacyscheme/scheme.go:30"
_VERSION_AND_KIND = (
    r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
)
_POSITION = re.compile(r"\(byte (\d+)\)")
_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


class Expected(Struct, frozen=True, kw_only=True):
    """The kind a body must have. ``is_registered`` tells whether another kind is known at all."""

    group: str
    version: str
    kind: str
    structure: Callable[[], ObjectStructure]
    is_registered: Callable[[str, str], bool]
    is_custom: bool = False
    also_accepted: Sequence[str] = ()
    """Other apiVersions whose bodies have the same shape and are taken as this one."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


class Parsed(Struct, frozen=True):
    """A body as JSON values, with what strict validation needs of its text."""

    value: Any
    suspect: bytes = b""
    """The JSON text, where it may have a key twice."""
    duplicates: Sequence[Duplicate] = ()
    """Keys that are twice in a YAML body."""

    def strict_errors(self, unknown: list[str]) -> list[str]:
        """All unknown and duplicate fields, in upstream's words."""
        if self.suspect:
            return strictness.strict_errors(self.suspect, unknown)
        found: list[str] = []
        if self.duplicates:
            from steersman.apiserver import yamlbody

            found.append(yamlbody.strict_error(self.duplicates))
        found += map(strictness.unknown_field, dict.fromkeys(unknown))
        return found[: strictness.MAX_STRICT_ERRORS]


def private_copy(value: Any) -> Any:
    """A deep copy of JSON values."""
    if isinstance(value, dict):
        return {key: private_copy(child) if child.__class__ in _CONTAINERS else child for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [private_copy(child) if child.__class__ in _CONTAINERS else child for child in value]
    return value


def private_object(obj: Object) -> Object:
    """A deep copy of an API object but for its managed fields, whose entries nobody ever changes."""
    entries = (obj.get("metadata") or {}).get("managedFields")
    if not entries:
        copy: Object = private_copy(obj)
        return copy
    bare = {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}
    copy = private_copy(bare)
    copy["metadata"]["managedFields"] = entries
    return copy


def patched_object(served: Served, result: Object, old: Object, unknown: list[str] | None = None) -> Object:
    """What a patch made of ``old``, in its kind's structure and as a copy of its own; paths of unknown fields are appended.

    Fields that the patch left alone stay those of ``old``: they got their structure and their defaults when they were
    written, so that nobody changes them below their first level, which updating copies. Custom resources are decoded whole,
    by the schema that they have now. Raises ``BadRequest``.
    """
    if not served.has_lasting_structure:
        return private_object(served.structure.decode(result, unknown))
    changed = {field: value for field, value in result.items() if value is not old.get(field)}
    own = private_object(served.structure.decode(changed, unknown))
    return {
        field: own[field] if field in changed else value
        for field, value in result.items()
        if field not in changed or field in own
    }


def replaced_object(served: Served, new: Object, old: Object) -> Object:
    """``new`` with the specification and the status of ``old`` where they are written alike: whoever compares the two later
    sees at once that they are the same. Bytes are compared, too, as Python takes 1 for true."""
    if not served.has_lasting_structure:
        return new
    shared = {
        field: old[field]
        for field in ("spec", "status")
        if isinstance(new.get(field), dict)
        and new[field] == old.get(field)
        and _encoder.encode(new[field]) == _encoder.encode(old[field])
    }
    return {**new, **shared} if shared else new


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("metadata"), dict)


_CONTAINERS = frozenset({dict, list, tuple})


def parse_body(call: Call, media_type: str, *, what: str, find_duplicates: bool, api_version: str = "v1") -> Parsed:
    """The body as JSON values. Raises ``BadRequest``; ``what`` is the kind it should be, of ``api_version``."""
    request = call.request
    if request.content is not None:
        content = request.content
        return Parsed(private_object(content) if _is_object(content) else private_copy(content))
    body = request.body
    if media_type == PROTOBUF:
        return Parsed(_parse_protobuf(body, api_version, what))
    if media_type != JSON:
        from steersman.apiserver import yamlbody

        try:
            value, duplicates = yamlbody.load(body)
        except yamlbody.YAMLError as error:
            raise _unrecognized(what, str(error), body) from error
        return Parsed(value, duplicates=duplicates if find_duplicates else ())
    try:
        value = _decoder.decode(body)
    except RecursionError as error:
        raise _unrecognized(what, "couldn't get version/kind; json parse error: exceeded max depth", body) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = f"couldn't get version/kind; json parse error: {json_error(body, error)}"
        raise _unrecognized(what, text, body) from error
    return Parsed(value, body if find_duplicates and may_have_duplicates(body, value) else b"")


def decode(call: Call, expected: Expected, validation: FieldValidation) -> Object:
    """The body as an object of ``expected``; unknown and duplicate fields are refused, warned of or ignored.

    Raises ``BadRequest`` and ``UnsupportedMediaType``.
    """
    content_type = call.header("content-type")
    has_protobuf = PROTOBUF not in content_type or protobuf.has_message(expected.api_version, expected.kind)
    parsed = parse_body(
        call,
        body_media_type(content_type, has_protobuf),
        what=expected.kind,
        api_version=expected.api_version,
        find_duplicates=validation != "Ignore",
    )
    obj = typed(call, parsed, expected, validation)
    if call.audit is not None:
        call.audit.requested(obj)
    return obj


def _parse_protobuf(body: bytes, api_version: str, kind: str) -> Object:
    """A body in protobuf. A kind that has no such form comes back empty: that it is the wrong one is said elsewhere."""
    try:
        return protobuf.decode(body, api_version, kind)
    except protobuf.Malformed as error:
        if error.kind:
            version = error.api_version.rpartition("/")[2]
            raise cannot_be_handled(error.kind, version, kind, str(error)) from error
        raise _unrecognized(kind, str(error), body) from error


def typed(call: Call, parsed: Parsed, expected: Expected, validation: FieldValidation) -> Object:
    """``parsed`` as an object of ``expected``: kind checked, types checked, unknown fields out."""
    value = {} if parsed.value is None else parsed.value
    shown = call.request.body or _encoder.encode(value)
    if not isinstance(value, dict):
        why = f"couldn't get version/kind; json parse error: json: cannot unmarshal {_go_type(value)} into Go value of type "
        raise _unrecognized(expected.kind, why + _VERSION_AND_KIND, shown)
    _check_kind(value, expected, shown, must_say=expected.is_custom and call.request.content is None)
    unknown: list[str] | None = None if validation == "Ignore" else []
    try:
        decoded: Object = expected.structure().decode(value, unknown)
    except BadRequest as error:
        raise cannot_be_handled(expected.kind, expected.version, expected.kind, error.message) from error
    strict = [] if unknown is None else parsed.strict_errors(unknown)
    if strict and validation == "Strict":
        raise cannot_be_handled(expected.kind, expected.version, expected.kind, strict_decoding_error(strict))
    for text in strict:
        call.warn(text)
    decoded["apiVersion"] = expected.api_version
    decoded["kind"] = expected.kind
    return decoded


def _check_kind(value: Mapping[str, Any], expected: Expected, body: bytes, *, must_say: bool) -> None:
    """``must_say``: built-in kinds are known by their path, custom ones have to be named."""
    api_version, kind = (_text(value, field, expected, body) for field in ("apiVersion", "kind"))
    if must_say and not (api_version and kind):
        field = "apiVersion" if kind else "Kind"
        raise _unrecognized(expected.kind, f"Object '{field}' is missing in '{body.decode(errors='replace')}'", body)
    if api_version.count("/") > 1:
        raise _unrecognized(expected.kind, f"unexpected GroupVersion string: {api_version}", body)
    version = api_version or expected.api_version
    if (not kind or kind == expected.kind) and (version == expected.api_version or version in expected.also_accepted):
        return
    if expected.is_custom and version == expected.api_version:
        raise Invalid.of(
            expected.kind, expected.group, _name_of(value), [invalid("kind", kind, f"must be {expected.kind}")]
        )
    kind = kind or expected.kind
    short = version.rpartition("/")[2]
    if expected.is_custom or (kind == expected.kind and expected.is_registered(version, kind)):
        raise BadRequest(
            f"the API version in the data ({version}) does not match the expected API version ({expected.api_version})"
        )
    why = mismatch(version, kind, expected)
    raise BadRequest(f'{kind} in version "{short}" cannot be handled as a {expected.kind}: {why}')


def _name_of(value: Mapping[str, Any]) -> str:
    metadata = value.get("metadata")
    return str(metadata.get("name") or "") if isinstance(metadata, dict) else ""


def mismatch(api_version: str, kind: str, expected: Expected) -> str:
    """Why an object of that kind is none of ``expected``."""
    if not expected.is_registered(api_version, kind):
        return f'no kind "{kind}" is registered for version "{api_version}" in scheme "{_SCHEME}"'
    package = expected.group.partition(".")[0] or "core"
    short = api_version.rpartition("/")[2]
    return f"converting ({short}.{kind}) to ({package}.{expected.kind}): unknown conversion"


def _text(value: Mapping[str, Any], field: str, expected: Expected, body: bytes) -> str:
    found = value.get(field) or ""
    if isinstance(found, str):
        return found
    why = f"json: cannot unmarshal {_go_type(found)} into Go struct field .{field} of type string"
    raise _unrecognized(expected.kind, f"couldn't get version/kind; json parse error: {why}", body)


def _go_type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list() | tuple():
            return "array"
        case _:
            return "object"


def _unrecognized(kind: str, why: str, body: bytes) -> BadRequest:
    return BadRequest(f"the object provided is unrecognized (must be of type {kind}): {why} ({_summary(body)})")


def _summary(body: bytes, limit: int = 30) -> str:
    if not body:
        return "<empty>"
    shown = body[:limit].decode(errors="replace") if body[:1] == b"{" else body[:limit].hex()
    return f"{shown} ..." if len(body) > limit else shown


def json_error(body: bytes, error: Exception) -> str:
    """What is wrong with malformed JSON, as Go's decoder says it."""
    if found := syntax_error(body):
        return found
    text = str(error)
    if isinstance(error, UnicodeDecodeError) or "utf-8" in text.lower() or "unicode" in text or "surrogate" in text:
        return "invalid UTF-8 in string"
    if "out of range" in text:
        return "json: cannot unmarshal number into Go value of type float64"
    if "truncated" in text:
        return END
    place = _POSITION.search(text)
    position = int(place.group(1)) if place else 0
    while position < len(body) and body[position : position + 1].isspace():
        position += 1
    if position >= len(body):
        return END
    return f"invalid character {chr(body[position])!r} looking for beginning of value"


def may_have_duplicates(body: bytes, value: Any) -> bool:
    """Compact JSON that is as long as its decoded value written anew has lost no member (5 µs against 100)."""
    return len(_encoder.encode(value)) != len(body.strip())
