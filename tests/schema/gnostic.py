"""gnostic's messages of OpenAPI v3 over protobuf's own runtime: what a client that knows only the published .proto reads.

Source of names and numbers: gnostic's OpenAPIv3.proto. ``field=number`` is a text unless a type is given; ``*`` is repeated.
"""

from __future__ import annotations

from typing import Any

import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.unknown_fields import UnknownFieldSet

_MESSAGES = """
AdditionalPropertiesItem schema_or_reference=1:SchemaOrReference boolean=2:bool
Any yaml=2
Components schemas=1:SchemasOrReferences responses=2:ResponsesOrReferences parameters=3:ParametersOrReferences
 security_schemes=7:SecuritySchemesOrReferences specification_extension=10:*NamedAny
DefaultType number=1:double boolean=2:bool string=3
Document openapi=1 info=2:Info paths=4:Paths components=5:Components specification_extension=9:*NamedAny
ExternalDocs description=1 url=2 specification_extension=3:*NamedAny
Info title=1 description=2 version=6 specification_extension=7:*NamedAny
ItemsItem schema_or_reference=1:*SchemaOrReference
MediaType schema=1:SchemaOrReference example=2:Any specification_extension=5:*NamedAny
MediaTypes additional_properties=1:*NamedMediaType
NamedAny name=1 value=2:Any
NamedMediaType name=1 value=2:MediaType
NamedParameterOrReference name=1 value=2:ParameterOrReference
NamedPathItem name=1 value=2:PathItem
NamedResponseOrReference name=1 value=2:ResponseOrReference
NamedSchemaOrReference name=1 value=2:SchemaOrReference
NamedSecuritySchemeOrReference name=1 value=2:SecuritySchemeOrReference
Operation tags=1:*string summary=2 description=3 external_docs=4:ExternalDocs operation_id=5 parameters=6:*ParameterOrReference
 request_body=7:RequestBodyOrReference responses=8:Responses deprecated=10:bool specification_extension=13:*NamedAny
Parameter name=1 in=2 description=3 required=4:bool schema=10:SchemaOrReference specification_extension=14:*NamedAny
ParameterOrReference parameter=1:Parameter reference=2:Reference
ParametersOrReferences additional_properties=1:*NamedParameterOrReference
PathItem _ref=1 summary=2 description=3 get=4:Operation put=5:Operation post=6:Operation delete=7:Operation options=8:Operation
 head=9:Operation patch=10:Operation trace=11:Operation parameters=13:*ParameterOrReference specification_extension=14:*NamedAny
Paths path=1:*NamedPathItem specification_extension=2:*NamedAny
Properties additional_properties=1:*NamedSchemaOrReference
Reference _ref=1 summary=2 description=3
RequestBody description=1 content=2:MediaTypes required=3:bool specification_extension=4:*NamedAny
RequestBodyOrReference request_body=1:RequestBody reference=2:Reference
Response description=1 content=3:MediaTypes specification_extension=5:*NamedAny
ResponseOrReference response=1:Response reference=2:Reference
Responses default=1:ResponseOrReference response_or_reference=2:*NamedResponseOrReference specification_extension=3:*NamedAny
ResponsesOrReferences additional_properties=1:*NamedResponseOrReference
Schema nullable=1:bool read_only=3:bool write_only=4:bool external_docs=6:ExternalDocs example=7:Any deprecated=8:bool title=9
 multiple_of=10:double maximum=11:double exclusive_maximum=12:bool minimum=13:double exclusive_minimum=14:bool max_length=15:int64
 min_length=16:int64 pattern=17 max_items=18:int64 min_items=19:int64 unique_items=20:bool max_properties=21:int64
 min_properties=22:int64 required=23:*string enum=24:*Any type=25 all_of=26:*SchemaOrReference one_of=27:*SchemaOrReference
 any_of=28:*SchemaOrReference not=29:Schema items=30:ItemsItem properties=31:Properties
 additional_properties=32:AdditionalPropertiesItem default=33:DefaultType description=34 format=35
 specification_extension=36:*NamedAny
SchemaOrReference schema=1:Schema reference=2:Reference
SchemasOrReferences additional_properties=1:*NamedSchemaOrReference
SecurityScheme type=1 description=2 name=3 in=4 specification_extension=9:*NamedAny
SecuritySchemeOrReference security_scheme=1:SecurityScheme reference=2:Reference
SecuritySchemesOrReferences additional_properties=1:*NamedSecuritySchemeOrReference
"""
_ONE_OF = ("AdditionalPropertiesItem", "DefaultType")
_SCALARS = {"string": 9, "double": 1, "bool": 8, "int64": 3}
_PACKAGE = "openapi.v3"


def decoded(body: bytes) -> Any:
    """A document's JSON form. Raises ``ValueError`` where the message has a field that gnostic does not know."""
    document = message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.Document"))()
    document.ParseFromString(body)
    return _json(document)


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="openapiv3.proto", package=_PACKAGE, syntax="proto3")
    for line in _MESSAGES.strip().replace("\n ", " ").splitlines():
        name, *fields = line.split()
        message = file.message_type.add(name=name)
        is_one_of = name in _ONE_OF or (name.endswith("OrReference") and not name.startswith("Named"))
        if is_one_of:
            message.oneof_decl.add(name="oneof")
        for field in fields:
            field_name, _, rest = field.partition("=")
            number, _, type_ = rest.partition(":")
            bare = type_.removeprefix("*") or "string"
            added = message.field.add(
                name=field_name,
                number=int(number),
                label=3 if type_.startswith("*") else 1,
                type=_SCALARS.get(bare, 11),
            )
            if bare not in _SCALARS:
                added.type_name = f".{_PACKAGE}.{bare}"
            if is_one_of:
                added.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _json(message: Any) -> Any:
    name = message.DESCRIPTOR.name
    unknown: Any = UnknownFieldSet(message)
    if len(unknown):
        raise ValueError(f"{name} has unknown fields: {[field.field_number for field in unknown]}")
    if name == "Any":
        return yaml.safe_load(message.yaml)
    if message.DESCRIPTOR.oneofs:
        chosen = message.WhichOneof("oneof")
        return _value(getattr(message, chosen)) if chosen else {}
    if name == "ItemsItem":
        (item,) = message.schema_or_reference
        return _json(item)
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.name.startswith("Named"):
            found.update((entry.name, _json(entry.value)) for entry in value)
        else:
            found["$ref" if field.name == "_ref" else field.json_name] = _value(value)
    return found


def _value(value: Any) -> Any:
    if hasattr(value, "DESCRIPTOR"):
        return _json(value)
    if isinstance(value, str | bool | int | float):
        return value
    return [_value(entry) for entry in value]
