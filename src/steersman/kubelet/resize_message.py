"""The messages of resize events: what happened, and the resources it was about as one line of JSON (upstream's form)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from steersman.kubelet.podspec import PodContainer, app_containers, init_containers


def resize_message(prefix: str, pod: Mapping[str, Any], generation: int, error: str = "") -> str:
    """Of ``pod`` as it is in the event's sense: as desired while a resize is pending, as granted afterwards."""
    summary: dict[str, Any] = {}
    for field, group in (("initContainers", init_containers(pod)), ("containers", app_containers(pod))):
        entries = _entries(group)
        if entries:
            summary[field] = entries
    summary["generation"] = generation
    if error:
        summary["error"] = error
    return f"{prefix}: {msgspec.json.encode(summary).decode()}"


def _entries(group: Iterable[PodContainer]) -> list[dict[str, Any]]:
    found = []
    for container in group:
        own = container.spec.get("resources") or {}
        resources = {part: dict(sorted(own[part].items())) for part in ("limits", "requests") if own.get(part)}
        found.append({"name": container.name, "resources": resources})
    return found
