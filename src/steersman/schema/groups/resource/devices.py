"""Rules of the devices in a slice: attributes, capacity, counters, taints, nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from steersman.meta.errors import duplicate, forbidden, invalid, required, too_long
from steersman.meta.names import label_errors, subdomain_errors
from steersman.meta.quantities import quantity
from steersman.schema.groups.core.podspec.placement import check_node_selector
from steersman.schema.groups.resource.claimrules import check_taint
from steersman.schema.groups.resource.naming import check_attribute_name, check_binding_conditions
from steersman.schema.rules import Errors, check_name, check_required_name, too_many

Device = Mapping[str, Any]

_KEYS = 32
_TAINTS = 16
_CONSUMED = 2
COUNTERS = 32
_VALUE_BYTES = 64
_OPTIONS = 10
_NUMBER = r"(0|[1-9]\d*)"
_PART = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD = r"[0-9a-zA-Z-]+"
_is_version = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PART}(\.{_PART})*)?(\+{_BUILD}(\.{_BUILD})*)?", re.ASCII
).fullmatch


def check_device(errors: Errors, device: Device, path: str, *, chooses_nodes: bool) -> None:
    check_name(errors, device.get("name") or "", f"{path}.name", label_errors)
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    total = len(attributes) + len(capacity)
    if total > _KEYS:
        errors.append(invalid(path, total, f"the total number of attributes and capacities must not exceed {_KEYS}"))
    for name, attribute in attributes.items():
        check_attribute_name(errors, name, f"{path}.attributes")
        _check_attribute(errors, attribute, f"{path}.attributes[{name}]")
    for name, amount in capacity.items():
        check_attribute_name(errors, name, f"{path}.capacity")
        at = f"{path}.capacity[{name}].requestPolicy"
        if amount.get("requestPolicy") is None:
            continue
        if device.get("allowMultipleAllocations"):
            _check_policy(errors, amount, at)
        else:
            errors.append(forbidden(at, "allowMultipleAllocations must be true"))
    taints = device.get("taints") or ()
    if len(taints) > _TAINTS:
        errors.append(too_many(f"{path}.taints", len(taints), _TAINTS))
    else:
        for index, taint in enumerate(taints):
            check_taint(errors, taint, f"{path}.taints[{index}]")
    _check_consumption(errors, device, f"{path}.consumesCounters")
    _check_nodes(errors, device, path, chooses_nodes=chooses_nodes)
    check_binding_conditions(errors, device, path)


def _check_attribute(errors: Errors, attribute: Device, path: str) -> None:
    given = [name for name in ("bool", "int", "string", "version") if attribute.get(name) is not None]
    if "string" in given and len(attribute["string"].encode()) > _VALUE_BYTES:
        errors.append(too_long(f"{path}.string", _VALUE_BYTES))
    if "version" in given:
        version = attribute["version"]
        if _is_version(version) is None:
            detail = "must be a string compatible with semver.org spec 2.0.0"
            errors.append(invalid(f"{path}.version", version, detail))
        if len(version.encode()) > _VALUE_BYTES:
            errors.append(too_long(f"{path}.version", _VALUE_BYTES))
    if len(given) != 1:
        errors.append(invalid(path, attribute if given else "", "exactly one value must be specified"))


def _check_policy(errors: Errors, capacity: Device, path: str) -> None:
    policy = capacity["requestPolicy"]
    values, bounds, default = policy.get("validValues") or (), policy.get("validRange"), policy.get("default")
    if values and bounds is not None:
        detail = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
        errors.append(forbidden(path, detail))
    elif (values or bounds is not None) and default is None:
        name = "validValues" if values else "validRange"
        errors.append(required(f"{path}.default", f"required when {name} is defined"))
    elif values:
        _check_values(errors, values, default, capacity.get("value"), f"{path}.validValues")
    elif bounds is not None:
        _check_range(errors, bounds, default, capacity.get("value"), f"{path}.validRange")


def _amount(value: Any) -> Fraction:
    """0 for what is no quantity, which the structure refuses."""
    try:
        return quantity(value or 0)
    except ValueError:
        return Fraction(0)


def _check_values(errors: Errors, values: Any, default: Any, most: Any, path: str) -> None:
    amounts = [_amount(value) for value in values]
    for index in range(1, len(amounts)):
        if amounts[index - 1] > amounts[index]:
            errors.append(invalid(f"{path}[{index}]", values[index], "values must be sorted in ascending order"))
    if len(values) > _OPTIONS:
        errors.append(too_many(path, len(values), _OPTIONS))
    for index, amount in enumerate(amounts):
        if amount > _amount(most):
            detail = f"option is larger than capacity value: {most}"
            errors.append(invalid(f"{path}[{index}]", values[index], detail))
        if amount in amounts[:index]:
            errors.append(duplicate(f"{path}[{index}]", values[index]))
    if _amount(default) not in amounts:
        errors.append(invalid(path, default, "default value is not valid according to the requestPolicy"))


def _check_range(errors: Errors, bounds: Device, default: Any, most: Any, path: str) -> None:
    low, high, step = bounds.get("min"), bounds.get("max"), bounds.get("step")
    if low is None:
        errors.append(required(f"{path}.min", "required when validRange is defined"))
        return
    least, limit, chosen = _amount(low), _amount(most), _amount(default)
    if least > limit:
        errors.append(invalid(f"{path}.min", low, f"min is larger than capacity value: {most}"))
    if chosen < least:
        errors.append(invalid(f"{path}.min", default, f"default is less than min: {low}"))
    if high is not None:
        if least > _amount(high):
            errors.append(invalid(f"{path}.max", low, f"min is larger than max: {high}"))
        if _amount(high) > limit:
            errors.append(invalid(f"{path}.max", high, f"max is larger than capacity value: {most}"))
        if chosen > _amount(high):
            errors.append(invalid(f"{path}.max", default, f"default is more than max: {high}"))
    if step is not None and _amount(step) > 0:
        if least + _amount(step) > limit:
            detail = f"one step {least + _amount(step)} is larger than capacity value: {most}"
            errors.append(invalid(f"{path}.step", step, detail))
        for value in (default, high):
            if value is not None and (_amount(value) - least) % _amount(step):
                detail = f"value is not a multiple of a given step ({step}) from ({low})"
                errors.append(invalid(f"{path}.step", value, detail))


def _check_consumption(errors: Errors, device: Device, path: str) -> None:
    entries = device.get("consumesCounters") or ()
    if len(entries) > _CONSUMED:
        errors.append(too_many(path, len(entries), _CONSUMED))
        return
    seen = set()
    for index, entry in enumerate(entries):
        name = entry.get("counterSet") or ""
        check_required_name(errors, name, f"{path}[{index}].counterSet", label_errors)
        check_counters(errors, entry.get("counters") or {}, f"{path}[{index}].counters")
        if name in seen:
            errors.append(duplicate(f"{path}[{index}]", name))
        seen.add(name)


def check_counters(errors: Errors, counters: Mapping[str, Any], path: str) -> None:
    if not counters:
        errors.append(required(path))
    elif len(counters) > COUNTERS:
        errors.append(too_many(path, len(counters), COUNTERS))
    else:
        for name in counters:
            check_name(errors, name, path, label_errors)


def _check_nodes(errors: Errors, device: Device, path: str, *, chooses_nodes: bool) -> None:
    name, selector, everywhere = (device.get(part) for part in ("nodeName", "nodeSelector", "allNodes"))
    if not chooses_nodes:
        if name is not None or selector is not None or everywhere is not None:
            detail = (
                "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the "
                "ResourceSlice spec"
            )
            errors.append(invalid(path, None, detail))
        return
    given = []
    if name:
        given.append("`nodeName`")
        check_name(errors, name, f"{path}.nodeName", subdomain_errors)
    elif name is not None:
        errors.append(invalid(f"{path}.nodeName", name, "must not be empty"))
    if selector is not None:
        given.append("`nodeSelector`")
        check_node_selector(errors, selector, f"{path}.nodeSelector")
    if everywhere:
        given.append("`allNodes`")
    elif everywhere is not None:
        errors.append(invalid(f"{path}.allNodes", everywhere, "must be either unset or set to true"))
    detail = (
        "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in "
        "the ResourceSlice spec"
    )
    if not given:
        errors.append(required(path, detail))
    elif len(given) > 1:
        errors.append(invalid(path, f"{{{', '.join(given)}}}", detail))
