"""PATCH of an object or of a part of it: JSON patch, JSON merge patch, strategic merge patch; ``apply.py`` has the fourth."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from steersman.apiserver import objectmeta, respond
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.decoding import Expected, Parsed, json_error, may_have_duplicates, mismatch, patched_object
from steersman.apiserver.endpoints.api import Endpoint, expected_kind
from steersman.apiserver.endpoints.apply import APPLY_PATCH, apply
from steersman.apiserver.negotiation import unsupported
from steersman.apiserver.options import WriteOptions, write_options
from steersman.apiserver.served import Served
from steersman.apiserver.updating import MAIN, STATUS, Strategy, update_object
from steersman.meta.errors import BadRequest, Invalid, UnsupportedMediaType, invalid
from steersman.meta.objects import Object
from steersman.meta.patches import json_patch, json_patch_strict_errors, merge_patch
from steersman.meta.wire import Response
from steersman.schema.strategic import go_value, strategic_merge
from steersman.schema.structural import strict_decoding_error

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
_ACCEPTED = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH)
_ACCEPTED_WITHOUT_STRATEGIC_MERGE = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)

_CANNOT_UNMARSHAL = re.compile(
    r"json: cannot unmarshal (\w+)(?: (\S+))? into Go (?:struct field \S+|value) of type (.+)"
)
_GO_KINDS: Mapping[str, str] = {"array": "slice", "object": "map"}
_GO_SCALARS = frozenset({"string", "bool", "int", "int32", "int64", "float64"})

Patch = Callable[[Object], Object]
_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def patching(strategy: Strategy) -> Endpoint:
    """The endpoint that patches what ``strategy`` allows."""

    async def patch(api: API, served: Served, call: Call) -> Response:
        respond.wanted(call, served)
        definition = served.kind.definition if served.has_strategic_merge else ""
        if check_media_type(call, definition, is_built_in=not served.kind.is_custom) == APPLY_PATCH:
            return await apply(api, served, call, strategy)
        options = write_options(call, "PatchOptions")
        body = mechanism(call, options, definition)
        transform = patched(served, call, body, options, expected_kind(api, served))
        outcome = await update_object(api, served, call, transform, options, strategy=strategy)
        return respond.entity(call, served, outcome.entity, now_s=api.clock.now())

    return patch


def patched(served: Served, call: Call, patch: Mechanism, options: WriteOptions, expected: Expected) -> Patch:
    """Apply a patch and bring the outcome into the kind's structure, as a copy of its own."""

    def transform(old: Object) -> Object:
        result = patch.apply(old)
        kind = {field: result.get(field) or old[field] for field in ("apiVersion", "kind")}
        if patch.keeps_kind:
            result = {**result, "apiVersion": old["apiVersion"], "kind": old["kind"]}
        elif kind["apiVersion"] != old["apiVersion"] or kind["kind"] != old["kind"]:
            raise _invalid_patch(patch, result, mismatch(kind["apiVersion"], kind["kind"], expected))
        unknown: list[str] = []
        try:
            new = patched_object(served, result, old, unknown)
        except BadRequest as error:
            raise _invalid_patch(patch, result, error.message) from error
        check_strictly(call, options, patch, result, unknown)
        metadata = new.setdefault("metadata", {})
        objectmeta.match_namespace(metadata, call.info.namespace, served.kind)
        objectmeta.match_name(metadata, call.info.name)
        return new

    return transform


def check_strictly(call: Call, options: WriteOptions, patch: Mechanism, result: Object, unknown: list[str]) -> None:
    """Refuse or warn of what strict validation finds in the patch and in its outcome. Raises ``Invalid``."""
    texts = [*patch.strict, *Parsed(result).strict_errors(unknown)]
    if texts and options.field_validation == "Strict":
        raise _invalid_patch(patch, result, strict_decoding_error(texts))
    if options.field_validation == "Warn":
        for text in texts:
            call.warn(text)


def _invalid_patch(patch: Mechanism, result: Object, why: str) -> Invalid:
    """Upstream decodes what most patches give; a strategic merge patch it brings into the kind's Go type directly."""
    if patch.strategic is None:
        return Invalid.of("", "", "", [invalid("patch", _encoder.encode(result).decode(), why)])
    return Invalid.of("", "", "", [invalid("patch", go_value(patch.strategic), _restoring(why))])


def _restoring(why: str) -> str:
    """A failure to decode, in the words of upstream's conversion from maps."""
    match = _CANNOT_UNMARSHAL.fullmatch(why)
    if match is None:
        return why
    found, number, wanted = match.groups()
    is_fraction = bool(number) and not number.lstrip("-").isdigit()
    found = ("float64" if is_fraction else "int64") if found == "number" else _GO_KINDS.get(found, found)
    if wanted.startswith("map["):
        return f"cannot restore map from {found}"
    if wanted.startswith("[]"):
        return f"cannot restore slice from {found}"
    if wanted in _GO_SCALARS:
        return f"cannot convert {found} to {wanted}" if is_fraction else f"unrecognized type: {wanted}"
    return f"cannot restore struct from: {found}"


def check_media_type(call: Call, definition: str, *, is_built_in: bool = False) -> str:
    """The kind of patch. Raises ``UnsupportedMediaType``, for built-in kinds in the words of upstream's router."""
    media_type = call.header("content-type").partition(";")[0].strip().lower()
    accepted = _ACCEPTED if definition else _ACCEPTED_WITHOUT_STRATEGIC_MERGE
    if media_type not in accepted:
        if is_built_in:
            raise UnsupportedMediaType("415: Unsupported Media Type", details={})
        raise unsupported(accepted)
    return media_type


class Mechanism(Struct, frozen=True, kw_only=True):
    """What a patch's body does to an object."""

    apply: Patch
    strict: Sequence[str]
    """What strict validation says of the body itself."""
    strategic: Object | None = None
    """The strategic merge patch, where it is one."""
    keeps_kind: bool = False
    """The object's apiVersion and kind are no part of what is patched."""


def mechanism(call: Call, options: WriteOptions, definition: str) -> Mechanism:
    """What the body does to an object, of the types other than apply. ``definition`` directs strategic merge patches; empty where there are none.

    Raises ``UnsupportedMediaType``, ``BadRequest`` and ``Invalid``.
    """
    media_type = check_media_type(call, definition)
    parsed = _document(call)
    document = parsed.value
    if call.audit is not None:
        call.audit.patched(document)
    strict = parsed.strict_errors([]) if options.field_validation != "Ignore" else []
    if media_type == JSON_PATCH:
        strict = [f"json patch {text}" for text in strict]
        if options.field_validation != "Ignore":
            strict += json_patch_strict_errors(document)
    if media_type == JSON_PATCH:
        return Mechanism(apply=lambda old: json_patch(old, document), strict=strict)
    if media_type == MERGE_PATCH:
        return Mechanism(apply=lambda old: merge_patch(old, document), strict=strict)
    return Mechanism(
        apply=lambda old: strategic_merge(old, document, definition), strict=strict, strategic=document, keeps_kind=True
    )


def _document(call: Call) -> Parsed:
    """The patch; it is the server's own or in no danger of being changed."""
    request = call.request
    if request.content is not None:
        return Parsed(request.content)
    body = request.body
    try:
        document = _decoder.decode(body)
        return Parsed(document, body if may_have_duplicates(body, document) else b"")
    except RecursionError as error:
        raise BadRequest("error decoding patch: exceeded max depth") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"error decoding patch: {json_error(body, error)}") from error


patch = patching(MAIN)
patch_status = patching(STATUS)
