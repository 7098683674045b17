"""The OpenAPI v2 document: every served operation and every definition, in one piece."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steersman.schema import definitions
from steersman.schema.definitions import DEFINITION_PREFIX, Definition
from steersman.schema.openapi_enums import published
from steersman.schema.openapi_operation import CUSTOM_OBJECTS, OBJECTS, STREAMS, Operation, Produces
from steersman.schema.openapi_parameters import QUERY, by_path, path_description, position, shared_query

INLINE = frozenset({"dryRun", "fieldValidation"})
"""Parameters written out at each operation: kubectl up to 1.27 looks for them there to learn what the server can do."""
SUCCESS: Mapping[int, str] = {200: "OK", 201: "Created", 202: "Accepted"}
SECURITY = {"BearerToken": {"description": "Bearer Token authentication", "type": "apiKey", "name": "authorization", "in": "header"}}  # fmt: skip


def media_types(produces: Produces) -> list[str]:
    """The media types of a successful answer."""
    if produces == "any":
        return ["*/*"]
    if produces == "json":
        return ["application/json"]
    if produces == "custom":
        return [*CUSTOM_OBJECTS]
    if produces == "keys":
        return ["application/jwk-set+json"]
    if produces == "text":
        return ["text/plain", *OBJECTS]
    return [*OBJECTS, *STREAMS] if produces == "list" else [*OBJECTS]


def document(operations: Iterable[Operation], schemas: Mapping[str, Definition], *, version: str) -> dict[str, Any]:
    """``/openapi/v2`` of ``operations``, of a server of ``version``; ``schemas`` are the definitions that these reach, by name."""
    paths: dict[str, dict[str, Any]] = {}
    for path, of_path in by_path(operations).items():
        shared = shared_query(of_path)
        item = paths[path] = {operation.method: _operation(operation, shared) for operation in of_path}
        parameters = [_path_parameter(name, of_path[0]) for name in of_path[0].path_parameters]
        parameters.extend(_reference(name) for name in shared)
        if parameters:
            item["parameters"] = sorted(parameters, key=position)
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": paths,
        "definitions": dict(sorted(schemas.items())),
        "parameters": {name: _query_parameter(name) for name in QUERY if name not in INLINE},
        "securityDefinitions": SECURITY,
        "security": [{"BearerToken": []}],
    }


def _operation(operation: Operation, shared: Sequence[str]) -> dict[str, Any]:
    schema = {"$ref": DEFINITION_PREFIX + operation.answers} if operation.answers else {"type": "string"}
    rendered: dict[str, Any] = {
        "description": operation.description,
        **({"consumes": list(operation.consumes)} if operation.consumes else {}),
        "produces": media_types(operation.produces),
        "schemes": ["https"],
        "tags": [operation.tag],
        "operationId": operation.id,
        "responses": {
            **{str(code): {"description": SUCCESS[code], "schema": schema} for code in operation.codes},
            "401": {"description": "Unauthorized"},
        },
    }
    parameters = [_reference(name) for name in operation.query if name not in shared]
    if operation.body:
        body: dict[str, Any] = {"name": "body", "in": "body", "schema": {"$ref": DEFINITION_PREFIX + operation.body}}
        if operation.method != "delete":
            body["required"] = True
        parameters.append(body)
    if parameters:
        rendered["parameters"] = sorted(parameters, key=position)
    if operation.action:
        rendered["x-kubernetes-action"] = operation.action
    if operation.group_version_kind is not None:
        group, version, kind = operation.group_version_kind
        rendered["x-kubernetes-group-version-kind"] = {"group": group, "version": version, "kind": kind}
    return rendered


def _reference(name: str) -> dict[str, Any]:
    return _query_parameter(name) if name in INLINE else {"$ref": f"#/parameters/{name}"}


def _query_parameter(name: str) -> dict[str, Any]:
    parameter = QUERY[name]
    return {
        "uniqueItems": True,
        "type": parameter.type,
        "description": parameter.description,
        "name": name,
        "in": "query",
    }


def _path_parameter(name: str, operation: Operation) -> dict[str, Any]:
    noun = operation.group_version_kind[2] if operation.group_version_kind else ""
    return {
        "uniqueItems": True,
        "type": "string",
        "description": path_description(name, noun),
        "name": name,
        "in": "path",
        "required": True,
    }


def reached(operations: Iterable[Operation], custom: Mapping[str, Definition]) -> dict[str, Definition]:
    """The definitions that ``operations`` use and those that these use: a kind that is not served is not documented."""
    found: dict[str, Definition] = {}
    pending = [name for operation in operations for name in (operation.answers, operation.body) if name]
    while pending:
        name = pending.pop()
        if name not in found:
            found[name] = custom[name] if name in custom else published(name)
            pending.extend(definitions.mentioned(found[name]))
    return found
