"""Where a pod may run: node selectors, affinity, tolerations, spreading, gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta import names
from steersman.meta.errors import duplicate, forbidden, invalid, not_supported, required
from steersman.schema.rules import (
    Errors,
    check_label_selector,
    check_name,
    check_optional_choice,
    check_positive,
)

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
TOLERATION_OPERATORS = ("Equal", "Exists", "Lt", "Gt")
UNSATISFIABLE_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
INCLUSION_POLICIES = ("Honor", "Ignore")
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)


def check_affinity(errors: Errors, affinity: Mapping[str, Any] | None, path: str) -> None:
    if not affinity:
        return
    nodes = affinity.get("nodeAffinity")
    if nodes:
        _check_node_affinity(errors, nodes, f"{path}.nodeAffinity")
    for name in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(name)
        if not pods:
            continue
        for index, term in enumerate(pods.get(_REQUIRED) or ()):
            _check_pod_term(errors, term, f"{path}.{name}.{_REQUIRED}[{index}]")
        for index, weighted in enumerate(pods.get(_PREFERRED) or ()):
            at = f"{path}.{name}.{_PREFERRED}[{index}]"
            _check_weight(errors, weighted, at)
            _check_pod_term(errors, weighted.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm")


def _check_weight(errors: Errors, entry: Mapping[str, Any], path: str) -> None:
    weight = entry.get("weight") or 0
    if not 1 <= weight <= 100:
        errors.append(invalid(f"{path}.weight", weight, "must be in the range 1-100"))


def _check_node_affinity(errors: Errors, affinity: Mapping[str, Any], path: str) -> None:
    selector = affinity.get(_REQUIRED)
    if selector is not None:
        check_node_selector(errors, selector, f"{path}.{_REQUIRED}")
    for index, entry in enumerate(affinity.get(_PREFERRED) or ()):
        at = f"{path}.{_PREFERRED}[{index}]"
        _check_weight(errors, entry, at)
        _check_node_term(errors, entry.get("preference") or {}, f"{at}.preference", strict=False)


def check_node_selector(errors: Errors, selector: Mapping[str, Any], path: str) -> None:
    """Terms of which one must match."""
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        errors.append(required(f"{path}.nodeSelectorTerms", "must have at least one node selector term"))
    for index, term in enumerate(terms):
        _check_node_term(errors, term, f"{path}.nodeSelectorTerms[{index}]", strict=True)


def _check_node_term(errors: Errors, term: Mapping[str, Any], path: str, *, strict: bool) -> None:
    for index, entry in enumerate(term.get("matchExpressions") or ()):
        _check_node_requirement(errors, entry, f"{path}.matchExpressions[{index}]", strict=strict)
    for index, entry in enumerate(term.get("matchFields") or ()):
        _check_node_field(errors, entry, f"{path}.matchFields[{index}]")


def _check_node_requirement(errors: Errors, entry: Mapping[str, Any], path: str, *, strict: bool) -> None:
    values = entry.get("values") or ()
    operator = entry.get("operator") or ""
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden(f"{path}.values", detail))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors.append(required(f"{path}.values", detail))
    else:
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    check_name(errors, entry.get("key") or "", f"{path}.key", names.label_key_errors)
    if strict:
        for index, value in enumerate(values):
            check_name(errors, value, f"{path}.values[{index}]", names.label_value_errors)


def _check_node_field(errors: Errors, entry: Mapping[str, Any], path: str) -> None:
    values, operator, key = entry.get("values") or (), entry.get("operator") or "", entry.get("key") or ""
    if operator not in ("In", "NotIn"):
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.append(required(f"{path}.values", detail))
    if key != "metadata.name":
        errors.append(invalid(f"{path}.key", key, "not a valid field selector key"))
    else:
        for index, value in enumerate(values):
            check_name(errors, value, f"{path}.values[{index}]", names.subdomain_errors)


def _check_pod_term(errors: Errors, term: Mapping[str, Any], path: str) -> None:
    selector = term.get("labelSelector")
    check_label_selector(errors, selector, f"{path}.labelSelector")
    check_label_selector(errors, term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for space in term.get("namespaces") or ():
        check_name(errors, space, f"{path}.namespace", names.label_errors)
    _check_label_keys(errors, term, selector, path)
    key = term.get("topologyKey") or ""
    if not key:
        errors.append(required(f"{path}.topologyKey", "can not be empty"))
    check_name(errors, key, f"{path}.topologyKey", names.label_key_errors)


def _check_label_keys(errors: Errors, term: Mapping[str, Any], selector: Mapping[str, Any] | None, path: str) -> None:
    """``matchLabelKeys`` and ``mismatchLabelKeys``, which add the pod's own labels to the selector."""
    matched, mismatched = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    for name, keys in (("matchLabelKeys", matched), ("mismatchLabelKeys", mismatched)):
        if keys and selector is None:
            errors.append(forbidden(f"{path}.{name}", "must not be specified when labelSelector is not set"))
            continue
        for index, key in enumerate(keys):
            check_name(errors, key, f"{path}.{name}[{index}]", names.label_key_errors)
    if selector is not None and matched:
        seen = set(selector.get("matchLabels") or ())
        for entry in selector.get("matchExpressions") or ():
            key = entry.get("key")
            if key in matched and key in seen:
                at = f"{path}[{list(matched).index(key)}]"
                errors.append(invalid(at, key, "exists in both matchLabelKeys and labelSelector"))
            seen.add(key)
    errors.extend(
        invalid(f"{path}.matchLabelKeys[{index}]", key, "exists in both matchLabelKeys and mismatchLabelKeys")
        for index, key in enumerate(matched)
        if key in mismatched
    )


