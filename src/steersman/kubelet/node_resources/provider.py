"""What the managers of CPUs, memory and devices have in common: they say from where they can serve, and then serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from steersman.kubelet.node_resources.numa_hints import Hint, ResourceHints
from steersman.kubelet.podspec import PodContainer
from steersman.meta.objects import Object

ActivePods = Callable[[], Mapping[str, Object] | None]
"""By uid, those that may still use what they were given; None as long as not all of them are known."""


class AllocationRefused(Exception):
    """The pod cannot start here; ``reason`` is its status'."""

    def __init__(self, message: str, *, reason: str = "UnexpectedAdmissionError") -> None:
        super().__init__(message)
        self.reason = reason


class Provider(Protocol):
    """Answers about a container are the same before and after a restart of the kubelet."""

    def wants(self, pod: Mapping[str, Any]) -> bool:
        """There is something to allocate for it."""

    def hints(self, pod: Mapping[str, Any], container: PodContainer) -> ResourceHints: ...

    def pod_hints(self, pod: Mapping[str, Any]) -> ResourceHints:
        """For all containers together."""

    async def allocate(self, pod: Mapping[str, Any], container: PodContainer, affinity: Hint) -> None:
        """At once where the container has what it needs. Raises ``AllocationRefused``; what was given before stays."""


def has_pod_level_resources(pod: Mapping[str, Any]) -> bool:
    resources = pod["spec"].get("resources") or {}
    return bool(resources.get("requests") or resources.get("limits"))
