"""One label key over all nodes: each node's value as a small integer, so that a selector is one table look-up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steersman.meta.selectors import Requirement

ABSENT = -1
"""The id of nodes without the label."""

Ids = NDArray[np.int32]
Mask = NDArray[np.bool_]
Rows = slice | NDArray[np.intp]
"""Which nodes: all of them as a slice, or some by their row numbers."""


class LabelColumn:
    """Interned values of one key. Ids are dense and never reused, so they double as topology-domain ids."""

    def __init__(self, key: str, capacity: int) -> None:
        self.key = key
        self.ids: Ids = np.full(capacity, ABSENT, dtype=np.int32)
        self.values: list[str] = []
        self._id_of: dict[str, int] = {}

    def __len__(self) -> int:
        """How many different values there have been."""
        return len(self.values)

    def grow(self, capacity: int) -> None:
        grown = np.full(capacity, ABSENT, dtype=np.int32)
        grown[: len(self.ids)] = self.ids
        self.ids = grown

    def set(self, row: int, value: str | None) -> None:
        self.ids[row] = ABSENT if value is None else self._intern(value)

    def id_of(self, value: str) -> int:
        """The id of a value, ``ABSENT`` where no node ever had it."""
        return self._id_of.get(value, ABSENT)

    def matches(self, requirement: Requirement, rows: Rows) -> Mask:
        """Which of ``rows`` satisfy ``requirement``, which must be about this key."""
        ids = self.ids[rows]
        match requirement.operator:
            case "Exists":
                return ids >= 0
            case "DoesNotExist":
                return ids < 0
            case "In" | "NotIn" if len(requirement.values) == 1:
                wanted = self._id_of.get(next(iter(requirement.values)))
                if wanted is None:
                    return np.full(ids.shape, requirement.operator == "NotIn")
                equal: Mask = ids == wanted
                return equal if requirement.operator == "In" else ~equal
        accepted = np.zeros(len(self.values) + 1, dtype=np.bool_)
        for index, value in enumerate(self.values):
            accepted[index] = requirement.matches({self.key: value})
        accepted[ABSENT] = requirement.matches({})
        answer: Mask = accepted[ids]
        return answer

    def _intern(self, value: str) -> int:
        found = self._id_of.get(value)
        if found is None:
            found = self._id_of[value] = len(self.values)
            self.values.append(value)
        return found
