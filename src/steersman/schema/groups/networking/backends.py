"""Rules of where an Ingress sends requests: hosts, paths, backends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.addresses import ip_errors
from steersman.meta.errors import invalid, not_supported, required
from steersman.meta.names import (
    label_errors,
    path_segment_errors,
    port_name_errors,
    port_number_errors,
    subdomain_errors,
    wildcard_subdomain_errors,
)
from steersman.schema.rules import Errors, check_name, check_required_name

PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_FORBIDDEN_PARTS = ("//", "/./", "/../", "%2f", "%2F")
_FORBIDDEN_ENDS = ("/..", "/.")


def check_host(errors: Errors, host: str, path: str) -> None:
    check_name(errors, host, path, wildcard_subdomain_errors if "*" in host else subdomain_errors)


def check_rule(errors: Errors, rule: Mapping[str, Any], path: str) -> None:
    host, http = rule.get("host"), rule.get("http")
    if host:
        if not ip_errors(host):
            errors.append(invalid(f"{path}.host", host, "must be a DNS name, not an IP address"))
        check_host(errors, host, f"{path}.host")
    if http is None:
        return
    if not http.get("paths"):
        errors.append(required(f"{path}.http.paths"))
    for index, entry in enumerate(http.get("paths") or ()):
        _check_path(errors, entry, f"{path}.http.paths[{index}]")


def _check_path(errors: Errors, entry: Mapping[str, Any], path: str) -> None:
    kind, value = entry.get("pathType"), entry.get("path") or ""
    if kind is None:
        errors.append(required(f"{path}.pathType", "pathType must be specified"))
        return
    if kind not in PATH_TYPES:
        errors.append(not_supported(f"{path}.pathType", kind, PATH_TYPES))
    elif kind == "ImplementationSpecific":
        if value and not value.startswith("/"):
            errors.append(invalid(f"{path}.path", value, "must be an absolute path"))
    else:
        if not value.startswith("/"):
            errors.append(invalid(f"{path}.path", value, "must be an absolute path"))
        for part in _FORBIDDEN_PARTS:
            if part in value:
                errors.append(invalid(f"{path}.path", value, f"must not contain '{part}'"))
        for end in _FORBIDDEN_ENDS:
            if value.endswith(end):
                errors.append(invalid(f"{path}.path", value, f"cannot end with '{end}'"))
    check_backend(errors, entry.get("backend") or {}, f"{path}.backend")


def check_backend(errors: Errors, backend: Mapping[str, Any], path: str) -> None:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        errors.append(invalid(path, "", "cannot set both resource and service backends"))
    elif resource is not None:
        check_reference(errors, resource, f"{path}.resource")
    elif service is not None:
        check_required_name(errors, service.get("name"), f"{path}.service.name", label_errors)
        _check_port(errors, service.get("port") or {}, path)
    else:
        errors.append(invalid(path, "", "resource or service backend is required"))


def _check_port(errors: Errors, port: Mapping[str, Any], path: str) -> None:
    name, number = port.get("name"), port.get("number")
    if name and number:
        errors.append(invalid(path, "", "cannot set both port name & port number"))
    elif name:
        check_name(errors, name, f"{path}.service.port.name", port_name_errors)
    elif number:
        errors.extend(invalid(f"{path}.service.port.number", number, text) for text in port_number_errors(number))
    else:
        errors.append(required(path, "port name or number is required"))


def check_reference(errors: Errors, reference: Mapping[str, Any], path: str) -> None:
    """``apiGroup``, ``kind`` and ``name`` of any object."""
    if reference.get("apiGroup") is not None:
        check_name(errors, reference["apiGroup"], f"{path}.apiGroup", subdomain_errors)
    check_required_name(errors, reference.get("kind"), f"{path}.kind", path_segment_errors)
    check_required_name(errors, reference.get("name"), f"{path}.name", path_segment_errors)
