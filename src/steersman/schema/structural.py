"""Structure of objects: each definition compiled once, on first use, into closures that decode values of its type.

Decoding an object checks the types of its fields, drops unknown fields, leaves out and fills in zero values and nulls as Go
does (``zerovalues``), and brings scalars into the form in which upstream writes them back (quantities, times, base64). An
object that is right already comes back as itself; otherwise only the containers on changed paths are new. Words of errors are those of kube-apiserver's JSON decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from steersman.meta.errors import BadRequest, FieldError
from steersman.meta.errors import required as required_error
from steersman.meta.objects import Object
from steersman.schema import definitions, scalars, zerovalues
from steersman.schema.definitions import Definition
from steersman.schema.gotypes import go_type, named_type
from steersman.schema.scalars import Decoder, Fault, mismatch

_JSON_SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"


class Structure:
    """One definition, compiled. ``compiled`` gives the one of a name."""

    __slots__ = ("_decode", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._decode = _decoder_of(name)

    def decode(self, obj: Any, unknown: list[str] | None = None) -> Any:
        """``obj`` as it is to be stored; paths of unknown fields are appended to ``unknown`` (``spec.containers[0].foo``).

        Raises ``BadRequest`` with the text that upstream's decoder would give.
        """
        try:
            return self._decode(obj, unknown)
        except Fault as fault:
            raise BadRequest(str(fault)) from fault
        except RecursionError as error:
            raise BadRequest("exceeded max depth") from error

    def check(self, obj: Any) -> tuple[list[str], list[str]]:
        """(decode errors: none or the first one, paths of unknown fields)."""
        unknown: list[str] = []
        try:
            self.decode(obj, unknown)
        except BadRequest as error:
            return [error.message], []
        return [], unknown

    def prune(self, obj: Any) -> Any:
        """``obj`` without unknown fields and nulls. Raises ``BadRequest`` where a type is wrong."""
        return self.decode(obj)

    def required_errors(self, obj: Any, path: str = "") -> list[FieldError]:
        """Fields that the definition requires and ``obj`` lacks.

        Upstream reports missing fields of built-in kinds by hand-written validation; this is for kinds without one. A
        required list or string that is empty counts as absent, as it does for Go's ``omitempty``.
        """
        errors: list[FieldError] = []
        _missing({"$ref": definitions.DEFINITION_PREFIX + self.name}, obj, path, errors)
        return errors


@cache
def compiled(name: str) -> Structure:
    """The structure of a definition. Raises ``definitions.UnknownDefinition``."""
    return Structure(name)


def strict_decoding_error(errors: list[str]) -> str:
    """``strict decoding error: unknown field "spec.foo", duplicate field "spec.bar"``."""
    return f"strict decoding error: {', '.join(errors)}"


def cannot_be_handled(kind: str, version: str, expected: str, why: str) -> BadRequest:
    """A body that cannot be decoded: ``Pod in version "v1" cannot be handled as a Pod: <why>``.

    ``version`` is the object's apiVersion, ``expected`` the kind that the endpoint takes.
    """
    return BadRequest(f'{kind} in version "{version}" cannot be handled as a {expected}: {why}')


@cache
def _decoder_of(name: str) -> Decoder:
    """The decoder of a definition."""
    special = _SPECIAL.get(name)
    if special is not None:
        return special()
    schema = definitions.definition(name)
    return _struct_decoder(name, schema) if "properties" in schema else _value_decoder(schema)


def _value_decoder(schema: Definition, compiled: Callable[[Decoder], None] | None = None) -> Decoder:
    """The decoder of a field, an element or a value of a map; ``compiled`` as of ``_lazy``."""
    name = definitions.reference(schema)
    if name:
        return _lazy(name, compiled) if "properties" in definitions.definition(name) else _decoder_of(name)
    kind = schema.get("type")
    if kind == "string":
        return scalars.decode_bytes if schema.get("format") == "byte" else scalars.decode_string
    if kind == "integer":
        return scalars.integer_decoder(go_type(schema))
    if kind == "boolean":
        return scalars.decode_boolean
    if kind == "number":
        return scalars.decode_number
    if kind == "array":
        return _list_decoder(schema)
    if kind == "object" and "additionalProperties" in schema:
        return _map_decoder(schema)
    return scalars.decode_anything


def _lazy(name: str, compiled: Callable[[Decoder], None] | None = None) -> Decoder:
    """Compiles the definition when a first value of it is met: definitions refer to themselves, and most are never met.

    ``compiled`` is given what came of it, to be called directly from then on.
    """
    target: Decoder | None = None

    def decode_reference(value: Any, unknown: list[str] | None) -> Any:
        nonlocal target
        if target is None:
            target = _decoder_of(name)
            if compiled is not None:
                compiled(target)
        return target(value, unknown)

    return decode_reference


def _struct_decoder(name: str, schema: Definition) -> Decoder:
    struct = name.rpartition(".")[2]
    type_name = go_type({"$ref": definitions.DEFINITION_PREFIX + name})
    decoders: dict[str, Decoder] = {}
    plain: dict[str, type] = {}
    for field, field_schema in schema["properties"].items():
        decoder = decoders[field] = _value_decoder(field_schema, partial(decoders.__setitem__, field))
        if decoder is scalars.decode_string:
            plain[field] = str
        elif decoder is scalars.decode_boolean:
            plain[field] = bool
    zeros = zerovalues.of_definition(name)
    omitted, written, null = zeros.omitted, zeros.written, zeros.null
    plain_type = plain.get
    decoder_of = decoders.get

    def decode_struct(value: Any, unknown: list[str] | None) -> Any:
        if type(value) is not dict:
            raise mismatch(value, type_name)
        changed: Object | None = None
        for key, child in value.items():
            if child and type(child) is plain_type(key):
                continue
            decoder = decoder_of(key)
            if decoder is None or child is None or (not child and _is_same(child, omitted.get(key))):
                if child is None and key in null:
                    continue
                if decoder is None and unknown is not None:
                    unknown.append(key)
                if changed is None:
                    changed = value.copy()
                del changed[key]
                continue
            before = 0 if unknown is None else len(unknown)
            try:
                decoded = decoder(child, unknown)
            except Fault as fault:
                fault.within(struct, key, named_type(name, key))
                raise
            if unknown and len(unknown) != before:
                unknown[before:] = [_below(key, path) for path in unknown[before:]]
            if decoded is not child:
                if changed is None:
                    changed = value.copy()
                changed[key] = decoded
        for key, zero in written:
            if value.get(key) is None:
                if changed is None:
                    changed = value.copy()
                changed[key] = zero()
        for key in null:
            if key not in value:
                if changed is None:
                    changed = value.copy()
                changed[key] = None
        return value if changed is None else changed

    return decode_struct


def _is_same(value: Any, zero: Any) -> bool:
    return type(value) is type(zero) and value == zero


def _below(parent: str, path: str) -> str:
    return f"{parent}{path}" if path.startswith("[") else f"{parent}.{path}"


def _zero(schema: Definition) -> Any:
    """What Go's decoder makes of null where an element must be: the zero value of its type."""
    name = definitions.reference(schema)
    if name == definitions.QUANTITY:
        return "0"
    if name == definitions.INT_OR_STRING:
        return 0
    kind = definitions.resolve(schema).get("type")
    if kind == "object":
        return {}
    return {"string": "", "integer": 0, "boolean": False, "number": 0, "array": []}.get(str(kind))


