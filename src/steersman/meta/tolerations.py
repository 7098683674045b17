"""Tolerations of pods: which of two tolerates more, merging, and what a whitelist covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.objects import Object


def _same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    names = {*first, *second}
    return all((first.get(name) or None) == (second.get(name) or None) for name in names - {"tolerationSeconds"}) and (
        first.get("tolerationSeconds") == second.get("tolerationSeconds")
    )


def covers(wider: Mapping[str, Any], toleration: Mapping[str, Any]) -> bool:
    """``wider`` tolerates everything that ``toleration`` does."""
    if _same(wider, toleration):
        return True
    key, operator = wider.get("key") or "", wider.get("operator") or ""
    if (toleration.get("key") or "") != key and (key or operator != "Exists"):
        return False
    effect = wider.get("effect") or ""
    if effect and (toleration.get("effect") or "") != effect:
        return False
    if effect == "NoExecute" and wider.get("tolerationSeconds") is not None:
        seconds = toleration.get("tolerationSeconds")
        if seconds is None or seconds > wider["tolerationSeconds"]:
            return False
    if operator in ("", "Equal"):
        is_equal = (toleration.get("operator") or "") == "Equal"
        return is_equal and (toleration.get("value") or "") == (wider.get("value") or "")
    return bool(operator == "Exists")


def merged(first: Sequence[Object], second: Sequence[Object]) -> list[Object]:
    """Both, without those that another one covers; of equal ones the first stays."""
    everything = [*first, *second]
    found: list[Object] = []
    for position, toleration in enumerate(everything):
        if any(covers(other, toleration) for other in found):
            continue
        later = everything[position + 1 :]
        if any(not _same(toleration, other) and covers(other, toleration) for other in later):
            continue
        found.append(toleration)
    return found


def are_within(tolerations: Sequence[Object], whitelist: Sequence[Object]) -> bool:
    """Each is covered by an entry of the list; an empty list allows everything."""
    return not whitelist or all(any(covers(allowed, entry) for allowed in whitelist) for entry in tolerations)
