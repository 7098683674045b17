"""Levels, versions and the policy of a namespace, as its labels say.

Source: "Pod Security Admission" and "Enforce Pod Security Standards with Namespace Labels" in the Kubernetes documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from steersman.meta.errors import FieldError, invalid

Level = Literal["privileged", "baseline", "restricted"]
LEVELS: Final[tuple[Level, ...]] = ("privileged", "baseline", "restricted")
"""From the one that allows most to the one that allows least."""
LATEST = 1 << 30
"""Stands for ``latest`` among the minor versions of v1."""
PREFIX = "pod-security.kubernetes.io/"
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)", re.ASCII)


class Unknown(ValueError):
    """No level, or no version."""


def parse_level(text: str) -> Level:
    """Raises ``Unknown``."""
    if text not in LEVELS:
        raise Unknown(f"must be one of {', '.join(LEVELS)}")
    return text


def parse_version(text: str) -> int:
    """The minor version. Raises ``Unknown``."""
    if text == "latest":
        return LATEST
    match = _VERSION.fullmatch(text)
    if match is None or len(match.group(1)) > 9:
        raise Unknown('must be "latest" or "v1.x"')
    return int(match.group(1))


class Standard(Struct, frozen=True, kw_only=True):
    """One level in one version: ``restricted:latest``."""

    level: Level = "privileged"
    version: int = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.version == LATEST else f'v1.{self.version}'}"

    def is_equivalent(self, other: Standard) -> bool:
        return self == other or self.level == other.level == "privileged"

    def is_stricter_than(self, other: Standard) -> bool:
        return LEVELS.index(self.level) > LEVELS.index(other.level)


class Policy(Struct, frozen=True, kw_only=True):
    """What is refused, what is noted in the audit log, and what users are warned of."""

    enforce: Standard = Standard()
    audit: Standard = Standard()
    warn: Standard = Standard()

    @property
    def is_privileged(self) -> bool:
        return self.enforce.level == self.audit.level == self.warn.level == "privileged"

    def is_equivalent(self, other: Policy) -> bool:
        return (
            self.enforce.is_equivalent(other.enforce)
            and self.audit.is_equivalent(other.audit)
            and self.warn.is_equivalent(other.warn)
        )


PRIVILEGED = Policy()


def policy_of(labels: Mapping[str, str], defaults: Policy) -> tuple[Policy, list[FieldError]]:
    """The policy that labels ask for, and what is wrong with them. A malformed enforce level enforces the strictest, a
    malformed audit or warn level nothing."""
    errors: list[FieldError] = []
    enforce, enforces = _standard(labels, "enforce", defaults.enforce, "restricted", errors)
    audit, _ = _standard(labels, "audit", defaults.audit, "privileged", errors)
    warn, _ = _standard(labels, "warn", defaults.warn, "privileged", errors)
    if f"{PREFIX}warn" not in labels and enforces and enforce.is_stricter_than(warn):
        version = warn.version if f"{PREFIX}warn-version" in labels else enforce.version
        warn = Standard(level=enforce.level, version=version)
    return Policy(enforce=enforce, audit=audit, warn=warn), errors


def _standard(
    labels: Mapping[str, str], mode: str, default: Standard, fallback: Level, errors: list[FieldError]
) -> tuple[Standard, bool]:
    """The standard of one mode, and whether a label names its level."""
    found, is_named = default, False
    label = f"{PREFIX}{mode}"
    if label in labels:
        try:
            found, is_named = replace(found, level=parse_level(labels[label])), True
        except Unknown as error:
            found = replace(found, level=fallback)
            errors.append(_invalid(label, labels[label], error))
    label = f"{PREFIX}{mode}-version"
    if label in labels:
        try:
            found = replace(found, version=parse_version(labels[label]))
        except Unknown as error:
            found = replace(found, version=LATEST)
            errors.append(_invalid(label, labels[label], error))
    return found, is_named


def _invalid(label: str, value: str, error: Unknown) -> FieldError:
    return invalid(f"metadata.labels[{label}]", value, str(error))