def _list_decoder(schema: Definition) -> Decoder:
    type_name = go_type(schema)
    items = schema["items"]
    zero = _zero(items)
    decode_item: Decoder = scalars.decode_anything

    def compiled(target: Decoder) -> None:
        nonlocal decode_item
        decode_item = target

    decode_item = _value_decoder(items, compiled)
    strings = decode_item is scalars.decode_string

    def decode_list(value: Any, unknown: list[str] | None) -> Any:
        if type(value) is not list:
            raise mismatch(value, type_name)
        changed: list[Any] | None = None
        for index, item in enumerate(value):
            if strings and type(item) is str:
                continue
            before = 0 if unknown is None else len(unknown)
            decoded = decode_item(zero if item is None else item, unknown)
            if unknown and len(unknown) != before:
                unknown[before:] = [_below(f"[{index}]", path) for path in unknown[before:]]
            if decoded is not item:
                if changed is None:
                    changed = value.copy()
                changed[index] = decoded
        return value if changed is None else changed

    return decode_list


def _map_decoder(schema: Definition) -> Decoder:
    type_name = go_type(schema)
    values = schema["additionalProperties"]
    decode_value = _value_decoder(values)
    zero = _zero(values)
    strings = decode_value is scalars.decode_string

    def decode_map(value: Any, unknown: list[str] | None) -> Any:
        if type(value) is not dict:
            raise mismatch(value, type_name)
        changed: Object | None = None
        for key, child in value.items():
            if strings and type(child) is str:
                continue
            before = 0 if unknown is None else len(unknown)
            decoded = decode_value(zero if child is None else child, unknown)
            if unknown and len(unknown) != before:
                unknown[before:] = [_below(key, path) for path in unknown[before:]]
            if decoded is not child:
                if changed is None:
                    changed = value.copy()
                changed[key] = decoded
        return value if changed is None else changed

    return decode_map


