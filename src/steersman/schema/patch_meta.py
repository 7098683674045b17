"""How strategic merge patch treats a field: its strategy and merge key, looked up in the definitions once per structure.

Source: the extensions ``x-kubernetes-patch-strategy`` and ``x-kubernetes-patch-merge-key`` of upstream's OpenAPI.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from msgspec import Struct

from steersman.meta.errors import APIError
from steersman.schema import definitions
from steersman.schema.definitions import Definition


class FieldMeta(Struct, frozen=True, kw_only=True):
    """One field as a patch meets it."""

    strategy: str
    """``merge``, ``replace`` or empty: maps merge and lists are replaced."""
    merge_key: str
    """Field that tells elements of a merged list of objects apart; empty for lists of scalars."""
    below: Node
    """The structure of the field's value, or of its elements where it is a list."""


class Node:
    """The fields of one structure, or the values of one map."""

    __slots__ = ("_fields", "_name", "_schema")

    def __init__(self, schema: Definition, name: str) -> None:
        self._schema = schema
        self._name = name
        self._fields: dict[str, FieldMeta] = {}

    def field(self, key: str) -> FieldMeta:
        """Raises ``APIError`` (500, as upstream) for a field that the structure does not have."""
        found = self._fields.get(key)
        if found is None:
            found = self._fields[key] = self._look_up(key)
        return found

    def _look_up(self, key: str) -> FieldMeta:
        properties: Mapping[str, Definition] = self._schema.get("properties", {})
        schema = properties.get(key)
        if schema is None:
            if properties:
                raise APIError(f'unable to find api field in struct {self._name} for the json field "{key}"')
            # A map, or a value without structure (RawExtension): everything below merges plainly.
            return FieldMeta(strategy="", merge_key="", below=_node(self._schema.get("additionalProperties", {})))
        strategies = schema.get("x-kubernetes-patch-strategy", "").split(",")
        return FieldMeta(
            strategy=next((entry for entry in strategies if entry in ("merge", "replace")), ""),
            merge_key=schema.get("x-kubernetes-patch-merge-key", ""),
            below=_node(schema.get("items", schema)),
        )


def _node(schema: Definition) -> Node:
    name = definitions.reference(schema)
    return node(name) if name else Node(schema, "")


@cache
def node(definition: str) -> Node:
    """The fields of a definition. Raises ``definitions.UnknownDefinition``."""
    return Node(definitions.definition(definition), definition.rpartition(".")[2])
