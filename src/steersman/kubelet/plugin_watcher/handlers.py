"""Who uses plugins of a type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class PluginRefused(Exception):
    """The plugin is not taken; it is told the message."""


class PluginHandler(Protocol):
    """Of one type of plugin."""

    def problem(self, name: str, versions: Sequence[str]) -> str:
        """Why a plugin of that name, with these versions of its API, cannot be used; empty where it can."""

    async def connect(self, name: str, address: str) -> None:
        """``address``: of the plugin's own API, for gRPC. Raises ``PluginRefused``."""

    def disconnect(self, name: str) -> None:
        """Its socket is gone."""
