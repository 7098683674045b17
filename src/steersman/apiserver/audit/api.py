"""What a backend is: it takes events and puts them somewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from steersman.aio.tasks import TaskGroup
from steersman.apiserver.audit.event import AuditEvent


class AuditBackend(Protocol):
    """Takes events, in order. Failures are counted and logged where they happen."""

    async def process(self, events: Sequence[AuditEvent]) -> bool:
        """Whether the request they are of may go on: false only where every event has to be recorded."""

    def start(self, tasks: TaskGroup) -> None:
        """Begin the background work, if there is any."""

    async def close(self) -> None:
        """Record what is waiting, then stop."""


class Union:
    """Several backends, all of which get every event."""

    def __init__(self, backends: Sequence[AuditBackend]) -> None:
        self._backends = tuple(backends)

    async def process(self, events: Sequence[AuditEvent]) -> bool:
        return all(await asyncio.gather(*(backend.process(events) for backend in self._backends)))

    def start(self, tasks: TaskGroup) -> None:
        for backend in self._backends:
            backend.start(tasks)

    async def close(self) -> None:
        for backend in self._backends:
            await backend.close()


class Lenient:
    """``blocking``: requests wait for their events to be recorded, and go on where that fails."""

    def __init__(self, backend: AuditBackend) -> None:
        self._backend = backend

    async def process(self, events: Sequence[AuditEvent]) -> bool:
        await self._backend.process(events)
        return True

    def start(self, tasks: TaskGroup) -> None:
        self._backend.start(tasks)

    async def close(self) -> None:
        await self._backend.close()


def _conforms(backend: AuditBackend) -> tuple[AuditBackend, AuditBackend]:
    return Union([backend]), Lenient(backend)
