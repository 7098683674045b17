"""Types of variables from OpenAPI schemas, as kube-apiserver derives them for rules of CRDs and admission policies.

A schema also says how large a value can be, on which estimated costs rest, and which strings and numbers are to become
timestamps, durations, bytes and doubles. https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from steersman.cel import types
from steersman.cel.conversions import parse_duration, parse_timestamp
from steersman.cel.effort import ELEMENTS_PER_STEP, METER
from steersman.cel.errors import EvaluationError
from steersman.cel.operators import timestamp
from steersman.cel.types import Type
from steersman.cel.values import Duration, MapList, OptionalValue, SetList, Value

MAX_REQUEST_BYTES = 3 * 1024 * 1024
_DURATION_BYTES = _DATETIME_BYTES = 32
_DATE_BYTES = 12
_RESERVED = frozenset(
    {
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
        "let", "loop", "package", "namespace", "return", "var", "void", "while",
    }
)  # fmt: skip
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_UNESCAPES = {"underscores": "__", "dot": ".", "dash": "-", "slash": "/"}

Adapter: TypeAlias = Callable[[Value], Value]
Schema: TypeAlias = Mapping[str, Any]
"""An OpenAPI v3 schema as JSON: of a CRD, or of a built-in kind with its references resolved."""


def escape(name: str) -> str | None:
    """A property's name as an identifier; None if expressions cannot reach it."""
    if not name or name[0].isdigit() or not re.fullmatch(r"[A-Za-z0-9_./-]+", name, re.ASCII):
        return None
    if name in _RESERVED:
        return f"__{name}__"
    return re.sub(r"__|[-./]", lambda match: _ESCAPES[match.group()], name)


def property_name(identifier: str) -> str:
    """The property that an identifier stands for; what is no escape stands for itself."""
    if "__" not in identifier:
        return identifier

    def plain(match: re.Match[str]) -> str:
        inside = match.group(1)
        if inside in _RESERVED and match.group() == identifier:
            return inside
        return _UNESCAPES.get(inside, match.group())

    return re.sub(r"__([^_]+)__", plain, identifier)


class Declared(Struct, frozen=True, kw_only=True):
    """The type of a variable or of a place below it."""

    type: Type
    max_elements: int = 0
    """The longest that a string, list or map can be; 0 for what has no length."""
    min_bytes: int = 1
    """The shortest that it can be as JSON."""
    element: Declared | None = None
    """Of a list or map."""
    fields: Mapping[str, Declared] | None = None
    """Of an object, by identifier."""
    adapt: Adapter | None = None
    """Brings JSON into the type; None: it is already."""
    keeps_nulls: bool = False
    """Of an object whose fields are always there, null or not; in others a field that is null counts as absent."""

    def field(self, identifier: str) -> Declared | None:
        if self.fields is None:
            return None
        return self.fields.get(identifier) or self.fields.get(f"__{identifier}__" if identifier in _RESERVED else "")

    def optional(self) -> Declared:
        """An optional of this, as ``oldSelf`` is where ``optionalOldSelf`` is set."""
        adapt = self.adapt

        def adapted(value: Value) -> Value:
            if adapt is None or not isinstance(value, OptionalValue) or not value.present:
                return value
            return OptionalValue(adapt(value.value))

        return Declared(
            type=types.optional_of(self.type), max_elements=self.max_elements, adapt=None if adapt is None else adapted
        )

    def named(self, name: str) -> Declared:
        """With names for all object types in it, by their paths: ``selfType.spec.@idx``."""
        if self.fields is not None:
            fields = {key: item.named(f"{name}.{key}") for key, item in self.fields.items()}
            return replace(self, type=types.object_of(name), fields=fields)
        if self.element is None:
            return self
        is_list = self.type.kind == "list"
        element = self.element.named(f"{name}.{'@idx' if is_list else '@elem'}")
        typed = types.list_of(element.type) if is_list else types.map_of(types.STRING, element.type)
        return replace(self, type=typed, element=element)

    def objects(self) -> Iterator[Declared]:
        """Every object type in it."""
        if self.fields is not None:
            yield self
            for item in self.fields.values():
                yield from item.objects()
        elif self.element is not None:
            yield from self.element.objects()

    @property
    def max_cardinality(self) -> int:
        """How many of these fit into one request at most."""
        return MAX_REQUEST_BYTES // (self.min_bytes + 1)


