"""Names in dynamic resource allocation: drivers, pools, devices, attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from steersman.meta.errors import duplicate, invalid, required, too_long
from steersman.meta.names import c_identifier_errors, label_key_errors, subdomain_errors
from steersman.schema.groups.core.volumesources import check_csi_driver_name
from steersman.schema.rules import Errors, check_name, too_many

_POOL_LENGTH = 253
_NAME_LENGTH = 32
_CONDITIONS = 4
_PARAMETER_BYTES = 10 * 1024
_is_uid = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII).fullmatch


def check_pool(errors: Errors, name: str, path: str) -> None:
    if not name:
        errors.append(required(path))
        return
    if len(name) > _POOL_LENGTH:
        errors.append(too_long(path, _POOL_LENGTH))
    for part in name.split("/"):
        check_name(errors, part, path, subdomain_errors)


def check_share(errors: Errors, uid: str | None, path: str) -> None:
    if uid is not None and _is_uid(uid) is None:
        detail = (
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal "
            "characters"
        )
        errors.append(invalid(path, uid, detail))


def check_attribute_name(errors: Errors, name: str, path: str) -> None:
    """``name`` or ``domain/name``."""
    domain, slash, rest = name.partition("/")
    if not slash:
        _check_identifier(errors, name, path)
        return
    if "/" in rest:
        return
    if domain:
        check_csi_driver_name(errors, domain, path)
    else:
        errors.append(invalid(path, "", "the domain must not be empty"))
    if rest:
        _check_identifier(errors, rest, path)
    else:
        errors.append(invalid(path, "", "the name must not be empty"))


def check_full_name(errors: Errors, name: str, path: str) -> None:
    """``domain/name``."""
    check_attribute_name(errors, name, path)
    if "/" not in name:
        detail = "a fully qualified name must be a domain and a name separated by a slash"
        errors.append(invalid(path, name, detail))


def _check_identifier(errors: Errors, name: str, path: str) -> None:
    if len(name) > _NAME_LENGTH:
        errors.append(too_long(path, _NAME_LENGTH))
    check_name(errors, name, path, c_identifier_errors)


def check_parameters(errors: Errors, parameters: Any, path: str) -> None:
    """Opaque parameters of a driver: a JSON object that is not too large."""
    if parameters is None:
        errors.append(required(path))
    elif not isinstance(parameters, Mapping):
        errors.append(invalid(path, "<value omitted>", "must be a valid JSON object"))
    elif _size(parameters) > _PARAMETER_BYTES:
        errors.append(too_long(path, _PARAMETER_BYTES))


def _size(value: Any) -> int:
    return len(msgspec.json.encode(value))


def check_binding_conditions(errors: Errors, device: Mapping[str, Any], path: str) -> None:
    wanted, failed = device.get("bindingConditions") or [], device.get("bindingFailureConditions") or []
    for name, conditions in (("bindingConditions", wanted), ("bindingFailureConditions", failed)):
        _check_condition_names(errors, conditions, f"{path}.{name}")
    errors.extend(
        invalid(
            f"{path}.bindingFailureConditions[{index}]",
            condition,
            "bindingFailureConditions must not overlap with bindingConditions",
        )
        for index, condition in enumerate(failed)
        if condition in wanted
    )
    for name, other, has, has_other in (
        ("bindingConditions", "bindingFailureConditions", wanted, failed),
        ("bindingFailureConditions", "bindingConditions", failed, wanted),
    ):
        if has_other and not has:
            errors.append(invalid(f"{path}.{name}", has, f"{name} are required to use {other}"))


def _check_condition_names(errors: Errors, conditions: Sequence[str], path: str) -> None:
    if len(conditions) > _CONDITIONS:
        errors.append(too_many(path, len(conditions), _CONDITIONS))
        return
    for index, condition in enumerate(conditions):
        check_name(errors, condition, f"{path}[{index}]", label_key_errors)
        if condition in conditions[:index]:
            errors.append(duplicate(f"{path}[{index}]", condition))
