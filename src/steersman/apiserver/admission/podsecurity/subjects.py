"""What checks look at: a pod or the template of one; and how they say what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.meta import objects
from steersman.meta.quoting import quoted


class Subject(Struct, frozen=True, kw_only=True):
    """A pod's annotations, its spec, and its containers of all kinds."""

    annotations: Mapping[str, str]
    spec: Mapping[str, Any]
    containers: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, pod: Mapping[str, Any]) -> Subject:
        spec = pod.get("spec") or {}
        return cls(
            annotations=objects.annotations(pod),
            spec=spec,
            containers=tuple(
                container
                for field in ("initContainers", "containers", "ephemeralContainers")
                for container in spec.get(field) or ()
            ),
        )

    @property
    def security(self) -> Mapping[str, Any]:
        """The pod's own security context."""
        return self.spec.get("securityContext") or {}

    @property
    def is_windows(self) -> bool:
        return (self.spec.get("os") or {}).get("name") == "windows"

    @property
    def has_own_users(self) -> bool:
        """It runs in a user namespace: its root is none outside of it."""
        return self.spec.get("hostUsers") is False


class Violation(Struct, frozen=True, kw_only=True):
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


Check = Callable[[Subject], Violation | None]


def security_of(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return container.get("securityContext") or {}


def names_of(containers: Iterable[Mapping[str, Any]]) -> list[str]:
    return [str(container.get("name") or "") for container in containers]


def listed(values: Iterable[str]) -> str:
    """``"a", "b"``."""
    return ", ".join(f'"{value}"' for value in values)


def counted(noun: str, values: Sequence[str]) -> str:
    """``container "a"`` or ``containers "a", "b"``."""
    return f"{plural(noun, values)} {listed(values)}"


def plural(noun: str, values: Sequence[object]) -> str:
    return noun if len(values) == 1 else f"{noun}s"


def setters(is_pod: bool, containers: Sequence[str]) -> str:
    """``pod and container "a"``; empty where it is neither."""
    parts = (["pod"] if is_pod else []) + ([counted("container", containers)] if containers else [])
    return " and ".join(parts)


def annotation(key: str, value: str) -> str:
    return f"{key}={quoted(value)}"
