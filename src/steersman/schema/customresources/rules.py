"""CEL rules of schemas (``x-kubernetes-validations``): where the engine of ``steersman.cel`` is plugged in.

``Rules`` is what a compiled schema's rules look like to the validation of custom resources; ``compile_rules`` is the one
place that makes them. Until the engine is there it makes none, and whoever writes a definition with rules is told so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from steersman.meta.errors import FieldError
from steersman.meta.objects import Object

Schema = Mapping[str, Any]
VALIDATIONS = "x-kubernetes-validations"


class Rules(Protocol):
    """The rules of one schema, compiled."""

    def errors(self, new: Object, old: Object | None) -> list[FieldError]:
        """What they say about an object; ``old`` None where it is new. Transition rules are skipped then."""


def compile_rules(schema: Schema) -> Rules | None:
    """The rules of the schema of a whole object; None where there are none, or none that can be evaluated."""
    return None


def unevaluated(schema: Schema, path: str) -> Iterator[str]:
    """Paths of rules in a schema that are not evaluated."""
    if schema.get(VALIDATIONS):
        yield f"{path}.{VALIDATIONS}"
    for name, part in (schema.get("properties") or {}).items():
        yield from unevaluated(part, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(name), Mapping):
            yield from unevaluated(schema[name], f"{path}.{name}")
    for name in ("allOf", "anyOf", "oneOf"):
        for index, part in enumerate(schema.get(name) or ()):
            yield from unevaluated(part, f"{path}.{name}[{index}]")