def declare(schema: Schema, name: str = "selfType", *, resource_root: bool = False) -> Declared | None:
    """The type of values of ``schema``; None if rules cannot be written for it.

    ``resource_root``: it is a whole resource, so that apiVersion, kind, metadata.name and metadata.generateName exist.
    """
    found = _declared(schema, resource_root)
    return None if found is None else found.named(name)


def _declared(schema: Schema, resource_root: bool = False) -> Declared | None:
    if schema.get("x-kubernetes-int-or-string"):
        longest = schema.get("maxLength")
        return Declared(
            type=types.DYN, max_elements=MAX_REQUEST_BYTES - 2 if longest is None else max(longest, 0) * 4, min_bytes=1
        )
    if resource_root:
        schema = _with_metadata(schema)
    match schema.get("type"):
        case "array":
            return _list(schema)
        case "object":
            return _map(schema) if _value_schema(schema) is not None else _object(schema)
        case "string":
            return _string(schema)
        case "boolean":
            return Declared(type=types.BOOL, min_bytes=4)
        case "number":
            return Declared(type=types.DOUBLE, min_bytes=1, adapt=_to_double)
        case "integer":
            return Declared(type=types.INT, min_bytes=1)
    return None


def _with_metadata(schema: Schema) -> Schema:
    text = {"type": "string"}
    metadata = {"type": "object", "properties": {"name": text, "generateName": text}}
    properties = {**schema.get("properties", {}), "apiVersion": text, "kind": text}
    present = properties.get("metadata", {}).get("properties", {})
    if not ("name" in present and "generateName" in present):
        properties["metadata"] = metadata
    return {**schema, "properties": properties}


def _nested(schema: Schema) -> Declared | None:
    return _declared(schema, bool(schema.get("x-kubernetes-embedded-resource")))


def _value_schema(schema: Schema) -> Schema | None:
    found = schema.get("additionalProperties")
    return found if isinstance(found, Mapping) else None


def _list(schema: Schema) -> Declared | None:
    items = schema.get("items")
    element = _nested(items) if isinstance(items, Mapping) else None
    if element is None:
        return None
    limit = schema.get("maxItems")
    longest = (MAX_REQUEST_BYTES - 2) // (element.min_bytes + 1) if limit is None else max(limit, 0)
    return Declared(
        type=types.list_of(element.type),
        max_elements=longest,
        min_bytes=2,
        element=element,
        adapt=_list_adapter(element.adapt, schema),
    )


