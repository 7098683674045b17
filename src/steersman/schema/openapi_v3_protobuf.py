"""OpenAPI v3 documents as protobuf: gnostic's ``openapi.v3.Document``, which client-go's OpenAPI v3 client reads.

Written straight to the wire format from the JSON form; the field numbers are those of gnostic's OpenAPIv3.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.schema.openapi_wire import (
    Encode,
    any_value,
    by_name,
    count,
    double,
    extensions,
    flag,
    many,
    message,
    named,
    one,
    text,
    texts,
)
from steersman.schema.protobuf.wire import VARINT, delimited, tag

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
"""The Content-Type of an answer."""
ACCEPTED_MEDIA_TYPES = (MEDIA_TYPE, "application/com.github.proto-openapi.spec.v3@v1.0+protobuf")
"""What clients ask for. The form with ``@`` is what client-go sends, though no valid media type: never answer with it."""


def encode(document: Mapping[str, Any]) -> bytes:
    """A whole document, given in its JSON form. Raises ``AttributeError``, ``TypeError`` or ``ValueError`` for what is none."""
    return _document(document)


def _or_reference(encode_value: Encode) -> Encode:
    """gnostic's ``…OrReference`` of a message."""

    def encode_either(source: Mapping[str, Any]) -> bytes:
        return delimited(2, _reference(source)) if "$ref" in source else delimited(1, encode_value(source))

    return encode_either


def _schema_message(source: Any) -> bytes:
    """``_schema``, which contains itself."""
    return _schema(source)


def _default(value: Any) -> bytes:
    """gnostic's ``DefaultType`` has numbers, truth values and texts only: the default of an object or a list is there, but empty."""
    if isinstance(value, bool):
        return tag(2, VARINT) + (b"\x01" if value else b"\x00")
    if isinstance(value, int | float):
        return double(1, value)
    return delimited(3, value.encode()) if isinstance(value, str) else b""


def _additional_properties(value: Any) -> bytes:
    if isinstance(value, bool):
        return tag(2, VARINT) + (b"\x01" if value else b"\x00")
    return delimited(1, _schema_or_reference(value))


def _items(value: Any) -> bytes:
    return delimited(1, _schema_or_reference(value))


def _paths(source: Mapping[str, Any]) -> bytes:
    paths = {key: value for key, value in source.items() if key.startswith("/")}
    return named(1, paths, _path_item) + extensions(2, source)


def _responses(source: Mapping[str, Any]) -> bytes:
    codes = {key: value for key, value in source.items() if key != "default" and not key.startswith("x-")}
    default = delimited(1, _response_or_reference(source["default"])) if "default" in source else b""
    return default + named(2, codes, _response_or_reference) + extensions(3, source)


def _strings(source: Mapping[str, str]) -> bytes:
    """A map of texts."""
    return b"".join(delimited(1, text(1, name) + text(2, value)) for name, value in source.items())


def _requirement(source: Mapping[str, Any]) -> bytes:
    return named(1, source, lambda scopes: texts(1, scopes))


