"""What the compiler makes of a part of an expression: a closure and what running it costs at least."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from steersman.cel.values import Value

Frame: TypeAlias = list[Value]
"""One evaluation: [cost so far, cost limit, variables..., local variables...]. A plain list, because nothing is faster."""

COST, LIMIT, FIRST_VARIABLE = 0, 1, 2

Run: TypeAlias = Callable[[Frame], Value]


class Code(Struct, frozen=True):
    """``cost`` is charged by whoever runs it, once and up front; ``run`` adds to the frame only what varies."""

    run: Run
    cost: int
    path: bool = False
    """Names a place (``a.b[0]``): what selects from it extends it and is not charged for starting anew."""
    root: int = 0
    """The part of ``cost`` that a path costs because it stands for itself. Arms of ``?:`` and indices do not."""
    slot: int = 0
    """Of the frame, if this is nothing but a variable."""
    constant: bool = False
    value: Value = None

    @property
    def embedded_cost(self) -> int:
        """The cost as an arm of ``?:`` or as an index."""
        return self.cost - self.root


def constant(value: Value) -> Code:
    def run(frame: Frame) -> Value:
        return value

    return Code(run, 0, constant=True, value=value)
