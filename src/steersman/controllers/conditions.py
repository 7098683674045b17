"""Conditions of a status: replaced as a whole, their transition times kept where the status did not change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steersman.meta import objects, times
from steersman.meta.objects import Object


def find(conditions: Iterable[Object], kind: str) -> Object | None:
    return next((entry for entry in conditions if entry["type"] == kind), None)


def without(conditions: Iterable[Object], kind: str) -> list[Object]:
    return [entry for entry in conditions if entry["type"] != kind]


def with_condition(
    conditions: Sequence[Object],
    kind: str,
    status: str,
    reason: str,
    message: str,
    now_s: float,
    *,
    keeps_message: bool = True,
    transition_field: str = "lastTransitionTime",
) -> list[Object]:
    """``conditions`` with this one set; unchanged (the same entry) where status and reason are already so.

    With ``keeps_message`` a new message alone changes nothing, as in the workload controllers; else it replaces the old.
    """
    old = find(conditions, kind)
    same_status = old is not None and old["status"] == status
    if old is not None and same_status and old.get("reason", "") == reason:
        says_so_already = keeps_message or old.get("message", "") == message
        if says_so_already:
            return list(conditions)
    since = (old or {}).get(transition_field) if same_status else None
    entry: Object = {"type": kind, "status": status, transition_field: since or times.format_time(now_s)}
    if reason:
        entry["reason"] = reason
    if message:
        entry["message"] = message
    if old is None:
        return [*conditions, entry]
    return [entry if found is old else found for found in conditions]


def pod_condition(
    pod: Mapping[str, Any], kind: str, status: str, now_s: float, *, reason: str = "", message: str = ""
) -> Object:
    """A condition to merge into a pod's status, that began now; it says for which generation of the pod it was made."""
    entry: Object = {"type": kind, "status": status, "lastTransitionTime": times.format_time(now_s)}
    if objects.generation(pod):
        entry["observedGeneration"] = objects.generation(pod)
    return entry | {name: text for name, text in (("reason", reason), ("message", message)) if text}
