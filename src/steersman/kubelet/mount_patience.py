"""When a pod has waited too long for its volumes, and what is said then, besides what is wrong with each."""

from __future__ import annotations

from collections.abc import Iterable

LIMIT_S = 123.0
"""Upstream's ``podAttachAndMountTimeout``: two minutes and three seconds."""


class MountPatience:
    """Of one pod. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._since_s: float | None = None

    def begun(self, now_s: float) -> None:
        """Its volumes are being set up, perhaps once more."""
        if self._since_s is None:
            self._since_s = now_s

    def ended(self) -> None:
        """They are there."""
        self._since_s = None

    def failed(self, names: Iterable[str], now_s: float) -> str:
        """``names`` are not; empty as long as there is nothing to say. What was said is said again after as long a time."""
        if self._since_s is None or now_s - self._since_s < LIMIT_S:
            return ""
        self._since_s = now_s
        return (
            f"Unable to attach or mount volumes: unmounted volumes=[{' '.join(sorted(names))}], unattached volumes=[],"
            " failed to process volumes=[]: context deadline exceeded"
        )
