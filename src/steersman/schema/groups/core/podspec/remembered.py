"""What was found out about specifications of pods, remembered by their bytes: a workload's pods all have the same, so that
the thousandth pod of a ReplicaSet is not validated word by word again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

LIMIT = 1024
"""Specifications remembered; all are forgotten when there are more."""
LONGEST_BYTES = 16 * 1024
"""Longer ones are not remembered, so that no more than 16 MiB are."""
_DEPENDS_ON_NAME = b'"ephemeral":'
"""The claims of ephemeral volumes are named after the pod: the rules of such a specification look beyond it."""
_encode = msgspec.json.Encoder().encode


class Facts(Struct):
    """What is known of one specification; all of it follows from its bytes alone."""

    is_valid: bool = False
    has_no_warnings: bool = False


class Remembered:
    """Facts by bytes of specifications."""

    def __init__(self) -> None:
        self._facts: dict[bytes, Facts] = {}
        self._last: tuple[Mapping[str, Any], Facts | None] = ({}, None)

    def facts(self, spec: Mapping[str, Any]) -> Facts | None:
        """Those of ``spec``; None where it is not remembered."""
        facts = self._of(_encode(spec))
        self._last = spec, facts
        return facts

    def facts_again(self, spec: Mapping[str, Any]) -> Facts | None:
        """The same for who looks at a specification right after ``facts`` did, and has not changed it."""
        last, facts = self._last
        self._last = {}, None
        return facts if last is spec else self._of(_encode(spec))

    def _of(self, written: bytes) -> Facts | None:
        facts = self._facts.get(written)
        if facts is not None or len(written) > LONGEST_BYTES or _DEPENDS_ON_NAME in written:
            return facts
        if len(self._facts) >= LIMIT:
            self._facts.clear()
        facts = self._facts[written] = Facts()
        return facts


PODS = Remembered()
"""Of pods that have a name and mirror nothing."""