def check_tolerations(errors: Errors, tolerations: Sequence[Mapping[str, Any]], path: str) -> None:
    for index, toleration in enumerate(tolerations):
        _check_toleration(errors, toleration, f"{path}[{index}]")


def _check_toleration(errors: Errors, toleration: Mapping[str, Any], path: str) -> None:
    key, value = toleration.get("key") or "", toleration.get("value") or ""
    operator, effect = toleration.get("operator") or "", toleration.get("effect") or ""
    if key:
        check_name(errors, key, f"{path}.key", names.label_key_errors)
    elif operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        errors.append(invalid(f"{path}.operator", operator, detail))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        errors.append(invalid(f"{path}.effect", effect, detail))
    if operator in ("", "Equal"):
        found = names.label_value_errors(value)
        if found:
            errors.append(invalid(f"{path}.operator", value, ";".join(found)))
    elif operator == "Exists":
        if value:
            errors.append(invalid(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'"))
    elif operator in ("Lt", "Gt"):
        errors.append(not_supported(f"{path}.operator", operator, TOLERATION_OPERATORS))
    else:
        errors.append(not_supported(f"{path}.operator", operator, ("Equal", "Exists")))
    if effect and effect not in TAINT_EFFECTS:
        errors.append(not_supported(f"{path}.effect", effect, TAINT_EFFECTS))


def check_spreading(errors: Errors, constraints: Sequence[Mapping[str, Any]], path: str) -> None:
    """``topologySpreadConstraints``."""
    for index, constraint in enumerate(constraints):
        at = f"{path}[{index}]"
        key, action = constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or ""
        check_positive(errors, constraint.get("maxSkew"), f"{at}.maxSkew")
        if not key:
            errors.append(required(f"{at}.topologyKey", "can not be empty"))
        if action not in UNSATISFIABLE_ACTIONS:
            errors.append(not_supported(f"{at}.whenUnsatisfiable", action, UNSATISFIABLE_ACTIONS))
        if any((other.get("topologyKey"), other.get("whenUnsatisfiable")) == (key, action)
               for other in constraints[index + 1 :]):  # fmt: skip
            errors.append(duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}"))
        least = constraint.get("minDomains")
        if least is not None:
            check_positive(errors, least, f"{at}.minDomains")
            if action != "DoNotSchedule":
                detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                errors.append(invalid(f"{at}.minDomains", least, detail))
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            check_optional_choice(errors, constraint.get(name), f"{at}.{name}", INCLUSION_POLICIES)
        selector = constraint.get("labelSelector")
        _check_label_keys(errors, {"matchLabelKeys": constraint.get("matchLabelKeys")}, selector, at)
        check_label_selector(errors, selector, f"{at}.labelSelector")


def check_gates(errors: Errors, gates: Sequence[Mapping[str, Any]], path: str) -> None:
    """``schedulingGates``."""
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name") or ""
        check_name(errors, name, f"{path}[{index}]", names.label_key_errors)
        if name in seen:
            errors.append(duplicate(f"{path}[{index}]", name))
        seen.add(name)