def _schema_or_bool() -> Decoder:
    """JSONSchemaPropsOrBool of CustomResourceDefinitions."""
    decode_schema = _lazy(_JSON_SCHEMA)

    def decode(value: Any, unknown: list[str] | None) -> Any:
        if isinstance(value, dict):
            return decode_schema(value, unknown)
        if isinstance(value, bool):
            return value
        raise Fault("boolean or JSON schema expected")

    return decode


def _schema_or_array() -> Decoder:
    """JSONSchemaPropsOrArray of CustomResourceDefinitions."""
    decode_schema = _lazy(_JSON_SCHEMA)
    decode_schemas = _list_decoder({"type": "array", "items": {"$ref": definitions.DEFINITION_PREFIX + _JSON_SCHEMA}})

    def decode(value: Any, unknown: list[str] | None) -> Any:
        return decode_schema(value, unknown) if isinstance(value, dict) else decode_schemas(value, unknown)

    return decode


def _schema_or_strings() -> Decoder:
    """JSONSchemaPropsOrStringArray of CustomResourceDefinitions."""
    decode_schema = _lazy(_JSON_SCHEMA)
    decode_strings = _list_decoder({"type": "array", "items": {"type": "string"}})

    def decode(value: Any, unknown: list[str] | None) -> Any:
        return decode_schema(value, unknown) if isinstance(value, dict) else decode_strings(value, unknown)

    return decode


_SPECIAL: Mapping[str, Callable[[], Decoder]] = {
    definitions.QUANTITY: lambda: scalars.decode_quantity,
    definitions.INT_OR_STRING: lambda: scalars.decode_int_or_string,
    definitions.TIME: lambda: scalars.decode_time,
    definitions.MICRO_TIME: lambda: scalars.decode_micro_time,
    definitions.FIELDS_V1: lambda: scalars.decode_anything,
    definitions.RAW_EXTENSION: lambda: scalars.decode_anything,
    f"{_JSON_SCHEMA}OrBool": _schema_or_bool,
    f"{_JSON_SCHEMA}OrArray": _schema_or_array,
    f"{_JSON_SCHEMA}OrStringArray": _schema_or_strings,
}


def _missing(schema: Definition, value: Any, path: str, errors: list[FieldError]) -> None:
    resolved = definitions.resolve(schema)
    if isinstance(value, list):
        for index, item in enumerate(value):
            _missing(resolved.get("items", {}), item, f"{path}[{index}]", errors)
    elif isinstance(value, dict):
        properties = resolved.get("properties", {})
        errors.extend(
            required_error(f"{path}.{field}" if path else field)
            for field in resolved.get("required", ())
            if value.get(field) in (None, "", [])
        )
        for key, child in value.items():
            below = properties.get(key)
            if below is not None:
                _missing(below, child, f"{path}.{key}" if path else key, errors)
            elif "additionalProperties" in resolved:
                _missing(resolved["additionalProperties"], child, f"{path}[{key}]", errors)
