"""Rules of what a claim asks for.

Selectors are looked at as text only: whether they compile, and at what cost, is not checked here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.errors import FieldError, duplicate, forbidden, invalid, not_supported, required, too_long
from steersman.meta.names import label_errors, label_key_errors, label_value_errors, subdomain_errors
from steersman.schema.groups.core.volumesources import check_csi_driver_name
from steersman.schema.groups.resource.naming import check_full_name, check_parameters
from steersman.schema.rules import NOT_ZERO, Errors, check_name, check_optional_choice, check_required_name, too_many

ENTRIES = 32
_ALTERNATIVES = 8
_EXPRESSION_BYTES = 10 * 1024
EFFECTS = ("NoExecute", "NoSchedule", "None")
ALLOCATION_MODES = ("All", "ExactCount")
OPERATORS = ("Equal", "Exists")
_REFERENCE = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"


def check_device_claim(errors: Errors, devices: Mapping[str, Any], path: str) -> None:
    known = request_names(devices)
    requests = devices.get("requests") or ()
    if len(requests) > ENTRIES:
        errors.append(too_many(f"{path}.requests", len(requests), ENTRIES))
    else:
        for index, request in enumerate(requests):
            _check_request(errors, request, f"{path}.requests[{index}]")
        _check_names_once(errors, requests, f"{path}.requests")
    for name, check in (("constraints", _check_constraint), ("config", check_configuration)):
        entries = devices.get(name) or ()
        if len(entries) > ENTRIES:
            errors.append(too_many(f"{path}.{name}", len(entries), ENTRIES))
            continue
        for index, entry in enumerate(entries):
            at = f"{path}.{name}[{index}]"
            check_request_references(errors, entry.get("requests") or (), known, f"{at}.requests")
            check(errors, entry, at)


def request_names(devices: Mapping[str, Any]) -> set[str]:
    """``request`` and ``request/alternative``."""
    names = set()
    for request in devices.get("requests") or ():
        name = request.get("name") or ""
        names.add(name)
        names.update(f"{name}/{part.get('name') or ''}" for part in request.get("firstAvailable") or ())
    return names


def _check_names_once(errors: Errors, entries: Sequence[Mapping[str, Any]], path: str) -> None:
    seen = set()
    for index, entry in enumerate(entries):
        name = entry.get("name") or ""
        if name in seen:
            errors.append(duplicate(f"{path}[{index}]", name))
        seen.add(name)


def _check_request(errors: Errors, request: Mapping[str, Any], path: str) -> None:
    check_name(errors, request.get("name") or "", f"{path}.name", label_errors)
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or ()
    either = "exactly one of `exactly` or `firstAvailable` is required"
    if exactly is not None and alternatives:
        errors.append(invalid(path, None, f"{either}, but multiple fields are set"))
    elif exactly is not None:
        _check_exact(errors, exactly, f"{path}.exactly")
    elif not alternatives:
        errors.append(required(path, either))
    elif len(alternatives) > _ALTERNATIVES:
        errors.append(too_many(f"{path}.firstAvailable", len(alternatives), _ALTERNATIVES))
    else:
        for index, part in enumerate(alternatives):
            check_name(errors, part.get("name") or "", f"{path}.firstAvailable[{index}].name", label_errors)
            _check_exact(errors, part, f"{path}.firstAvailable[{index}]")
        _check_names_once(errors, alternatives, f"{path}.firstAvailable")


def _check_exact(errors: Errors, request: Mapping[str, Any], path: str) -> None:
    check_required_name(errors, request.get("deviceClassName"), f"{path}.deviceClassName", subdomain_errors)
    check_selectors(errors, request.get("selectors") or (), f"{path}.selectors")
    mode, count = request.get("allocationMode") or "", request.get("count") or 0
    if mode == "All":
        if count:
            errors.append(invalid(f"{path}.count", count, "must not be specified when allocationMode is 'All'"))
    elif mode != "ExactCount":
        errors.append(not_supported(f"{path}.allocationMode", mode, ALLOCATION_MODES))
    elif count <= 0:
        errors.append(invalid(f"{path}.count", count, NOT_ZERO))
    for index, toleration in enumerate(request.get("tolerations") or ()):
        _check_toleration(errors, toleration, f"{path}.tolerations[{index}]")


def check_selectors(errors: Errors, selectors: Sequence[Mapping[str, Any]], path: str) -> None:
    if len(selectors) > ENTRIES:
        errors.append(too_many(path, len(selectors), ENTRIES))
        return
    for index, selector in enumerate(selectors):
        cel = selector.get("cel")
        if cel is None:
            errors.append(required(f"{path}[{index}].cel"))
        elif len((cel.get("expression") or "").encode()) > _EXPRESSION_BYTES:
            errors.append(too_long(f"{path}[{index}].cel.expression", _EXPRESSION_BYTES))
        else:
            _check_expression(errors, cel.get("expression") or "", f"{path}[{index}].cel.expression")


def _check_expression(errors: Errors, expression: str, path: str) -> None:
    from steersman.cel import CELError, InstantiationError  # the engine is for those who have expressions
    from steersman.cel.devices import COST_LIMIT, SelectorTypeError, compiled

    program = compiled(expression)
    if isinstance(program, InstantiationError):
        errors.append(FieldError("InternalError", path, f"program instantiation failed: {program}", None))
    elif isinstance(program, SelectorTypeError):
        errors.append(invalid(path, expression, str(program)))
    elif isinstance(program, CELError):
        errors.append(invalid(path, expression, f"compilation failed: {program}"))
    elif program.estimated_cost.max > COST_LIMIT:
        errors.append(forbidden(path, "too complex, exceeds cost limit"))


def _check_toleration(errors: Errors, toleration: Mapping[str, Any], path: str) -> None:
    key, operator, value = (toleration.get(name) or "" for name in ("key", "operator", "value"))
    if key:
        check_name(errors, key, f"{path}.key", label_key_errors)
    if operator == "Exists":
        if value:
            errors.append(invalid(f"{path}.value", value, "must be empty for operator `Exists`"))
    elif operator == "Equal":
        check_name(errors, value, f"{path}.value", label_value_errors)
    elif not operator:
        errors.append(required(f"{path}.operator"))
    else:
        errors.append(not_supported(f"{path}.operator", operator, OPERATORS))
    check_optional_choice(errors, toleration.get("effect") or None, f"{path}.effect", EFFECTS)


def check_request_references(errors: Errors, names: Sequence[str], known: set[str], path: str) -> None:
    """A list that names requests of the claim, each once."""
    if len(names) > ENTRIES:
        errors.append(too_many(path, len(names), ENTRIES))
        return
    for index, name in enumerate(names):
        check_request_reference(errors, name, known, f"{path}[{index}]")
        if name in names[:index]:
            errors.append(duplicate(f"{path}[{index}]", name))


def check_request_reference(errors: Errors, name: str, known: set[str], path: str) -> None:
    if name.count("/") > 1:
        errors.append(invalid(path, name, _REFERENCE))
        return
    for part in name.split("/"):
        check_name(errors, part, path, label_errors)
    if name not in known:
        errors.append(invalid(path, name, _REFERENCE))


def _check_constraint(errors: Errors, constraint: Mapping[str, Any], path: str) -> None:
    match, distinct = constraint.get("matchAttribute"), constraint.get("distinctAttribute")
    if match is not None:
        check_full_name(errors, match, f"{path}.matchAttribute")
    elif distinct is not None:
        check_full_name(errors, distinct, f"{path}.distinctAttribute")
    else:
        detail = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
        errors.append(required(path, detail))


def check_configuration(errors: Errors, config: Mapping[str, Any], path: str) -> None:
    """``opaque``: what a driver is told."""
    opaque = config.get("opaque")
    if opaque is None:
        errors.append(required(f"{path}.opaque"))
        return
    check_csi_driver_name(errors, opaque.get("driver"), f"{path}.opaque.driver")
    check_parameters(errors, opaque.get("parameters"), f"{path}.opaque.parameters")


def check_configurations(errors: Errors, entries: Sequence[Mapping[str, Any]], path: str) -> None:
    if len(entries) > ENTRIES:
        errors.append(too_many(path, len(entries), ENTRIES))
        return
    for index, entry in enumerate(entries):
        check_configuration(errors, entry, f"{path}[{index}]")


def check_taint(errors: Errors, taint: Mapping[str, Any], path: str) -> None:
    check_name(errors, taint.get("key") or "", f"{path}.key", label_key_errors)
    if taint.get("value"):
        check_name(errors, taint["value"], f"{path}.value", label_value_errors)
    effect = taint.get("effect")
    if not effect:
        errors.append(required(f"{path}.effect"))
    elif effect not in EFFECTS:
        errors.append(not_supported(f"{path}.effect", effect, EFFECTS))
