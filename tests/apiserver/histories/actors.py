"""Clients that write, watch and list at random, all at once, and remember what they were told."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from steersman.client.api import APPLY_PATCH, Client
from steersman.client.transport import Unreachable
from steersman.meta.errors import (
    AlreadyExists,
    Conflict,
    Expired,
    InternalError,
    NotFound,
    ServiceUnavailable,
    Timeout,
)
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS
from steersman.testing.waiting import eventually
from tests.apiserver.histories.truth import Chain, Reading, Snapshot
from tests.apiserver.histories.world import World

NAMES = ("m-a", "m-b", "m-c", "m-d", "m-e", "m-ee")
LABELS = ("", "odd", "even")
END = "m-z"
"""Made last, with every label: who has seen it has seen everything."""
DOWN = (ServiceUnavailable, InternalError, Timeout, Unreachable)
"""The store or the server is away: whether a write took effect is not known."""


@dataclass(kw_only=True)
class Memory:
    """What all clients were told."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """Write -> the revision it was given."""
    latest: int = 1
    failed: int = 0
    answered: int = 0
    chains: list[Chain] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    expired: int = 0
    is_over: bool = False

    def acknowledge(self, write: str, obj: Object) -> None:
        self.acknowledged[write] = revision = revision_of(obj)
        self.latest = max(self.latest, revision)


def revision_of(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])


@dataclass(kw_only=True)
class Actor:
    world: World
    memory: Memory
    rng: random.Random
    name: str = ""

    @property
    def client(self) -> Client:
        """Of any server: another each time."""
        return self.rng.choice(self.world.clients)


def manifest(name: str, data: Mapping[str, str], labels: Mapping[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": dict(labels)},
        "data": dict(data),
    }


class Writer(Actor):
    """Each write sets this writer's own field to a value never used before: the store shows which writes took effect."""

    async def run(self, count: int) -> None:
        steps = (self._create, self._update, self._update, self._patch, self._apply, self._delete)
        answered = 0
        for value in map(str, itertools.count()):
            if answered == count:
                return
            try:
                await self.rng.choice(steps)(self.rng.choice(NAMES), value)
            except (Conflict, AlreadyExists, NotFound):
                pass
            except DOWN:
                self.memory.failed += 1
                await asyncio.sleep(0.005)
                continue
            answered += 1
            self.memory.answered += 1
            await asyncio.sleep(0)

    def _done(self, value: str, obj: Object) -> None:
        self.memory.acknowledge(f"{self.name}={value}", obj)

    def _labels(self) -> Mapping[str, str]:
        return {label: "" for label in LABELS[1:] if self.rng.random() < 0.5}

    async def _create(self, name: str, value: str) -> None:
        self._done(value, await self.client.create(CONFIGMAPS, manifest(name, {self.name: value}, self._labels())))

    async def _update(self, name: str, value: str) -> None:
        client, before = self.client, self.memory.latest
        try:
            current = await client.get(CONFIGMAPS, name, namespace="default")
        except NotFound:
            self.memory.readings.append(Reading(name=name, acknowledged=before, version=0))
            raise
        self.memory.readings.append(Reading(name=name, acknowledged=before, version=revision_of(current)))
        await asyncio.sleep(0)
        metadata = {**current["metadata"], "labels": self._labels()}
        changed = {**current, "metadata": metadata, "data": {**current["data"], self.name: value}}
        self._done(value, await self.client.update(CONFIGMAPS, changed))

    async def _patch(self, name: str, value: str) -> None:
        patch = {"data": {self.name: value}}
        self._done(value, await self.client.patch(CONFIGMAPS, name, patch, namespace="default"))

    async def _apply(self, name: str, value: str) -> None:
        applied = manifest(name, {self.name: value}, {})
        del applied["metadata"]["labels"]
        self._done(
            value,
            await self.client.patch(
                CONFIGMAPS,
                name,
                applied,
                namespace="default",
                patch_type=APPLY_PATCH,
                field_manager=self.name,
                force=True,
            ),
        )

    async def _delete(self, name: str, value: str) -> None:
        if self.rng.random() < 0.3:
            await self.client.delete_collection(CONFIGMAPS, namespace="default", label_selector="odd,even")
        else:
            await self.client.delete(CONFIGMAPS, name, namespace="default")


