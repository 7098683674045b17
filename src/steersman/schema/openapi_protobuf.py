"""The OpenAPI v2 document as protobuf: gnostic's ``openapi.v2.Document``, which kubectl up to 1.26 asks for.

Written straight to the wire format from the JSON form; the field numbers are those of gnostic's OpenAPIv2.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""The Content-Type of an answer."""
ACCEPTED_MEDIA_TYPES = (MEDIA_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
"""What clients ask for. The form with ``@`` is the usual one, though no valid media type: never answer with it."""

_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}
_SCHEMA_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13, "discriminator": 26}
_SCHEMA_FLAGS = {"exclusiveMaximum": 8, "exclusiveMinimum": 10, "uniqueItems": 16, "readOnly": 27}
_SCHEMA_COUNTS = {
    "maxLength": 11, "minLength": 12, "maxItems": 14, "minItems": 15, "maxProperties": 17, "minProperties": 18,
}  # fmt: skip
_SCHEMA_DOUBLES = {"multipleOf": 6, "maximum": 7, "minimum": 9}


def encode(document: Mapping[str, Any]) -> bytes:
    """The whole document, given in its JSON form."""
    security = document.get("security", [])
    return b"".join(
        (
            _text(1, document["swagger"]),
            _message(2, _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])),
            _message(8, _named(2, document["paths"], _path_item)),
            _message(9, _named(1, document["definitions"], _schema)),
            _message(10, _named(1, document.get("parameters", {}), _parameter)),
            *(_message(12, _named(1, entry, lambda scopes: _texts(1, scopes))) for entry in security),
            _message(13, _named(1, document.get("securityDefinitions", {}), _security_definition)),
        )
    )


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _message(number: int, body: bytes) -> bytes:
    """A field of wire type 2: a message, a string or bytes."""
    return b"".join((_varint(number << 3 | 2), _varint(len(body)), body))


def _text(number: int, value: str) -> bytes:
    return _message(number, value.encode()) if value else b""


def _texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(_message(number, value.encode()) for value in values)


def _flag(number: int, value: bool) -> bytes:
    return _varint(number << 3) + b"\x01" if value else b""


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _any(value: Any) -> bytes:
    """gnostic's ``Any``: the value as YAML, of which JSON is a part."""
    return _text(2, msgspec.json.encode(value).decode() + "\n")


def _named(number: int, entries: Mapping[str, Any], encode_value: Callable[[Any], bytes]) -> bytes:
    """A map as repeated (name, value) messages."""
    return b"".join(
        _message(number, _text(1, name) + _message(2, encode_value(value))) for name, value in entries.items()
    )


def _extensions(number: int, source: Mapping[str, Any]) -> bytes:
    return _named(number, {key: value for key, value in source.items() if key.startswith("x-")}, _any)


def _path_item(source: Mapping[str, Any]) -> bytes:
    methods = (_message(_METHODS[method], _operation(source[method])) for method in _METHODS if method in source)
    return b"".join((*methods, *(_message(9, _parameters_item(entry)) for entry in source.get("parameters", ()))))


def _operation(source: Mapping[str, Any]) -> bytes:
    return b"".join(
        (
            _texts(1, source.get("tags", ())),
            _text(2, source.get("summary", "")),
            _text(3, source.get("description", "")),
            _text(5, source.get("operationId", "")),
            _texts(6, source.get("produces", ())),
            _texts(7, source.get("consumes", ())),
            *(_message(8, _parameters_item(entry)) for entry in source.get("parameters", ())),
            _message(9, _named(1, source.get("responses", {}), _response_value)),
            _texts(10, source.get("schemes", ())),
            _extensions(13, source),
        )
    )


def _response_value(source: Mapping[str, Any]) -> bytes:
    body = _text(1, source.get("description", ""))
    if "schema" in source:
        body += _message(2, _message(1, _schema(source["schema"])))
    return _message(1, body)


def _parameters_item(source: Mapping[str, Any]) -> bytes:
    if "$ref" in source:
        return _message(2, _text(1, source["$ref"]))
    return _message(1, _parameter(source))


def _parameter(source: Mapping[str, Any]) -> bytes:
    where = source["in"]
    head = (source.get("description", ""), source["name"])
    if where == "body":
        body = _text(1, head[0]) + _text(2, head[1]) + _text(3, where) + _flag(4, source.get("required", False))
        return _message(1, body + _message(5, _schema(source["schema"])))
    common = _flag(1, source.get("required", False)) + _text(2, where) + _text(3, head[0]) + _text(4, head[1])
    if where == "query":
        query = common + _text(6, source["type"]) + _flag(20, source.get("uniqueItems", False))
        return _message(2, _message(3, query))
    if where == "header":
        return _message(2, _message(1, common + _text(5, source["type"])))
    if where != "path":
        raise ValueError(f"parameters in {where!r} are unknown")
    path = common + _text(5, source["type"]) + _flag(19, source.get("uniqueItems", False))
    return _message(2, _message(4, path))


def _security_definition(source: Mapping[str, Any]) -> bytes:
    key = _text(1, source["type"]) + _text(2, source["name"]) + _text(3, source["in"]) + _text(4, source["description"])
    return _message(2, key)


def _schema(source: Mapping[str, Any]) -> bytes:
    parts: list[bytes] = []
    for key, value in source.items():
        if key in _SCHEMA_TEXTS:
            parts.append(_text(_SCHEMA_TEXTS[key], value))
        elif key == "default":
            parts.append(_message(5, _any(value)))
        elif key in _SCHEMA_DOUBLES:
            parts.append(_double(_SCHEMA_DOUBLES[key], value))
        elif key in _SCHEMA_FLAGS:
            parts.append(_flag(_SCHEMA_FLAGS[key], value))
        elif key in _SCHEMA_COUNTS:
            parts.append(_varint(_SCHEMA_COUNTS[key] << 3) + _varint(value))
        elif key == "required":
            parts.append(_texts(19, value))
        elif key == "enum":
            parts.extend(_message(20, _any(entry)) for entry in value)
        elif key == "additionalProperties":
            item = _varint(2 << 3) + bytes([value]) if isinstance(value, bool) else _message(1, _schema(value))
            parts.append(_message(21, item))
        elif key == "type":
            parts.append(_message(22, _texts(1, [value] if isinstance(value, str) else value)))
        elif key == "items":
            parts.append(_message(23, _message(1, _schema(value))))
        elif key == "allOf":
            parts.extend(_message(24, _schema(entry)) for entry in value)
        elif key == "properties":
            parts.append(_message(25, _named(1, value, _schema)))
    return b"".join((*parts, _extensions(31, source)))
