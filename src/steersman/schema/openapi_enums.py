"""Built-in definitions as the OpenAPI documents publish them: with the values of enumerated fields.

``definitions.definition`` is without them: requests are decoded by it, and tables quote it, and neither needs them. Lists of values
are sorted, and values of a field are repeated below its description, as upstream's generator does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from steersman.schema import definitions
from steersman.schema.definitions import Definition
from steersman.schema.enumerations.enumeration import Enumeration


def published(name: str) -> Definition:
    """A built-in definition with enums. Raises ``UnknownDefinition``."""
    source = definitions.definition(name)
    enumerated = _by_definition().get(name)
    if enumerated is None:
        return source
    properties = dict(source["properties"])
    for field, enumeration in enumerated.items():
        properties[field] = _with_values(properties[field], enumeration)
    return {**source, "properties": properties}


@cache
def _by_definition() -> Mapping[str, Mapping[str, Enumeration]]:
    from steersman.schema.enumerations.registry import ENUMERATIONS  # reaches all kinds; only documents need it

    found: dict[str, dict[str, Enumeration]] = {}
    for enumeration in ENUMERATIONS:
        for field in enumeration.fields:
            definition, _, name = field.partition("/")
            found.setdefault(definition, {})[name] = enumeration
    return found


def _with_values(schema: Definition, enumeration: Enumeration) -> Definition:
    values = sorted(enumeration.values)
    for entries in ("items", "additionalProperties"):
        if entries in schema:
            return {**schema, entries: {**schema[entries], "enum": values}}
    description = f"{schema.get('description', '')}\n\n{enumeration.description()}".lstrip()
    return {**schema, "description": description, "enum": values}
