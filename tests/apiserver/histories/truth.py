"""The history as the store itself tells it, and what each client's observations must be if they agree with it."""

from __future__ import annotations

import asyncio
import json
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from steersman.meta.objects import Object
from steersman.store.api import Store, StoreUnavailable

PREFIX = "/registry/configmaps/default/m-"

Seen = tuple[str, str, int]
"""type, name, revision: of a watch's event"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    name: str
    revision: int
    before: Object | None
    after: Object | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a list, all its pages together, said."""

    revision: int
    label: str
    versions: Mapping[str, int]


@dataclass(slots=True, kw_only=True)
class Chain:
    """What one client saw since it last listed: through reconnections, from the version it had last seen."""

    label: str
    start: int
    end: int
    events: list[Seen] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A GET: what was acknowledged before it began, and the version that it found (0: none)."""

    name: str
    acknowledged: int
    version: int


class Truth:
    """Follows the store, as the only one that asks it without an API server between."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.revision = 1
        self._now: dict[str, Object] = {}
        self._progress = asyncio.Event()

    async def follow(self, store: Callable[[], Store]) -> None:
        """For ever, through ends of what ``store`` returns."""
        while True:
            try:
                async for batch in store().watch("", start_revision=self.revision + 1):
                    for event in batch.events:
                        if event.key.startswith(PREFIX):
                            self._take(event.key.rpartition("/")[2], event.revision, event.value)
                    self.revision = batch.revision
                    self._progress.set()
            except StoreUnavailable:
                await asyncio.sleep(0.01)

    async def reach(self, revision: int) -> None:
        while self.revision < revision:
            self._progress.clear()
            await self._progress.wait()

    def _take(self, name: str, revision: int, value: bytes) -> None:
        after = json.loads(value) if value else None
        self.changes.append(Change(name=name, revision=revision, before=self._now.get(name), after=after))
        if after is None:
            del self._now[name]
        else:
            self._now[name] = after

    # -- what must be

    def check_chain(self, chain: Chain) -> None:
        """No gap, no duplicate, no reordering."""
        expected = [
            (kind, change.name, change.revision)
            for change in self.changes
            if chain.start < change.revision <= chain.end and (kind := _seen_as(change, chain.label))
        ]
        assert chain.events == expected

    def check_snapshot(self, snapshot: Snapshot) -> None:
        """It is the whole of one state."""
        state: dict[str, int] = {}
        for change in self.changes:
            if change.revision > snapshot.revision:
                break
            state.pop(change.name, None)
            if change.after is not None and _selects(snapshot.label, change.after):
                state[change.name] = change.revision
        assert snapshot.versions == state

    def check_reading(self, reading: Reading) -> None:
        """What was read had not been superseded when it was asked for."""
        history = [change for change in self.changes if change.name == reading.name]
        revisions = [change.revision for change in history]
        current = [
            change.revision if change.after is not None else 0
            for change in history[max(bisect_right(revisions, reading.acknowledged) - 1, 0) :]
        ]
        none_before = not revisions or revisions[0] > reading.acknowledged
        assert reading.version in [*current, *([0] if none_before else [])]

    def check_writes(self, acknowledged: Mapping[str, int]) -> None:
        """Each acknowledged write is there, at its revision; each write at most once; none undid another's."""
        found: dict[str, int] = {}
        for change in self.changes:
            before = {} if change.before is None else change.before.get("data") or {}
            after = {} if change.after is None else change.after.get("data") or {}
            if change.after is None:
                continue
            written = [f"{field}={value}" for field, value in after.items() if before.get(field) != value]
            assert len(written) == 1
            assert before.keys() <= after.keys()
            assert written[0] not in found
            found[written[0]] = change.revision
        assert {write: found.get(write) for write in acknowledged} == dict(acknowledged)


def _selects(label: str, obj: Object) -> bool:
    return not label or label in (obj["metadata"].get("labels") or {})


def _seen_as(change: Change, label: str) -> str:
    was_seen = change.before is not None and _selects(label, change.before)
    is_seen = change.after is not None and _selects(label, change.after)
    if is_seen:
        return "MODIFIED" if was_seen else "ADDED"
    return "DELETED" if was_seen else ""
