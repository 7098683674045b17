"""The order of the filters, and how they are strung together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from steersman.apiserver.filters.api import Filter, Next

ORDER: Sequence[str] = (
    "deadline",
    "authentication",
    "audit",
    "impersonation",
    "flowcontrol",
    "authorization",
)
"""As upstream's DefaultBuildHandlerChain has them. Request info comes before all: it is read when the call is made."""


def chain(filters: Sequence[Filter], last: Next) -> Next:
    """``filters`` before ``last``, the first one outermost. Raises ``ValueError`` for another order than ``ORDER``."""
    names = [entry.NAME for entry in filters]
    if names != [name for name in ORDER if name in names]:
        raise ValueError(f"filters must be in the order {', '.join(ORDER)}, not {', '.join(names)}")
    following = last
    for entry in reversed(filters):
        following = partial(entry, following=following)
    return following
