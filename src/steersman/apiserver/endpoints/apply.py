"""Server-side apply: PATCH with a configuration of ``application/apply-patch+yaml``.

Source: KEP-555 and "Server-Side Apply" in the Kubernetes documentation.
"""

from __future__ import annotations

import msgspec

from steersman.apiserver import objectmeta, ownership, respond
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.creation import create_object
from steersman.apiserver.decoding import may_have_duplicates, patched_object
from steersman.apiserver.options import WriteOptions, write_options
from steersman.apiserver.served import Entity, Served
from steersman.apiserver.updating import Strategy, update_object
from steersman.meta.errors import BadRequest, Conflict
from steersman.meta.objects import Object
from steersman.meta.wire import Response

APPLY_PATCH = "application/apply-patch+yaml"
_decoder = msgspec.json.Decoder()


async def apply(api: API, served: Served, call: Call, strategy: Strategy) -> Response:
    """Apply the body to the part of the object that ``strategy`` allows; an absent object is created.

    Raises ``ApplyConflict``, ``BadRequest``, ``Invalid`` and whatever admission refuses with.
    """
    options = write_options(call, "PatchOptions", is_apply=True)
    config = configuration(call, options)

    def result(live: Object | None) -> Object:
        new = ownership.applied(api, served, call, live, config, options, strategy.subresource)
        return _brought_into_shape(served, call, new, live)

    async def create() -> Entity:
        obj = result(None)
        obj["metadata"].pop("resourceVersion", None)
        name, uid = call.info.name, obj["metadata"].get("uid")
        if uid:
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise Conflict.of(served.resource, name, why)
        return await create_object(api, served, call, obj, options, name=name, has_managed_fields=True)

    outcome = await update_object(
        api,
        served,
        call,
        result,
        options,
        strategy=strategy,
        create=None if strategy.subresource else create,
        has_managed_fields=True,
    )
    status = 201 if outcome.change == "created" else 200
    return respond.entity(call, served, outcome.entity, now_s=api.clock.now(), status=status)


def _brought_into_shape(served: Served, call: Call, result: Object, live: Object | None) -> Object:
    """What was applied as the kind's structure has it, as a copy of its own."""
    new = patched_object(served, result, live or {})
    metadata = new.setdefault("metadata", {})
    objectmeta.match_namespace(metadata, call.info.namespace, served.kind)
    objectmeta.match_name(metadata, call.info.name)
    return new


def configuration(call: Call, options: WriteOptions) -> Object:
    """The body: YAML, or JSON, which is YAML that is read faster. Raises ``BadRequest``.

    Keys that are twice in one mapping are refused, warned of or ignored, as ``fieldValidation`` says. Fields that the kind
    does not have are refused by the apply itself, whatever it says.
    """
    found = call.request.content if call.request.content is not None else _loaded(call, options)
    if not isinstance(found, dict):
        if found is None:
            return {}
        raise BadRequest(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal "
            f"{_json_type(found)} into Go value of type map[string]interface {{}}"
        )
    if call.audit is not None:
        call.audit.patched(found)
    return found


def _loaded(call: Call, options: WriteOptions) -> object:
    body = call.request.body
    if body[:1] == b"{":
        try:
            value = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if options.field_validation == "Ignore" or not may_have_duplicates(body, value):
                return value
    from steersman.apiserver import yamlbody

    try:
        value, duplicates = yamlbody.load(body)
    except yamlbody.YAMLError as error:
        raise BadRequest(f"error decoding YAML: error converting YAML to JSON: {error}") from error
    if duplicates and options.field_validation == "Strict":
        text = yamlbody.strict_error(duplicates)
        raise BadRequest(f"error strict decoding YAML: error converting YAML to JSON: {text}")
    if options.field_validation == "Warn":
        for duplicate in duplicates:
            call.warn(duplicate.text)
    return value


def _json_type(value: object) -> str:
    if isinstance(value, list):
        return "array"
    if isinstance(value, bool):
        return "bool"
    return "string" if isinstance(value, str) else "number"
