"""Building blocks of validation: each adds to ``errors`` what is wrong with one value, in upstream's words.

Rules take the errors found so far and add to them, so that a valid object costs no list but the one that the kind returns.
Values may be absent (None) wherever a field is optional.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from steersman.meta import names
from steersman.meta.errors import FieldError, forbidden, invalid, not_supported, required
from steersman.meta.quantities import quantity
from steersman.schema.equality import same

Errors = list[FieldError]
NameRule = Callable[[str], list[str]]

NOT_NEGATIVE = "must be greater than or equal to 0"
NOT_ZERO = "must be greater than zero"
IMMUTABLE = "field is immutable"


def too_many(path: str, count: int, limit: int) -> FieldError:
    return FieldError("FieldValueTooMany", path, f"must have at most {limit} item{'' if limit == 1 else 's'}", count)


def check_present(errors: Errors, value: Mapping[str, Any], path: str, *fields: str, detail: str = "") -> None:
    """Strings, lists and objects that must not be absent or empty."""
    for name in fields:
        if not value.get(name):
            errors.append(required(f"{path}.{name}" if path else name, detail))


def check_name(errors: Errors, value: str, path: str, rule: NameRule) -> None:
    for text in rule(value):
        errors.append(invalid(path, value, text))


def check_required_name(errors: Errors, value: str | None, path: str, rule: NameRule) -> None:
    if not value:
        errors.append(required(path))
    else:
        check_name(errors, value, path, rule)


def check_choice(errors: Errors, value: Any, path: str, allowed: Sequence[str]) -> None:
    """One of ``allowed``; required."""
    if not value:
        errors.append(required(path))
    elif value not in allowed:
        errors.append(not_supported(path, value, allowed))


def check_optional_choice(errors: Errors, value: Any, path: str, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        errors.append(not_supported(path, value, allowed))


def check_not_negative(errors: Errors, value: int | None, path: str) -> None:
    if value is not None and value < 0:
        errors.append(invalid(path, value, NOT_NEGATIVE))


def check_counts(errors: Errors, obj: Mapping[str, Any], path: str, *fields: str) -> None:
    """Integer fields that must not be negative."""
    for name in fields:
        value = obj.get(name)
        if value is not None and value < 0:
            errors.append(invalid(f"{path}.{name}" if path else name, value, NOT_NEGATIVE))


def check_positive(errors: Errors, value: int | None, path: str) -> None:
    """An integer above zero; absent counts as zero."""
    if (value or 0) <= 0:
        errors.append(invalid(path, value or 0, NOT_ZERO))


def check_between(errors: Errors, value: int | None, path: str, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        errors.append(invalid(path, value, names.between(low, high)))


def check_immutable(
    errors: Errors, new: Any, old: Any, path: str, *, shown: Callable[[Any], Any] | None = None
) -> None:
    """``shown``: how upstream's message writes the value, where that is not as JSON has it."""
    if not same(new, old):
        value = "" if new is None and isinstance(old, str) else new
        errors.append(invalid(path, value if shown is None else shown(value), IMMUTABLE))


def check_quantity(errors: Errors, value: Any, path: str) -> Fraction | None:
    """The amount, or None where it is no quantity."""
    try:
        return quantity(value)
    except ValueError as error:
        errors.append(invalid(path, value, str(error)))
        return None


def check_port(errors: Errors, value: int | None, path: str) -> None:
    for text in names.port_number_errors(value or 0):
        errors.append(invalid(path, value or 0, text))


def check_port_or_name(errors: Errors, value: int | str | None, path: str) -> None:
    if isinstance(value, str):
        check_name(errors, value, path, names.port_name_errors)
    else:
        check_port(errors, value, path)


def check_labels(errors: Errors, labels: Mapping[str, str] | None, path: str) -> None:
    for key, value in (labels or {}).items():
        check_name(errors, key, path, names.label_key_errors)
        check_name(errors, value or "", path, names.label_value_errors)


def check_annotations(errors: Errors, annotations: Mapping[str, str] | None, path: str) -> None:
    for key in annotations or ():
        for text in names.label_key_errors(key.lower()):
            errors.append(invalid(path, key, text))


def check_label_selector(errors: Errors, selector: Mapping[str, Any] | None, path: str) -> None:
    if not selector:
        return
    check_labels(errors, selector.get("matchLabels"), f"{path}.matchLabels")
    for index, entry in enumerate(selector.get("matchExpressions") or ()):
        check_requirement(errors, entry, f"{path}.matchExpressions[{index}]")


def check_requirement(errors: Errors, entry: Mapping[str, Any], path: str) -> None:
    """One expression of a label selector."""
    if not check_values(errors, entry, path):
        errors.append(invalid(f"{path}.operator", entry.get("operator") or "", "not a valid selector operator"))
    check_requirement_names(errors, entry, path)


def check_values(errors: Errors, entry: Mapping[str, Any], path: str) -> bool:
    """Values are there where the operator of an expression takes some. False: it is none that is known."""
    values = entry.get("values") or ()
    operator = entry.get("operator")
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden(f"{path}.values", detail))
    else:
        return False
    return True


def check_requirement_names(errors: Errors, entry: Mapping[str, Any], path: str) -> None:
    """The key and the values of an expression are such as labels have."""
    check_name(errors, entry.get("key") or "", f"{path}.key", names.label_key_errors)
    for index, value in enumerate(entry.get("values") or ()):
        check_name(errors, value, f"{path}.values[{index}]", names.label_value_errors)


def check_distinct(errors: Errors, values: Iterable[Any], path: str) -> None:
    """No entry of a list occurs twice."""
    seen: set[Any] = set()
    for index, value in enumerate(values):
        if value in seen:
            errors.append(FieldError("FieldValueDuplicate", f"{path}[{index}]", "", value))
        seen.add(value)
