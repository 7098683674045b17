"""Conditions of a certificate request: who may approve, deny or fail it, through which subresource."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta import times
from steersman.meta.errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from steersman.meta.objects import Object
from steersman.schema.columns import value_at
from steersman.schema.equality import same
from steersman.schema.rules import Errors

Condition = Mapping[str, Any]

_DECISIONS = ("Approved", "Denied")
_FINAL = (*_DECISIONS, "Failed")
_PATH = "status.conditions"


def conditions_of(obj: Object, kind: str = "") -> list[Condition]:
    """All conditions, or those of one type."""
    found = value_at(obj, "status", "conditions") or ()
    return [condition for condition in found if not kind or condition.get("type") == kind]


def check_request_conditions(errors: Errors, conditions: Sequence[Condition]) -> None:
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        kind, status, path = condition.get("type") or "", condition.get("status"), f"{_PATH}[{index}]"
        if not kind:
            errors.append(required(f"{path}.type"))
        allowed = ("True",) if kind in _FINAL else ("False", "True", "Unknown")
        if not status:
            errors.append(required(f"{path}.status"))
        elif status not in allowed:
            errors.append(not_supported(f"{path}.status", status, allowed))
        if kind in _DECISIONS and any(other in seen for other in _DECISIONS if other != kind):
            errors.append(invalid(_PATH, kind, "Approved and Denied conditions are mutually exclusive"))
        if kind in seen:
            errors.append(duplicate(f"{path}.type", kind))
        seen.add(kind)


def check_kept(errors: Errors, new: Object, old: Object) -> None:
    """What was decided stays decided."""
    for kind in _FINAL:
        if len(conditions_of(new, kind)) < len(conditions_of(old, kind)):
            errors.append(forbidden(_PATH, f'updates may not remove a condition of type "{kind}"'))


def check_undecided(errors: Errors, new: Object, old: Object) -> None:
    """Only ``approval`` decides."""
    for kind in _DECISIONS:
        now, before = conditions_of(new, kind), conditions_of(old, kind)
        if len(now) > len(before):
            errors.append(forbidden(_PATH, f'updates may not add a condition of type "{kind}"'))
        elif len(now) == len(before) and not same(now, before):
            errors.append(forbidden(_PATH, f'updates may not modify a condition of type "{kind}"'))


def prepare_approval(new: Object, old: Object) -> None:
    """Conditions and nothing else."""
    conditions = conditions_of(new)
    new["spec"] = old.get("spec") or {}
    status = {name: value for name, value in (old.get("status") or {}).items() if name != "conditions"}
    new["status"] = {**status, "conditions": conditions} if conditions else status


def keep_decisions(new: Object, old: Object) -> None:
    """A write of ``status`` keeps the decision as it was made, in every detail."""
    conditions = conditions_of(new)
    for kind in _DECISIONS:
        before = conditions_of(old, kind)
        places = [index for index, condition in enumerate(conditions) if condition.get("type") == kind]
        if len(places) == len(before):
            for place, condition in zip(places, before, strict=True):
                conditions[place] = condition
    if conditions:
        new["status"]["conditions"] = conditions


def decision_errors(new: Object, old: Object) -> list[FieldError]:
    """What ``approval`` and ``status`` have in common."""
    errors: Errors = []
    check_request_conditions(errors, conditions_of(new))
    check_kept(errors, new, old)
    return errors


def stamp_conditions(new: Object, old: Object, now_s: float) -> None:
    """Conditions without times get them: of the transition, that of the same type and status before."""
    conditions = conditions_of(new)
    if all(condition.get("lastUpdateTime") and condition.get("lastTransitionTime") for condition in conditions):
        return
    now = times.format_time(now_s)
    since: dict[tuple[Any, Any], str] = {}
    for condition in conditions_of(old):
        if condition.get("lastTransitionTime"):
            since.setdefault((condition.get("type"), condition.get("status")), condition["lastTransitionTime"])
    new["status"]["conditions"] = [
        {
            **condition,
            "lastUpdateTime": condition.get("lastUpdateTime") or now,
            "lastTransitionTime": condition.get("lastTransitionTime")
            or since.get((condition.get("type"), condition.get("status")), now),
        }
        for condition in conditions
    ]