def _list_adapter(each: Adapter | None, schema: Schema) -> Adapter | None:
    kind = schema.get("x-kubernetes-list-type")
    keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
    if each is None and kind not in ("set", "map"):
        return None

    def adapt(value: Value) -> Value:
        if not isinstance(value, list):
            return value
        METER.spend(len(value) // (ELEMENTS_PER_STEP if each is None else 1))
        elements = value if each is None else [each(item) for item in value]
        if kind == "set":
            return SetList(elements)
        return MapList(elements, keys) if kind == "map" else elements

    return adapt


def _map(schema: Schema) -> Declared | None:
    element = _nested(_value_schema(schema) or {})
    if element is None:
        return None
    limit = schema.get("maxProperties")
    each = element.adapt

    def adapt(value: Value) -> Value:
        if each is None or not isinstance(value, dict):
            return value
        METER.spend(len(value))
        return {key: each(item) for key, item in value.items()}

    return Declared(
        type=types.map_of(types.STRING, element.type),
        max_elements=(MAX_REQUEST_BYTES - 2) // (element.min_bytes + 6) if limit is None else max(limit, 0),
        min_bytes=2,
        element=element,
        adapt=None if each is None else adapt,
    )


class _Fields(Struct):
    declared: dict[str, Declared] = field(default_factory=dict)
    adapters: dict[str, Adapter] = field(default_factory=dict)
    min_bytes: int = 2


def _object(schema: Schema) -> Declared:
    found = _Fields()
    required = set(schema.get("required", ()))
    for name, property_schema in schema.get("properties", {}).items():
        declared = _nested(property_schema)
        if declared is None:
            continue
        identifier = escape(name)
        if identifier is not None:
            found.declared[identifier] = declared
            if declared.adapt is not None:
                found.adapters[name] = declared.adapt
        if name in required and property_schema.get("default") is None:
            found.min_bytes += len(name.encode()) + declared.min_bytes + 4
    adapters = found.adapters

    def adapt(value: Value) -> Value:
        if not isinstance(value, dict):
            return value
        changed = {name: each(value[name]) for name, each in adapters.items() if value.get(name) is not None}
        return {**value, **changed} if changed else value

    return Declared(
        type=types.object_of("object"),
        min_bytes=found.min_bytes,
        fields=found.declared,
        adapt=adapt if adapters else None,
    )


def _string(schema: Schema) -> Declared:
    limit = schema.get("maxLength")
    match schema.get("format"):
        case "byte":
            longest = MAX_REQUEST_BYTES - 2 if limit is None else max(limit, 0)
            return Declared(type=types.BYTES, max_elements=longest, min_bytes=2, adapt=_to_bytes)
        case "duration":
            return Declared(type=types.DURATION, max_elements=_DURATION_BYTES, min_bytes=3, adapt=_to_duration)
        case "date":
            return Declared(type=types.TIMESTAMP, max_elements=_DATE_BYTES, min_bytes=_DATE_BYTES, adapt=_to_date)
        case "date-time":
            return Declared(type=types.TIMESTAMP, max_elements=_DATETIME_BYTES, min_bytes=21, adapt=_to_timestamp)
    enum = schema.get("enum")
    if limit is not None:
        longest = max(limit, 0) * 4
    elif enum:
        longest = max((len(item.encode()) for item in enum if isinstance(item, str)), default=0)
    else:
        longest = MAX_REQUEST_BYTES - 2
    return Declared(type=types.STRING, max_elements=longest, min_bytes=2)


def _to_double(value: Value) -> Value:
    return float(value) if type(value) is int else value


def _to_bytes(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise EvaluationError(f"Invalid byte formatted string {value}: {error}") from error


def _to_duration(value: Value) -> Value:
    """Go's durations, and the words and units that strfmt adds: ``3 days``, ``2w``."""
    if not isinstance(value, str):
        return value
    try:
        return Duration(parse_duration(value))
    except ValueError:
        pass
    total = 0
    position = 0
    text = value.strip()
    for part in _STRFMT_DURATION.finditer(text):
        if part.start() != position:
            break
        total += int(float(part[1]) * _STRFMT_UNITS_NS[part[2].lower()])
        position = part.end()
    if not text or position != len(text):
        raise EvaluationError(f"Invalid duration {value}: unable to parse {value} as duration")
    return Duration(total)


_STRFMT_UNITS_NS = {
    **dict.fromkeys(("ns", "nano", "nanos", "nanosecond", "nanoseconds"), 1),
    **dict.fromkeys(("us", "µs", "micro", "micros", "microsecond", "microseconds"), 10**3),
    **dict.fromkeys(("ms", "milli", "millis", "millisecond", "milliseconds"), 10**6),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 10**9),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60 * 10**9),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600 * 10**9),
    **dict.fromkeys(("d", "day", "days"), 86400 * 10**9),
    **dict.fromkeys(("w", "wk", "week", "weeks"), 604800 * 10**9),
}
_STRFMT_DURATION = re.compile(
    rf"(\d+(?:\.\d+)?)\s*({'|'.join(sorted(_STRFMT_UNITS_NS, key=len, reverse=True))})\s*", re.IGNORECASE
)


def _to_date(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    try:
        return timestamp(*parse_timestamp(f"{value}T00:00:00Z"))
    except EvaluationError as error:
        raise EvaluationError(f"Invalid date formatted string {value}: {error}") from error


def _to_timestamp(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    try:
        return timestamp(*parse_timestamp(value.replace(" ", "T", 1).replace("t", "T").replace("z", "Z")))
    except EvaluationError as error:
        raise EvaluationError(f"Invalid date-time formatted string {value}: {error}") from error
