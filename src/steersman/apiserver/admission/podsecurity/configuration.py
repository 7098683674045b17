"""The plugin's configuration: policies of namespaces that say nothing, and who is exempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from steersman.apiserver.admission.configuration import AdmissionConfigurationError
from steersman.apiserver.admission.podsecurity.policies import (
    PRIVILEGED,
    Policy,
    Standard,
    Unknown,
    parse_level,
    parse_version,
)
from steersman.meta.errors import FieldError, duplicate, invalid
from steersman.meta.names import label_errors, subdomain_errors

_API_VERSIONS = tuple(f"pod-security.admission.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_MODES = ("enforce", "audit", "warn")


class PodSecurityConfiguration(Struct, frozen=True, kw_only=True):
    defaults: Policy = PRIVILEGED
    usernames: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()


def configuration_of(obj: Mapping[str, Any] | None) -> PodSecurityConfiguration:
    """Raises ``AdmissionConfigurationError``."""
    if obj is None:
        return PodSecurityConfiguration()
    if obj.get("apiVersion") not in _API_VERSIONS or obj.get("kind") != "PodSecurityConfiguration":
        raise AdmissionConfigurationError(
            f"PodSecurity: {obj.get('kind')!r} of {obj.get('apiVersion')!r} is not a PodSecurityConfiguration"
        )
    defaults, exemptions = obj.get("defaults") or {}, obj.get("exemptions") or {}
    known = {name for mode in _MODES for name in (mode, f"{mode}-version")}
    unknown = [
        *(obj.keys() - {"apiVersion", "kind", "defaults", "exemptions"}),
        *(f"defaults.{name}" for name in defaults.keys() - known),
        *(f"exemptions.{name}" for name in exemptions.keys() - {"usernames", "namespaces", "runtimeClasses"}),
    ]
    if unknown:
        raise AdmissionConfigurationError(f"PodSecurity: unknown fields {', '.join(sorted(unknown))}")
    errors: list[FieldError] = []
    standards = {mode: _standard(defaults, mode, errors) for mode in _MODES}
    found = PodSecurityConfiguration(
        defaults=Policy(enforce=standards["enforce"], audit=standards["audit"], warn=standards["warn"]),
        usernames=_exempt(exemptions, "usernames", _username_errors, errors),
        namespaces=_exempt(exemptions, "namespaces", label_errors, errors),
        runtime_classes=_exempt(exemptions, "runtimeClasses", subdomain_errors, errors),
    )
    if errors:
        raise AdmissionConfigurationError("PodSecurity: " + ", ".join(map(str, errors)))
    return found


def _standard(defaults: Mapping[str, str], mode: str, errors: list[FieldError]) -> Standard:
    level, version = defaults.get(mode) or "privileged", defaults.get(f"{mode}-version") or "latest"
    try:
        parsed = parse_level(level)
    except Unknown as error:
        errors.append(invalid(f"defaults.{mode}", level, str(error)))
        return Standard()
    try:
        return Standard(level=parsed, version=parse_version(version))
    except Unknown as error:
        errors.append(invalid(f"defaults.{mode}-version", version, str(error)))
        return Standard()


def _exempt(
    exemptions: Mapping[str, Any], field: str, faults: Callable[[str], list[str]], errors: list[FieldError]
) -> frozenset[str]:
    seen: set[str] = set()
    for index, value in enumerate(exemptions.get(field) or ()):
        path = f"exemptions.{field}[{index}]"
        found = faults(value)
        if found:
            errors.append(invalid(path, value, ", ".join(found)))
        elif value in seen:
            errors.append(duplicate(path, value))
        seen.add(value)
    return frozenset(seen)


def _username_errors(name: str) -> list[str]:
    return [] if name else ["username must not be empty"]
