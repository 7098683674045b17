"""OpenAPI v3 documents: one for each group and version, with the definitions that it reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from steersman.schema import definitions
from steersman.schema.defaults import NONE, default_of
from steersman.schema.definitions import Definition
from steersman.schema.openapi_enums import published
from steersman.schema.openapi_operation import Operation
from steersman.schema.openapi_parameters import QUERY, by_path, path_description, position, shared_query
from steersman.schema.openapi_v2 import SECURITY, SUCCESS, media_types

REFERENCE = "#/components/schemas/"
_CUSTOM_INFO = {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}
_UNIONS: dict[str, dict[str, Any]] = {
    definitions.QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    definitions.INT_OR_STRING: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}

Schemas = Callable[[str], Definition]
"""Gives the schema of a definition's name, in the form of v3."""


def document(
    operations: Iterable[Operation],
    schemas: Schemas | None = None,
    *,
    group: str = "",
    version: str = "",
    server_version: str,
    is_custom: bool = False,
) -> dict[str, Any]:
    """One document of ``operations``, all of one group and version, of a server of ``server_version``.

    ``schemas`` gives definitions by name where some are not built in (custom resources). ``is_custom``: all kinds are custom;
    upstream's builder of these documents has a title of its own, names no security schemes, and leaves no kinds out.
    """
    paths: dict[str, dict[str, Any]] = {}
    wanted: set[str] = set()
    for path, of_path in by_path(operations).items():
        shared = shared_query(of_path)
        item = paths[path] = {operation.method: _operation(operation, shared) for operation in of_path}
        wanted.update(name for operation in of_path for name in (operation.answers, operation.body) if name)
        parameters = [_path_parameter(name, of_path[0]) for name in of_path[0].path_parameters]
        parameters.extend(_query_parameter(name) for name in shared)
        if parameters:
            item["parameters"] = sorted(parameters, key=position)
    reached = _closure(wanted, schemas or schema)
    if is_custom:
        return {"openapi": "3.0.0", "info": _CUSTOM_INFO, "paths": paths, "components": {"schemas": reached}}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": server_version},
        "paths": paths,
        "components": {
            "schemas": {name: _of_group(found, group, version) for name, found in reached.items()},
            "securitySchemes": SECURITY,
        },
    }


def _closure(wanted: set[str], schemas: Schemas) -> dict[str, Definition]:
    found: dict[str, Definition] = {}
    pending = sorted(wanted)
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found[name] = schemas(name)
        pending.extend(_mentioned(found[name]))
    return dict(sorted(found.items()))


def _of_group(found: Definition, group: str, version: str) -> Definition:
    """``found`` without the kinds of other groups: DeleteOptions and WatchEvent are kinds of every group."""
    kinds = found.get("x-kubernetes-group-version-kind", ())
    if len(kinds) < 2:
        return found
    own = [kind for kind in kinds if (kind["group"], kind["version"]) in (("", "v1"), (group, version))]
    return {**found, "x-kubernetes-group-version-kind": own}


def _mentioned(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(REFERENCE)
        for child in value.values():
            yield from _mentioned(child)
    elif isinstance(value, list):
        for child in value:
            yield from _mentioned(child)


def schema(name: str) -> Definition:
    """A built-in definition in the form of v3: with defaults, and references wrapped where something stands beside them."""
    source = published(name)
    if name in _UNIONS:
        return {"description": source["description"], **_UNIONS[name]}
    built = converted(source)
    for field, child in built.get("properties", {}).items():
        default = default_of(name, field)
        if default is not NONE:
            if "$ref" in child:
                child["allOf"] = [{"$ref": child.pop("$ref")}]
            child["default"] = default
    return built


def converted(source: Definition) -> Definition:
    """A schema in the form of v2 as v3 writes it."""
    target: Definition = {}
    for key, value in source.items():
        if key == "$ref":
            reference = {"$ref": REFERENCE + definitions.reference(source)}
            target.update(reference if len(source) == 1 else {"allOf": [reference]})
        elif key == "properties":
            target[key] = {field: converted(child) for field, child in value.items()}
        elif key in ("items", "additionalProperties"):
            target[key] = converted(value)
        else:
            target[key] = value
    return target


def _operation(operation: Operation, shared: Sequence[str]) -> dict[str, Any]:
    answer = {"schema": {"$ref": REFERENCE + operation.answers} if operation.answers else {"type": "string"}}
    content = dict.fromkeys(media_types(operation.produces), answer)
    rendered: dict[str, Any] = {
        "tags": [operation.tag],
        "description": operation.description,
        "operationId": operation.id,
        "responses": {
            **{str(code): {"description": SUCCESS[code], "content": content} for code in operation.codes},
            "401": {"description": "Unauthorized"},
        },
    }
    own = sorted(set(operation.query).difference(shared))
    if own:
        rendered["parameters"] = [_query_parameter(name) for name in own]
    if operation.body:
        body: dict[str, Any] = {
            "content": {
                media_type: {"schema": {"$ref": REFERENCE + operation.body}} for media_type in operation.consumes
            }
        }
        if operation.method != "delete":
            body["required"] = True
        rendered["requestBody"] = body
    if operation.action:
        rendered["x-kubernetes-action"] = operation.action
    if operation.group_version_kind is not None:
        group, version, kind = operation.group_version_kind
        rendered["x-kubernetes-group-version-kind"] = {"group": group, "version": version, "kind": kind}
    return rendered


def _query_parameter(name: str) -> dict[str, Any]:
    parameter = QUERY[name]
    return {
        "name": name,
        "in": "query",
        "description": parameter.description,
        "schema": {"type": parameter.type, "uniqueItems": True},
    }


def _path_parameter(name: str, operation: Operation) -> dict[str, Any]:
    noun = operation.group_version_kind[2] if operation.group_version_kind else ""
    return {
        "name": name,
        "in": "path",
        "description": path_description(name, noun),
        "required": True,
        "schema": {"type": "string", "uniqueItems": True},
    }
