"""The OpenAPI v2 document as protobuf: gnostic's ``openapi.v2.Document``, which kubectl up to 1.26 asks for.

Written straight to the wire format from the JSON form; the field numbers are those of gnostic's OpenAPIv2.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.schema.openapi_wire import any_value, count, double, extensions, flag, named, text, texts
from steersman.schema.protobuf.wire import delimited, varint

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
            text(1, document["swagger"]),
            delimited(2, text(1, document["info"]["title"]) + text(2, document["info"]["version"])),
            delimited(8, named(2, document["paths"], _path_item)),
            delimited(9, named(1, document["definitions"], _schema)),
            delimited(10, named(1, document.get("parameters", {}), _parameter)),
            *(delimited(12, named(1, entry, lambda scopes: texts(1, scopes))) for entry in security),
            delimited(13, named(1, document.get("securityDefinitions", {}), _security_definition)),
        )
    )


def _path_item(source: Mapping[str, Any]) -> bytes:
    methods = (delimited(_METHODS[method], _operation(source[method])) for method in _METHODS if method in source)
    return b"".join((*methods, *(delimited(9, _parameters_item(entry)) for entry in source.get("parameters", ()))))


def _operation(source: Mapping[str, Any]) -> bytes:
    return b"".join(
        (
            texts(1, source.get("tags", ())),
            text(2, source.get("summary", "")),
            text(3, source.get("description", "")),
            text(5, source.get("operationId", "")),
            texts(6, source.get("produces", ())),
            texts(7, source.get("consumes", ())),
            *(delimited(8, _parameters_item(entry)) for entry in source.get("parameters", ())),
            delimited(9, named(1, source.get("responses", {}), _response_value)),
            texts(10, source.get("schemes", ())),
            extensions(13, source),
        )
    )


def _response_value(source: Mapping[str, Any]) -> bytes:
    body = text(1, source.get("description", ""))
    if "schema" in source:
        body += delimited(2, delimited(1, _schema(source["schema"])))
    return delimited(1, body)


def _parameters_item(source: Mapping[str, Any]) -> bytes:
    if "$ref" in source:
        return delimited(2, text(1, source["$ref"]))
    return delimited(1, _parameter(source))


def _parameter(source: Mapping[str, Any]) -> bytes:
    where = source["in"]
    head = (source.get("description", ""), source["name"])
    if where == "body":
        body = text(1, head[0]) + text(2, head[1]) + text(3, where) + flag(4, source.get("required", False))
        return delimited(1, body + delimited(5, _schema(source["schema"])))
    common = flag(1, source.get("required", False)) + text(2, where) + text(3, head[0]) + text(4, head[1])
    if where == "query":
        query = common + text(6, source["type"]) + flag(20, source.get("uniqueItems", False))
        return delimited(2, delimited(3, query))
    if where == "header":
        return delimited(2, delimited(1, common + text(5, source["type"])))
    if where != "path":
        raise ValueError(f"parameters in {where!r} are unknown")
    path = common + text(5, source["type"]) + flag(19, source.get("uniqueItems", False))
    return delimited(2, delimited(4, path))


def _security_definition(source: Mapping[str, Any]) -> bytes:
    key = text(1, source["type"]) + text(2, source["name"]) + text(3, source["in"]) + text(4, source["description"])
    return delimited(2, key)


def _schema(source: Mapping[str, Any]) -> bytes:
    parts: list[bytes] = []
    for key, value in source.items():
        if key in _SCHEMA_TEXTS:
            parts.append(text(_SCHEMA_TEXTS[key], value))
        elif key == "default":
            parts.append(delimited(5, any_value(value)))
        elif key in _SCHEMA_DOUBLES:
            parts.append(double(_SCHEMA_DOUBLES[key], value))
        elif key in _SCHEMA_FLAGS:
            parts.append(flag(_SCHEMA_FLAGS[key], value))
        elif key in _SCHEMA_COUNTS:
            parts.append(count(_SCHEMA_COUNTS[key], value))
        elif key == "required":
            parts.append(texts(19, value))
        elif key == "enum":
            parts.extend(delimited(20, any_value(entry)) for entry in value)
        elif key == "additionalProperties":
            item = varint(2 << 3) + bytes([value]) if isinstance(value, bool) else delimited(1, _schema(value))
            parts.append(delimited(21, item))
        elif key == "type":
            parts.append(delimited(22, texts(1, [value] if isinstance(value, str) else value)))
        elif key == "items":
            parts.append(delimited(23, delimited(1, _schema(value))))
        elif key == "allOf":
            parts.extend(delimited(24, _schema(entry)) for entry in value)
        elif key == "properties":
            parts.append(delimited(25, named(1, value, _schema)))
    return b"".join((*parts, extensions(31, source)))
