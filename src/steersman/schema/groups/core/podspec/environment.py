"""Environment variables of containers, and where their values come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from steersman.meta import names
from steersman.meta.errors import invalid, not_supported, required
from steersman.schema.groups.core.paths import check_no_backsteps
from steersman.schema.rules import Errors, check_name, check_required_name

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_KNOWN_FIELDS = frozenset({*ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase"})
_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_HUGEPAGES = ("limits.hugepages-", "requests.hugepages-")
_BYTE_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")


def check_environment(errors: Errors, variables: Sequence[Mapping[str, Any]], path: str) -> None:
    for index, variable in enumerate(variables):
        name = variable.get("name")
        if not name:
            errors.append(required(f"{path}[{index}].name"))
        else:
            check_name(errors, name, f"{path}[{index}].name", names.environment_variable_errors)
        source = variable.get("valueFrom")
        if source is not None:
            _check_source(errors, source, f"{path}[{index}].valueFrom", has_value=bool(variable.get("value")))


def _check_source(errors: Errors, source: Mapping[str, Any], path: str, *, has_value: bool) -> None:
    count = 0
    for name, check in _SOURCES.items():
        reference = source.get(name)
        if reference is not None:
            count += 1
            check(errors, reference, f"{path}.{name}")
    if count == 0:
        detail = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        )
        errors.append(invalid(path, "", detail))
    elif has_value:
        errors.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif count > 1:
        errors.append(invalid(path, "", "may not have more than one field specified at a time"))


def check_field_reference(errors: Errors, reference: Mapping[str, Any], path: str, fields: Sequence[str]) -> None:
    """A field of the pod itself (downward API)."""
    version, field = reference.get("apiVersion"), reference.get("fieldPath") or ""
    if not version:
        errors.append(required(f"{path}.apiVersion"))
        return
    if not field:
        errors.append(required(f"{path}.fieldPath"))
        return
    base, bracket, rest = field.partition("['")
    has_subscript = bool(bracket) and rest.endswith("']") and bool(rest[:-2])
    reason = ""
    if version != "v1":
        reason = f"unsupported pod version: {version}"
    elif has_subscript and base not in ("metadata.annotations", "metadata.labels"):
        reason = f"field label does not support subscript: {field}"
    elif not has_subscript and field not in _KNOWN_FIELDS:
        reason = f"field label not supported: {field}"
    if reason:
        errors.append(invalid(f"{path}.fieldPath", field, f"error converting fieldPath: {reason}"))
    elif has_subscript:
        key = rest[:-2].lower() if base == "metadata.annotations" else rest[:-2]
        check_name(errors, key, path, names.label_key_errors)
    elif field not in fields:
        errors.append(not_supported(f"{path}.fieldPath", field, fields))


def check_resource_reference(
    errors: Errors, reference: Mapping[str, Any], path: str, *, needs_container: bool = False
) -> None:
    """A request or limit of a container (downward API)."""
    resource = reference.get("resource") or ""
    if needs_container and not reference.get("containerName"):
        errors.append(required(f"{path}.containerName"))
    elif not resource:
        errors.append(required(f"{path}.resource"))
    elif resource not in _RESOURCES and not resource.startswith(_HUGEPAGES):
        errors.append(not_supported(f"{path}.resource", resource, _RESOURCES))
    divisor = str(reference.get("divisor") or "0")
    if divisor == "0":
        return
    kind = resource.partition(".")[2]
    if kind == "cpu" and divisor not in ("1m", "1"):
        detail = "only divisor's values 1m and 1 are supported with the cpu resource"
        errors.append(invalid(f"{path}.divisor", resource, detail))
    elif kind != "cpu" and divisor not in _BYTE_DIVISORS:
        label = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}.get(kind, "hugepages")
        detail = f"only divisor's values {', '.join(_BYTE_DIVISORS)} are supported with the {label} resource"
        errors.append(invalid(f"{path}.divisor", resource, detail))


def _check_env_field(errors: Errors, reference: Mapping[str, Any], path: str) -> None:
    check_field_reference(errors, reference, path, ENV_FIELDS)


def _check_key(errors: Errors, reference: Mapping[str, Any], path: str) -> None:
    check_name(errors, reference.get("name") or "", f"{path}.name", names.subdomain_errors)
    check_required_name(errors, reference.get("key"), f"{path}.key", names.config_key_errors)


def _check_file_key(errors: Errors, reference: Mapping[str, Any], path: str) -> None:
    check_required_name(errors, reference.get("key"), f"{path}.key", names.environment_variable_errors)
    check_required_name(errors, reference.get("volumeName"), f"{path}.volumeName", names.label_errors)
    if not reference.get("path"):
        errors.append(required(f"{path}.path"))
    else:
        check_no_backsteps(errors, reference["path"], f"{path}.path")


_SOURCES: Mapping[str, Callable[[Errors, Mapping[str, Any], str], None]] = {
    "fieldRef": _check_env_field,
    "resourceFieldRef": check_resource_reference,
    "configMapKeyRef": _check_key,
    "secretKeyRef": _check_key,
    "fileKeyRef": _check_file_key,
}


def check_environment_sources(errors: Errors, sources: Sequence[Mapping[str, Any]], path: str) -> None:
    """``envFrom``: whole ConfigMaps and Secrets."""
    for index, source in enumerate(sources):
        prefix = source.get("prefix")
        if prefix:
            check_name(errors, prefix, f"{path}[{index}].prefix", names.environment_variable_errors)
        count = 0
        for name in ("configMapRef", "secretRef"):
            reference = source.get(name)
            if reference is not None:
                count += 1
                at = f"{path}[{index}].{name}.name"
                check_required_name(errors, reference.get("name"), at, names.subdomain_errors)
        if count == 0:
            errors.append(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif count > 1:
            errors.append(invalid(path, "", "may not have more than one field specified at a time"))
