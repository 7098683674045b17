"""Rules of ``status.conditions``, the list that most kinds report their state in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.errors import duplicate, invalid, not_supported, required, too_long
from steersman.meta.names import label_key_errors
from steersman.schema.rules import Errors, check_name

STATUSES = ("False", "True", "Unknown")
_REASON = r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_is_reason = re.compile(_REASON, re.ASCII).fullmatch
_REASON_LENGTH = 1024
_MESSAGE_LENGTH = 32 * 1024
_REASON_RULE = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or "
    "'_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or "
    f"'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '{_REASON}')"
)


def check_conditions(errors: Errors, conditions: Sequence[Mapping[str, Any]] | None, path: str) -> None:
    """A list of ``metav1.Condition``, one of each type."""
    seen = set()
    for index, condition in enumerate(conditions or ()):
        kind = condition.get("type") or ""
        if kind in seen:
            errors.append(duplicate(f"{path}[{index}].type", kind))
        seen.add(kind)
        _check_condition(errors, condition, f"{path}[{index}]")


def _check_condition(errors: Errors, condition: Mapping[str, Any], path: str) -> None:
    check_name(errors, condition.get("type") or "", f"{path}.type", label_key_errors)
    status, generation = condition.get("status") or "", condition.get("observedGeneration") or 0
    if status not in STATUSES:
        errors.append(not_supported(f"{path}.status", status, STATUSES))
    if generation < 0:
        errors.append(invalid(f"{path}.observedGeneration", generation, "must be greater than or equal to zero"))
    if not condition.get("lastTransitionTime"):
        errors.append(required(f"{path}.lastTransitionTime"))
    reason = condition.get("reason")
    if not reason:
        errors.append(required(f"{path}.reason"))
    else:
        if _is_reason(reason) is None:
            errors.append(invalid(f"{path}.reason", reason, _REASON_RULE))
        if len(reason.encode()) > _REASON_LENGTH:
            errors.append(too_long(f"{path}.reason", _REASON_LENGTH))
    if len((condition.get("message") or "").encode()) > _MESSAGE_LENGTH:
        errors.append(too_long(f"{path}.message", _MESSAGE_LENGTH))
