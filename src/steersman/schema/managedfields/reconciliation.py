"""Sets of fields after their type has changed: a list or map that is atomic now belongs, as a whole, to all who had parts of it.

The other way round nothing changes: what was atomic stays one field of its owner until somebody writes below it.
Source: "Compatibility across topology changes" of the server-side apply documentation.
"""

from __future__ import annotations

from steersman.schema.managedfields.fieldset import EMPTY, SELF, FieldSet
from steersman.schema.managedfields.typed import Type

_ATOMIC = ("array", "object")


def reconciled(fields: FieldSet, type_: Type) -> FieldSet:
    """``fields`` as the type has them now: itself where nothing is different. Fields that the type does not have stay."""
    result: FieldSet | None = None
    for step, node in fields.items():
        if step == SELF or not node:
            continue
        below = type_.child(step[2:]) if step.startswith("f:") else type_.element
        if below is None:
            continue
        now = EMPTY if below.form == "leaf" and below.expects in _ATOMIC else reconciled(node, below)
        if now is not node:
            if result is None:
                result = dict(fields)
            result[step] = now
    return fields if result is None else result
