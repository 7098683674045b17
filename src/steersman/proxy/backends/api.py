"""What a backend is: it makes the kernel treat connections as a table of rules says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from steersman.proxy.rules import Frontend, Target


class BackendError(RuntimeError):
    """The kernel or its tool refused the rules; what was applied before still holds."""


class Backend(Protocol):
    """Applies rules. ``sync`` replaces everything, ``update`` changes single frontends; both are all or nothing."""

    async def sync(self, rules: Mapping[Frontend, Target]) -> None:
        """Make exactly ``rules`` hold, whatever was there. Raises ``BackendError``."""

    async def update(self, changes: Mapping[Frontend, Target | None]) -> None:
        """Change the frontends given; None removes one. Raises ``BackendError``."""

    async def remove(self) -> None:
        """Take everything out of the kernel again."""
