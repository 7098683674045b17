"""Objects that pods refer to, by name."""

from __future__ import annotations

from typing import Protocol

from steersman.meta.objects import Object
from steersman.meta.resources import Resource


class ObjectSource(Protocol):
    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """A recent state of it; shared, not to be changed. Raises ``APIError``, ``NotFound`` among them."""
