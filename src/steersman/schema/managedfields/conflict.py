"""Conflicts of an apply: fields that others own and whose values it would change."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.meta.errors import Conflict
from steersman.schema.managedfields import fieldset
from steersman.schema.managedfields.fieldset import FieldSet
from steersman.schema.managedfields.managers import Identity


class ApplyConflict(Conflict):
    """409 with one cause for each field and its owner. ``fields`` is what was conflicting, by owner."""

    def __init__(self, fields: Mapping[Identity, FieldSet]) -> None:
        self.fields = dict(fields)
        owners = sorted(self.fields, key=lambda key: key.text)
        pairs = [(owner, fieldset.path_text(path)) for owner in owners for path in fieldset.paths(self.fields[owner])]
        super().__init__(
            _message(pairs),
            details={
                "causes": [
                    {
                        "reason": "FieldManagerConflict",
                        "message": f"conflict with {owner.described()}",
                        "field": path,
                    }
                    for owner, path in pairs
                ]
            },
        )


def _message(pairs: list[tuple[Identity, str]]) -> str:
    if len(pairs) == 1:
        owner, path = pairs[0]
        return f"Apply failed with 1 conflict: conflict with {owner.described()}: {path}"
    lines: list[str] = []
    last: Identity | None = None
    for owner, path in pairs:
        if owner != last:
            lines.append(f"conflicts with {owner.described()}:")
            last = owner
        lines.append(f"- {path}")
    return f"Apply failed with {len(pairs)} conflicts: " + "\n".join(lines)
