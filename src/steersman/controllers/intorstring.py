"""``IntOrString``: a count, or a percentage of some total."""

from __future__ import annotations

import math
from typing import Any


def scaled(value: Any, total: int, *, round_up: bool) -> int:
    """``value`` as a count: an integer as it is, ``"25%"`` of ``total``. Raises ``ValueError`` for anything else."""
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdecimal():
        share = int(value[:-1]) * total
        return math.ceil(share / 100) if round_up else share // 100
    raise ValueError(f"invalid value for IntOrString: {value!r}")
