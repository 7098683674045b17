"""The API definitions of Kubernetes v1.36: {upstream's OpenAPI name: JSON schema}, as ``hatch_build.py`` extracted them.

Loaded on first use and decoded one definition at a time, so that a process pays for the kinds it meets. The extract was
made for JSON schema validators; what they needed added is taken out again here, so that a definition reads as upstream
publishes it: ``[T, "null"]`` becomes ``T``, the enums of ``apiVersion`` and ``kind`` go, Quantity and IntOrString are
strings of their formats.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

Definition = dict[str, Any]
"""One JSON schema. Shared by all readers: never changed."""

DEFINITION_PREFIX = "#/definitions/"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.Time"
MICRO_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
FIELDS_V1 = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1"
RAW_EXTENSION = "io.k8s.apimachinery.pkg.runtime.RawExtension"

_EXTRACT_PREFIX = "#/$defs/"
_QUANTITY_DESCRIPTION = (
    "Quantity is a fixed-point representation of a number: decimal digits, an optional fraction, and a suffix: one of "
    "n, u, m, k, M, G, T, P, E (powers of 1000), Ki, Mi, Gi, Ti, Pi, Ei (powers of 1024), or a decimal exponent such as "
    "e3. It is written back with the largest suffix that leaves no fraction, at most nano, at most 2^63-1."
)
_INT_OR_STRING_DESCRIPTION = (
    "IntOrString is a type that can hold an int32 or a string.  When used in JSON or YAML marshalling and unmarshalling, "
    "it produces or consumes the inner type.  This allows you to have, for example, a JSON field that can accept a name "
    "or number."
)
_SPECIAL: Mapping[str, Definition] = {
    QUANTITY: {"description": _QUANTITY_DESCRIPTION, "type": "string"},
    INT_OR_STRING: {"description": _INT_OR_STRING_DESCRIPTION, "format": "int-or-string", "type": "string"},
}


class UnknownDefinition(KeyError):
    """No definition of that name: the name is misspelled, or the kind is not part of v1.36."""


@cache
def _extract() -> Mapping[str, msgspec.Raw]:
    """The still encoded definitions, parts of the mapped file: a process holds the pages it reads, which others share.

    Raises ``FileNotFoundError`` where the package was not built.
    """
    with (Path(__file__).parent / "_built/definitions.msgpack").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    extract = msgspec.msgpack.decode(mapped, type=dict[str, msgspec.Raw])
    if hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)  # finding them touched every page
    return extract


@cache
def names() -> tuple[str, ...]:
    """All definitions' names, sorted."""
    return tuple(sorted(_extract()))


def exists(name: str) -> bool:
    return name in _extract()


@cache
def definition(name: str) -> Definition:
    """One definition as upstream's OpenAPI v2 document has it. Raises ``UnknownDefinition``."""
    raw = _extract().get(name)
    if raw is None:
        raise UnknownDefinition(name)
    if name in _SPECIAL:
        return _SPECIAL[name]
    schema: Definition = _undo(msgspec.msgpack.decode(raw))
    properties = schema.get("properties", {})
    for identity in ("apiVersion", "kind"):
        if identity in properties and "x-kubernetes-group-version-kind" in schema:
            properties[identity].pop("enum", None)
    return schema


@cache
def _by_kind() -> Mapping[tuple[str, str, str], str]:
    found: dict[tuple[str, str, str], str] = {}
    for name in names():
        kinds = definition(name).get("x-kubernetes-group-version-kind", ())
        if len(kinds) == 1:
            kind = kinds[0]
            found[kind["group"], kind["version"], kind["kind"]] = name
    return found


def by_kind(group: str, version: str, kind: str) -> str:
    """The name of a kind's definition; empty where there is none. Reads every definition once, about 10 ms."""
    return _by_kind().get((group, version, kind), "")


def _undo(schema: Any) -> Any:
    """``schema`` without what the extract added; references in upstream's form."""
    changed: Definition = {}
    for key, value in schema.items():
        if key == "properties":
            changed[key] = {name: _undo(child) for name, child in value.items()}
        elif key in ("items", "additionalProperties"):
            changed[key] = _undo(value)
        elif key == "type" and isinstance(value, list):
            changed[key] = next(entry for entry in value if entry != "null")
        elif key == "$ref":
            changed[key] = DEFINITION_PREFIX + value.removeprefix(_EXTRACT_PREFIX)
        else:
            changed[key] = value
    return changed


def reference(schema: Definition) -> str:
    """The name of the definition that ``schema`` refers to; empty where it stands for itself."""
    target: str = schema.get("$ref", "")
    return target.removeprefix(DEFINITION_PREFIX)


def resolve(schema: Definition) -> Definition:
    """``schema``, or the definition that it refers to."""
    name = reference(schema)
    return definition(name) if name else schema


def references(name: str) -> set[str]:
    """Names of all definitions that ``name`` reaches, itself included."""
    found: set[str] = set()
    pending = [name]
    while pending:
        current = pending.pop()
        if current in found:
            continue
        found.add(current)
        pending.extend(mentioned(definition(current)))
    return found


def mentioned(schema: Definition) -> list[str]:
    """Names of the definitions that ``schema`` itself refers to."""
    found = [reference(schema)] if "$ref" in schema else []
    for key in ("items", "additionalProperties"):
        child = schema.get(key)
        if isinstance(child, dict):
            found.extend(mentioned(child))
    for child in schema.get("properties", {}).values():
        found.extend(mentioned(child))
    return found
