"""The selectors of a request as authorizers see them.

An authorizer may allow less than the whole of a collection. What cannot be understood of a selector is left out, which makes the
question that is asked a broader one. Source: KEP-4601 (authorize with selectors).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.meta.selectors import (
    EVERY_FIELD,
    EVERYTHING,
    FieldSelector,
    LabelSelector,
    Operator,
    Requirement,
    SelectorError,
    checked_requirement,
    parse_field_selector,
    parse_label_selector,
)

VERBS = frozenset({"list", "watch", "deletecollection"})
"""Of requests that have selectors."""
_LABEL_OPERATORS: Mapping[str, Operator] = {
    "In": "In",
    "NotIn": "NotIn",
    "Exists": "Exists",
    "DoesNotExist": "DoesNotExist",
}


class Selection(Struct, frozen=True, kw_only=True):
    """The parts of ``Attributes`` that selectors are."""

    field_selector: FieldSelector = EVERY_FIELD
    field_selector_error: str = ""
    label_selector: LabelSelector = EVERYTHING
    label_selector_error: str = ""

    def evaluation_errors(self) -> list[str]:
        """What an access review says of selectors that were not understood."""
        found = []
        for name, error, is_known in (
            ("fieldSelector", self.field_selector_error, not self.field_selector.is_everything),
            ("labelSelector", self.label_selector_error, not self.label_selector.is_everything),
        ):
            if error:
                partially = "partially " if is_known else ""
                found.append(f"spec.resourceAttributes.{name} {partially}ignored due to parse error")
        return found


NONE = Selection()


def parsed(field_selector: str, label_selector: str) -> Selection:
    """Selectors as clients write them."""
    fields, field_error, labels, label_error = EVERY_FIELD, "", EVERYTHING, ""
    try:
        fields = parse_field_selector(field_selector) if field_selector else EVERY_FIELD
    except SelectorError as error:
        field_error = str(error)
    try:
        labels = parse_label_selector(label_selector) if label_selector else EVERYTHING
    except SelectorError as error:
        label_error = str(error)
    return Selection(
        field_selector=fields, field_selector_error=field_error, label_selector=labels, label_selector_error=label_error
    )


def reviewed(attributes: Mapping[str, Any]) -> Selection:
    """Those of ``resourceAttributes`` of an access review."""
    by_field, by_label = attributes.get("fieldSelector") or {}, attributes.get("labelSelector") or {}
    found = parsed(by_field.get("rawSelector") or "", by_label.get("rawSelector") or "")
    fields, field_error = found.field_selector, found.field_selector_error
    labels, label_error = found.label_selector, found.label_selector_error
    if by_field.get("requirements"):
        fields, field_error = _fields(by_field["requirements"])
    if by_label.get("requirements"):
        labels, label_error = _labels(by_label["requirements"])
    return Selection(
        field_selector=fields, field_selector_error=field_error, label_selector=labels, label_selector_error=label_error
    )


def _fields(requirements: Sequence[Mapping[str, Any]]) -> tuple[FieldSelector, str]:
    terms: list[tuple[str, bool, str]] = []
    errors: list[str] = []
    for entry in requirements:
        operator, values = entry.get("operator") or "", entry.get("values") or ()
        if len(values) > 1:
            errors.append("fieldSelectors do not yet support multiple values")
        elif operator in ("Exists", "DoesNotExist"):
            errors.append(f"fieldSelectors do not yet support {operator}")
        elif operator not in ("In", "NotIn"):
            errors.append(f'"{operator}" is not a valid field selector operator')
        elif not values:
            errors.append(f"fieldSelectors {'in' if operator == 'In' else 'not in'} must have one value")
        else:
            terms.append((entry.get("key") or "", operator == "In", values[0]))
    return FieldSelector(tuple(terms)), "; ".join(errors)


def _labels(requirements: Sequence[Mapping[str, Any]]) -> tuple[LabelSelector, str]:
    found: list[Requirement] = []
    errors: list[str] = []
    for entry in requirements:
        operator = _LABEL_OPERATORS.get(entry.get("operator") or "")
        if operator is None:
            errors.append(f'"{entry.get("operator") or ""}" is not a valid label selector operator')
            continue
        try:
            found.append(checked_requirement(entry.get("key") or "", operator, frozenset(entry.get("values") or ())))
        except SelectorError as error:
            errors.append(str(error))
    return LabelSelector(tuple(found)), "; ".join(errors)