class Lister(Actor):
    """Lists in pages, past states, and goes on after 410s, until it is over."""

    async def run(self) -> None:
        while not self.memory.is_over:
            try:
                await self._list()
            except Expired:
                self.memory.expired += 1
            except DOWN:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0)

    async def _list(self) -> None:
        label, memory = self.rng.choice(LABELS), self.memory
        before, version, match = memory.latest, "", ""
        if self.rng.random() < 0.4:
            version, match = str(max(before - self.rng.randrange(60), 1)), "Exact"
        limit = self.rng.choice((0, 1, 2, 3))
        snapshot = await listed(self, label, limit=limit, version=version, match=match)
        if version:
            assert snapshot.revision == int(version)
        else:
            assert snapshot.revision >= before


async def listed(actor: Actor, label: str, *, limit: int = 0, version: str = "", match: str = "") -> Snapshot:
    """All pages, from any server each. Raises ``Expired``."""
    page = await actor.client.list(
        CONFIGMAPS,
        namespace="default",
        label_selector=label,
        limit=limit,
        resource_version=version,
        resource_version_match=match,
    )
    items, revision = [*page.items], page.resource_version
    while page.continue_token:
        assert len(page.items) == limit
        for _ in range(actor.rng.randrange(4)):
            await asyncio.sleep(0)
        page = await actor.client.list(
            CONFIGMAPS,
            namespace="default",
            label_selector=label,
            limit=limit,
            continue_token=page.continue_token,
        )
        assert page.resource_version == revision
        items += page.items
    snapshot = snapshot_of(items, int(revision), label)
    actor.memory.snapshots.append(snapshot)
    return snapshot


def snapshot_of(items: list[Object], revision: int, label: str) -> Snapshot:
    ours = [item for item in items if item["metadata"]["name"].startswith("m-")]
    versions = {item["metadata"]["name"]: revision_of(item) for item in ours}
    assert len(versions) == len(ours)
    assert list(versions) == sorted(versions)
    return Snapshot(revision=revision, label=label, versions=versions)


class Watcher(Actor):
    """Reconnects again and again, to any server, from the last version it saw; lists anew when that is too old."""

    def __init__(self, *, world: World, memory: Memory, rng: random.Random, label: str) -> None:
        super().__init__(world=world, memory=memory, rng=rng)
        self._label = label
        self._chain: Chain | None = None
        self._has_seen_the_end = False

    async def run(self) -> None:
        while not self._has_seen_the_end:
            try:
                if self._chain is None:
                    await self._begin()
                else:
                    await self._watch(self._chain)
            except Expired:
                self.memory.expired += 1
                self._chain = None
            except DOWN:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0)

    async def _begin(self) -> None:
        if self.rng.random() < 0.5:
            snapshot = await listed(self, self._label, limit=self.rng.choice((0, 2)))
            self._started(snapshot)
            return
        initial: list[Object] = []
        events = self.client.watch(
            CONFIGMAPS, namespace="default", label_selector=self._label, send_initial_events=True
        )
        async with aclosing(events):
            async for event in events:
                if event.type == "BOOKMARK":
                    assert event.object["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
                    snapshot = snapshot_of(initial, revision_of(event.object), self._label)
                    self.memory.snapshots.append(snapshot)
                    self._started(snapshot)
                    return
                assert event.type == "ADDED"
                initial.append(event.object)

    def _started(self, snapshot: Snapshot) -> None:
        self._chain = Chain(label=self._label, start=snapshot.revision, end=snapshot.revision)
        self.memory.chains.append(self._chain)
        self._has_seen_the_end = END in snapshot.versions

    async def _dawdle(self, chain: Chain) -> None:
        """Now and then so much happens before it comes back that the servers' windows have moved on."""
        later = chain.end + self.rng.choice((0, 0, 20, 60))
        await eventually(lambda: self.memory.is_over or self.memory.latest >= later, timeout_s=60)

    async def _watch(self, chain: Chain) -> None:
        patience = self.rng.randrange(1, 30)
        await self._dawdle(chain)
        events = self.client.watch(
            CONFIGMAPS, namespace="default", label_selector=self._label, resource_version=str(chain.end)
        )
        async with aclosing(events):
            async for event in events:
                revision = revision_of(event.object)
                if event.type != "BOOKMARK":
                    name = event.object["metadata"]["name"]
                    if name.startswith("m-"):
                        chain.events.append((event.type, name, revision))
                    self._has_seen_the_end = name == END
                chain.end = revision
                patience -= 1
                if not patience or self._has_seen_the_end:
                    return