_reference = message({"$ref": (1, text), "summary": (2, text), "description": (3, text)})
_external_docs = message({"description": (1, text), "url": (2, text)}, extensions_number=3)
_schema_or_reference = _or_reference(_schema_message)
_schema = message(
    {
        "nullable": (1, flag),
        "discriminator": (
            2,
            one(message({"propertyName": (1, text), "mapping": (2, one(_strings))}, extensions_number=3)),
        ),
        "readOnly": (3, flag),
        "writeOnly": (4, flag),
        "externalDocs": (6, one(_external_docs)),
        "example": (7, one(any_value)),
        "deprecated": (8, flag),
        "title": (9, text),
        "multipleOf": (10, double),
        "maximum": (11, double),
        "exclusiveMaximum": (12, flag),
        "minimum": (13, double),
        "exclusiveMinimum": (14, flag),
        "maxLength": (15, count),
        "minLength": (16, count),
        "pattern": (17, text),
        "maxItems": (18, count),
        "minItems": (19, count),
        "uniqueItems": (20, flag),
        "maxProperties": (21, count),
        "minProperties": (22, count),
        "required": (23, texts),
        "enum": (24, many(any_value)),
        "type": (25, text),
        "allOf": (26, many(_schema_or_reference)),
        "oneOf": (27, many(_schema_or_reference)),
        "anyOf": (28, many(_schema_or_reference)),
        "not": (29, one(_schema_message)),
        "items": (30, one(_items)),
        "properties": (31, by_name(_schema_or_reference)),
        "additionalProperties": (32, one(_additional_properties)),
        "default": (33, one(_default)),
        "description": (34, text),
        "format": (35, text),
    },
    extensions_number=36,
)
_media_type = message({"schema": (1, one(_schema_or_reference)), "example": (2, one(any_value))}, extensions_number=5)
_header = message(
    {
        "description": (1, text),
        "required": (2, flag),
        "deprecated": (3, flag),
        "allowEmptyValue": (4, flag),
        "style": (5, text),
        "explode": (6, flag),
        "allowReserved": (7, flag),
        "schema": (8, one(_schema_or_reference)),
        "example": (9, one(any_value)),
        "content": (11, by_name(_media_type)),
    },
    extensions_number=12,
)
_parameter = message(
    {
        "name": (1, text),
        "in": (2, text),
        "description": (3, text),
        "required": (4, flag),
        "deprecated": (5, flag),
        "allowEmptyValue": (6, flag),
        "style": (7, text),
        "explode": (8, flag),
        "allowReserved": (9, flag),
        "schema": (10, one(_schema_or_reference)),
        "example": (11, one(any_value)),
        "content": (13, by_name(_media_type)),
    },
    extensions_number=14,
)
_parameter_or_reference = _or_reference(_parameter)
_header_or_reference = _or_reference(_header)
_request_body_or_reference = _or_reference(
    message(
        {"description": (1, text), "content": (2, by_name(_media_type)), "required": (3, flag)}, extensions_number=4
    )
)
_response_or_reference = _or_reference(
    message(
        {"description": (1, text), "headers": (2, by_name(_header_or_reference)), "content": (3, by_name(_media_type))},
        extensions_number=5,
    )
)
_server = message({"url": (1, text), "description": (2, text)}, extensions_number=4)
_operation = message(
    {
        "tags": (1, texts),
        "summary": (2, text),
        "description": (3, text),
        "externalDocs": (4, one(_external_docs)),
        "operationId": (5, text),
        "parameters": (6, many(_parameter_or_reference)),
        "requestBody": (7, one(_request_body_or_reference)),
        "responses": (8, one(_responses)),
        "deprecated": (10, flag),
        "security": (11, many(_requirement)),
        "servers": (12, many(_server)),
    },
    extensions_number=13,
)
_path_item = message(
    {
        "$ref": (1, text),
        "summary": (2, text),
        "description": (3, text),
        "get": (4, one(_operation)),
        "put": (5, one(_operation)),
        "post": (6, one(_operation)),
        "delete": (7, one(_operation)),
        "options": (8, one(_operation)),
        "head": (9, one(_operation)),
        "patch": (10, one(_operation)),
        "trace": (11, one(_operation)),
        "servers": (12, many(_server)),
        "parameters": (13, many(_parameter_or_reference)),
    },
    extensions_number=14,
)
_security_scheme = message(
    {
        "type": (1, text),
        "description": (2, text),
        "name": (3, text),
        "in": (4, text),
        "scheme": (5, text),
        "bearerFormat": (6, text),
        "openIdConnectUrl": (8, text),
    },
    extensions_number=9,
)
_components = message(
    {
        "schemas": (1, by_name(_schema_or_reference)),
        "responses": (2, by_name(_response_or_reference)),
        "parameters": (3, by_name(_parameter_or_reference)),
        "requestBodies": (5, by_name(_request_body_or_reference)),
        "headers": (6, by_name(_header_or_reference)),
        "securitySchemes": (7, by_name(_or_reference(_security_scheme))),
    },
    extensions_number=10,
)
_info = message(
    {
        "title": (1, text),
        "description": (2, text),
        "termsOfService": (3, text),
        "contact": (4, one(message({"name": (1, text), "url": (2, text), "email": (3, text)}, extensions_number=4))),
        "license": (5, one(message({"name": (1, text), "url": (2, text)}, extensions_number=3))),
        "version": (6, text),
        "summary": (8, text),
    },
    extensions_number=7,
)
_document = message(
    {
        "openapi": (1, text),
        "info": (2, one(_info)),
        "servers": (3, many(_server)),
        "paths": (4, one(_paths)),
        "components": (5, one(_components)),
        "security": (6, many(_requirement)),
        "tags": (
            7,
            many(
                message(
                    {"name": (1, text), "description": (2, text), "externalDocs": (3, one(_external_docs))},
                    extensions_number=4,
                )
            ),
        ),
        "externalDocs": (8, one(_external_docs)),
    },
    extensions_number=9,
)
