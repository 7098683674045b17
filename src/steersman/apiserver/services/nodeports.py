"""Node ports: one RangeAllocation object whose bits say which are taken, changed by compare and swap as upstream does."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterable

from steersman.apiserver.services.clusterips import AllocationError
from steersman.apiserver.services.counting import AllocationCounts, Scope
from steersman.meta.objects import Object
from steersman.store.objects import KeyExists, Modified, ObjectStore

KEY = "/registry/ranges/servicenodeports"
_MIN_STATIC, _MAX_STATIC = 16, 128
_MAX_RACES = 1000


class NodePorts:
    """Gives out the ports from ``first`` to ``last``. The lower end is kept for ports that users choose (KEP-3668)."""

    def __init__(self, objects: ObjectStore, *, first: int, last: int, rng: random.Random) -> None:
        self._objects = objects
        self._first = first
        self._last = last
        self._rng = rng
        self.counts = AllocationCounts()

    async def allocate(self, port: int, *, dry_run: bool) -> None:
        """Take the very ``port``. Raises ``AllocationError``."""
        if not self._first <= port <= self._last:
            self.counts.failed("", "static")
            raise AllocationError(
                f"provided port is not in the valid range. The range of valid ports is {self._first}-{self._last}"
            )

        def take(taken: set[int]) -> set[int]:
            if port in taken:
                raise AllocationError("provided port is already allocated")
            return taken | {port}

        await self._counted("static", take, dry_run=dry_run)

    async def allocate_next(self, *, excluded: Iterable[int] = (), dry_run: bool) -> int:
        """Take any port but the ``excluded``, which a dry run has promised already. Raises ``AllocationError``."""
        chosen = 0
        not_these = set(excluded)

        def take(taken: set[int]) -> set[int]:
            nonlocal chosen
            chosen = self._free(taken | not_these)
            return taken | {chosen}

        await self._counted("dynamic", take, dry_run=dry_run)
        return chosen

    async def _counted(self, scope: Scope, take: Callable[[set[int]], set[int]], *, dry_run: bool) -> None:
        try:
            await self._change(take, dry_run=dry_run)
        except AllocationError:
            self.counts.failed("", scope)
            raise
        self.counts.succeeded("", scope, dry_run=dry_run)

    def usage(self) -> tuple[int, int]:
        """Ports that are taken, ports that are free."""
        stored = self._objects.cached(KEY)
        taken = len(self._decode(stored.obj)) if stored is not None else 0
        return taken, self._last - self._first + 1 - taken

    async def release(self, ports: Iterable[int]) -> None:
        """Give ports back; those that are not taken do not matter."""
        gone = set(ports)
        if gone:
            await self._change(lambda taken: taken - gone, dry_run=False)

    async def replace(self, ports: Iterable[int]) -> None:
        """Exactly ``ports`` are taken: what the Services say, after a start."""
        wanted = {port for port in ports if self._first <= port <= self._last}
        await self._change(lambda taken: wanted, dry_run=False)

    def _free(self, taken: set[int]) -> int:
        size = self._last - self._first + 1
        static = min(max(_MIN_STATIC, size // 32), _MAX_STATIC) if size > _MIN_STATIC else 0
        for low, high in ((self._first + static, self._last + 1), (self._first, self._first + static)):
            width = high - low
            if width <= 0:
                continue
            start = self._rng.randrange(width)
            for step in range(width):
                port = low + (start + step) % width
                if port not in taken:
                    return port
        raise AllocationError("range is full")

    async def _change(self, change: Callable[[set[int]], set[int]], *, dry_run: bool) -> None:
        for _ in range(_MAX_RACES):
            stored = await self._objects.get(KEY)
            taken = self._decode(stored.obj) if stored is not None else set()
            changed = change(taken)
            if dry_run or (stored is not None and changed == taken):
                return
            try:
                if stored is None:
                    await self._objects.create(KEY, self._encode(changed))
                else:
                    await self._objects.update(KEY, self._encode(changed), expected_revision=stored.revision)
            except (KeyExists, Modified):
                continue
            return
        raise AllocationError("could not be allocated: too many others are allocating")

    def _encode(self, taken: set[int]) -> Object:
        bits = bytearray((self._last - self._first + 8) // 8)
        for port in taken:
            offset = port - self._first
            bits[-1 - offset // 8] |= 1 << (offset % 8)
        return {
            "kind": "RangeAllocation",
            "apiVersion": "v1",
            "metadata": {"creationTimestamp": None},
            "range": f"{self._first}-{self._last}",
            "data": base64.b64encode(bytes(bits)).decode(),
        }

    def _decode(self, obj: Object) -> set[int]:
        if obj.get("range") != f"{self._first}-{self._last}":
            return set()
        number = int.from_bytes(base64.b64decode(obj.get("data") or ""), "big")
        taken: set[int] = set()
        while number:
            lowest = number & -number
            taken.add(self._first + lowest.bit_length() - 1)
            number ^= lowest
        return taken
