"""A string type of the API that has a fixed set of values, as the OpenAPI documents list them.

Upstream's documents list them for the types that its source marks as enumerated, and for no others: a field of a closed set
that is not marked (``ipMode`` of a Service's ingress) has no enum there, and none here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct, field


class Enumeration(Struct, frozen=True, kw_only=True):
    values: Collection[str]
    """Those that validation accepts, from where it has them, in any order; for fields that only the server writes, listed here."""
    meanings: Mapping[str, str] = field(default_factory=dict)
    """What values stand for, where the field's own description leaves that open; in our words."""
    fields: Sequence[str]
    """``<definition>/<field>``. Of a list or map of strings, each entry is of this type."""

    def description(self) -> str:
        """What is added to a field's description; not to that of a list or a map."""
        lines = sorted(f' - `"{value}"` {self.meanings.get(value, "")}'.rstrip() for value in self.values)
        return "\n".join(("Possible enum values:", *lines))
