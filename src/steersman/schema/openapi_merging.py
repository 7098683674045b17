"""Other servers' OpenAPI documents: their part of the v2 document, and v3 documents for those that only have v2.

Documents are plain JSON values. Inputs are never changed; outputs share with them what is equal. Source of the rules: kube-openapi's
aggregator and v2-to-v3 conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from steersman.meta.errors import BadRequest

Document = dict[str, Any]
_KINDS = "x-kubernetes-group-version-kind"
_DEFINITIONS = "#/definitions/"
_PARAMETERS = "#/parameters/"
_SCHEMAS = "#/components/schemas/"
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")


def filtered(document: Document, keeps: Callable[[str], bool]) -> Document:
    """``document`` with the paths that are kept, and without the definitions that only the others used."""
    paths = document.get("paths") or {}
    kept = {path: item for path, item in paths.items() if keeps(path)}
    definitions = document.get("definitions") or {}
    used, was_used = _closure(kept, definitions), _closure(paths, definitions)
    wanted = {name: value for name, value in definitions.items() if name in used or name not in was_used}
    return {**document, "paths": kept, "definitions": wanted}


def merged(target: Document, source: Document) -> Document:
    """``target`` with what ``source`` adds. Paths that ``target`` has stay; definitions and parameters of one name that
    mean something else are renamed."""
    present = target.get("paths") or {}
    new = {path: item for path, item in (source.get("paths") or {}).items() if path not in present}
    if not new:
        return target
    if len(new) != len(source["paths"]):
        source = filtered(source, new.__contains__)
    definitions = target.get("definitions") or {}
    parameters = target.get("parameters") or {}
    own_definitions = source.get("definitions") or {}
    own_parameters = source.get("parameters") or {}
    renames = {
        **_renames(_DEFINITIONS, definitions, own_definitions, _equal_but_kinds),
        **_renames(_PARAMETERS, parameters, own_parameters, lambda one, other: bool(one == other)),
    }
    result = dict(definitions)
    for name, value in own_definitions.items():
        name = renames.get(_DEFINITIONS + name, _DEFINITIONS + name).removeprefix(_DEFINITIONS)
        value = _renamed(value, renames)
        result[name] = _with_kinds(result[name], value) if name in result else value
    added = {
        renames.get(_PARAMETERS + name, _PARAMETERS + name).removeprefix(_PARAMETERS): _renamed(value, renames)
        for name, value in own_parameters.items()
    }
    return {
        **target,
        "paths": dict(sorted({**present, **_renamed(new, renames)}.items())),
        "definitions": dict(sorted(result.items())),
        "parameters": {**added, **parameters},
    }


def _closure(roots: Any, definitions: Mapping[str, Any]) -> set[str]:
    """Names of the definitions that ``roots`` reach."""
    found: set[str] = set()
    pending = [reference for reference in _references(roots) if reference.startswith(_DEFINITIONS)]
    while pending:
        name = pending.pop().removeprefix(_DEFINITIONS)
        if name not in found and name in definitions:
            found.add(name)
            pending += [entry for entry in _references(definitions[name]) if entry.startswith(_DEFINITIONS)]
    return found


def _references(value: Any) -> Iterable[str]:
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str):
                yield reference
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def _renames(
    prefix: str, present: Mapping[str, Any], own: Mapping[str, Any], are_equal: Callable[[Any, Any], bool]
) -> dict[str, str]:
    """Reference -> reference for each name of ``own`` that ``present`` has with another meaning."""
    renames: dict[str, str] = {}
    taken = set(present)
    for name, value in own.items():
        if name not in present or are_equal(present[name], value):
            continue
        number, new = 2, f"{name}_v2"
        while (new in taken or new in own) and not (new in present and are_equal(present[new], value)):
            number += 1
            new = f"{name}_v{number}"
        taken.add(new)
        renames[prefix + name] = prefix + new
    return renames


def _renamed(value: Any, renames: Mapping[str, str]) -> Any:
    if not renames:
        return value
    if isinstance(value, dict):
        return {
            key: renames.get(child, child) if key == "$ref" and isinstance(child, str) else _renamed(child, renames)
            for key, child in value.items()
        }
    return [_renamed(child, renames) for child in value] if isinstance(value, list) else value


def _equal_but_kinds(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return {**one, _KINDS: None} == {**other, _KINDS: None}


def _with_kinds(one: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    """Equal definitions as one: of the kinds of both."""
    kinds = list(one.get(_KINDS) or ())
    new = [kind for kind in other.get(_KINDS) or () if kind not in kinds]
    if not new:
        return one
    return {**one, _KINDS: sorted((*kinds, *new), key=lambda kind: f"{kind.get('group')}/{kind.get('version')}.{kind.get('kind')}")}  # fmt: skip


def to_v3(document: Document) -> Document:
    """A v2 document in the form of v3. Raises ``BadRequest`` for one that is none."""
    try:
        components: Document = {
            "schemas": {name: _schema(value) for name, value in (document.get("definitions") or {}).items()}
        }
        if document.get("securityDefinitions"):
            components["securitySchemes"] = dict(document["securityDefinitions"])
        shared = document.get("parameters") or {}
        return {
            "openapi": "3.0.0",
            "info": document.get("info") or {},
            "paths": {path: _path(item, shared) for path, item in (document.get("paths") or {}).items()},
            "components": components,
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise BadRequest(f"the document is no OpenAPI v2: {error!r}") from error


def _schema(source: Mapping[str, Any]) -> Document:
    target: Document = {}
    for key, value in source.items():
        if key == "$ref":
            reference = {"$ref": _SCHEMAS + str(value).rpartition(_DEFINITIONS)[2]}
            target.update(reference if len(source) == 1 else {"allOf": [reference]})
        elif key == "properties":
            target[key] = {name: _schema(child) for name, child in value.items()}
        elif key in ("items", "additionalProperties", "additionalItems") and isinstance(value, dict):
            target[key] = _schema(value)
        else:
            target[key] = value
    return target


def _path(item: Mapping[str, Any], shared: Mapping[str, Any]) -> Document:
    target: Document = {}
    for key, value in item.items():
        if key in _METHODS:
            target[key] = _operation(value, shared)
        elif key == "parameters":
            target[key] = [_parameter(entry, shared) for entry in value]
        else:
            target[key] = value
    return target


def _operation(source: Mapping[str, Any], shared: Mapping[str, Any]) -> Document:
    target: Document = {
        key: value
        for key, value in source.items()
        if key in ("description", "externalDocs", "tags", "summary", "deprecated", "operationId")
        or key.startswith("x-")
    }
    for entry in source.get("parameters") or ():
        if entry.get("name") == "body" and entry.get("schema") is not None:
            content = {media: {"schema": _schema(entry["schema"])} for media in source.get("consumes") or ()}
            target["requestBody"] = {"content": content}
        else:
            target.setdefault("parameters", []).append(_parameter(entry, shared))
    produces = source.get("produces") or ()
    target["responses"] = {
        code: _response(answer, produces) for code, answer in (source.get("responses") or {}).items()
    }
    return target


def _response(source: Mapping[str, Any], produces: Iterable[str]) -> Document:
    target: Document = {"description": source.get("description", "")}
    if source.get("schema") is not None:
        target["content"] = {media: {"schema": _schema(source["schema"])} for media in produces}
    return target


def _parameter(source: Mapping[str, Any], shared: Mapping[str, Any]) -> Document:
    reference = source.get("$ref")
    if isinstance(reference, str):
        source = shared[reference.removeprefix(_PARAMETERS)]
    target: Document = {
        key: value
        for key, value in source.items()
        if key in ("name", "description", "in", "required", "allowEmptyValue") or key.startswith("x-")
    }
    if source.get("schema") is not None:
        target["schema"] = _schema(source["schema"])
    else:
        target["schema"] = {key: source[key] for key in ("type", "format", "uniqueItems") if key in source}
    return target
