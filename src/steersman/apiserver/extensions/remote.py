"""A custom resource whose versions a webhook converts.

Reading is asynchronous here: ``loaded_all`` brings stored objects into the version of the request, many with one call, each
once for all readers (lists, watches) while it is remembered. What has passed it is a ``Stored`` like any other.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct, field

from steersman.apiserver.extensions.conversion import ConversionFailed, Converter
from steersman.apiserver.extensions.resource import CustomResource, CustomVersion
from steersman.apiserver.extensions.served import CustomServed
from steersman.apiserver.served import Changes, Entity, Unconverted
from steersman.meta.errors import APIError, InternalError, ServiceUnavailable
from steersman.meta.objects import Object
from steersman.store.events import ObjectEvent
from steersman.store.stored import DecodedWindow, Stored
from steersman.store.subscriptions import Subscription

log = logging.getLogger(__name__)

REMEMBERED = 10_000
"""Converted objects of one version that are kept; the one that was not read for the longest goes first."""
_REMEMBERED_PARTS = 256
"""Conversions that synchronous code has asked for, e.g. for managed fields of other versions."""
_TURN = 500
"""Objects that are looked at before other requests get a turn."""
_encoder = msgspec.json.Encoder()


class Spawn(Protocol):
    """Runs something on behalf of several requests, none of which owns it."""

    def __call__(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]: ...


class Converted(Stored):
    """A stored object in the version of its reader. ``source`` is what is stored."""

    __slots__ = ("source",)

    source: Stored

    @classmethod
    def of(cls, source: Stored, obj: Object, window: DecodedWindow) -> Converted:
        json = source.json if obj is source.obj else _encoder.encode(obj)
        found = cls(key=source.key, revision=source.revision, json=json, window=window, obj=obj)
        found.source = source
        return found

    def deleted(self, revision: int) -> Stored:
        gone = super().deleted(revision)
        return Converted.of(self.source.deleted(revision), gone.obj, self._window)


_Key = tuple[str, int]


def _key(stored: Stored) -> _Key:
    return stored.key, stored.revision


class _Outcome(Struct):
    """Of one call on behalf of whoever waits for it."""

    converted: dict[_Key, Stored] = field(default_factory=dict)
    failure: APIError | None = None


class RemotelyConverted(CustomServed):
    """One version of such a custom resource."""

    def __init__(self, custom: CustomResource, version: CustomVersion, converter: Converter, *, spawn: Spawn) -> None:
        super().__init__(custom, version)
        self.converts_remotely = True
        self._converter = converter
        self._spawn = spawn
        self._window = DecodedWindow()
        self._known: OrderedDict[_Key, Converted] = OrderedDict()
        self._under_way: dict[_Key, asyncio.Task[None]] = {}
        self._parts: OrderedDict[tuple[str, bytes], Object] = OrderedDict()

    # -- what is read

    async def loaded_all(self, items: Sequence[Stored]) -> Sequence[Stored]:
        found: dict[_Key, Stored] = {}
        while True:
            missing: list[Stored] = []
            for position, item in enumerate(items, 1):
                if position % _TURN == 0:
                    await asyncio.sleep(0)
                if _key(item) not in found:
                    have = self._at_hand(item)
                    if have is None:
                        missing.append(item)
                    else:
                        found[_key(item)] = have
            if not missing:
                return [found[_key(item)] for item in items]
            found |= await self._have_converted(missing)

    def _at_hand(self, stored: Stored) -> Stored | None:
        if isinstance(stored, Converted):
            return stored
        known = self._known.get(_key(stored))
        if known is not None:
            self._known.move_to_end(_key(stored))
            return known
        if self._version_of(stored.obj) is self.version:
            return self._remember(Converted.of(stored, self.from_storage(stored.obj), self._window))
        return None

    def _remember(self, converted: Converted) -> Converted:
        self._known[_key(converted)] = converted
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return converted

    async def _have_converted(self, missing: Sequence[Stored]) -> Mapping[_Key, Stored]:
        """Nothing, where others are having the objects converted already: it is there when they are done.

        Raises ``APIError``.
        """
        own = [item for item in missing if _key(item) not in self._under_way]
        if not own:
            await asyncio.wait({self._under_way[_key(item)] for item in missing})
            return {}
        outcome = _Outcome()
        task = self._spawn(self._convert(own, outcome), name=f"conversion of {self.resource.plural}")
        for item in own:
            self._under_way[_key(item)] = task
        await asyncio.wait({task})
        if outcome.failure is not None:
            raise outcome.failure
        if task.cancelled():
            raise ServiceUnavailable("the server is shutting down", retry_after_s=1)
        return outcome.converted

    async def _convert(self, items: Sequence[Stored], outcome: _Outcome) -> None:
        try:
            read = [self._read(item.obj) for item in items]
            converted = await self._converter.convert(read, self.version.api_version)
            for item, obj in zip(items, converted, strict=True):
                made = Converted.of(item, self.version.coercion.coerced(obj), self._window)
                outcome.converted[_key(item)] = self._remember(made)
        except APIError as error:
            outcome.failure = error
        except Exception as error:
            log.exception("objects of %s could not be converted", self.resource.plural)
            outcome.failure = InternalError(f"Internal error occurred: {error}")
        finally:
            for item in items:
                self._under_way.pop(_key(item), None)

    def _read(self, obj: Object) -> Object:
        """A stored object as its own version has it."""
        coercion = self._version_of(obj).coercion
        read: Object = coercion.defaulted(coercion.coerced(obj))
        return read

    def entity(self, stored: Entity) -> Entity:
        return stored if isinstance(stored, Converted) else super().entity(stored)

    def is_outdated(self, stored: Entity) -> bool:
        source = stored.source if isinstance(stored, Converted) else stored
        return self._version_of(source.obj) is not self._storage

    def at_hand(self, items: Sequence[Stored]) -> Sequence[Stored]:
        found = [self._at_hand(item) for item in items]
        present = [item for item in found if item is not None]
        if len(present) == len(items):
            return present

        async def fetch() -> None:
            await self.loaded_all(items)

        raise Unconverted(fetch)

    def changes(self, subscription: Subscription) -> Changes:
        return ConvertedChanges(subscription, self)

    # -- what is written, and what else is converted

    async def storable(self, obj: Object) -> Object:
        return await self.converted(obj, self._storage.api_version)

    async def converted(self, obj: Object, api_version: str) -> Object:
        version = self.custom.versions.get(api_version.rpartition("/")[2])
        if version is None:
            raise ConversionFailed(f"request to convert CR to an invalid group/version: {api_version}")
        if self._version_of(obj) is version:
            return obj
        (converted,) = await self._converter.convert([obj], version.api_version)
        result: Object = version.coercion.coerced(converted)
        return result

    def _in_version(self, obj: Object, version: CustomVersion) -> Object:
        """Raises ``Unconverted`` where the webhook has to be asked."""
        key = (version.api_version, _encoder.encode(obj))
        found = self._parts.get(key)
        if found is not None:
            return found

        async def fetch() -> None:
            self._parts[key] = await self.converted(obj, version.api_version)
            if len(self._parts) > _REMEMBERED_PARTS:
                self._parts.popitem(last=False)

        raise Unconverted(fetch)


class ConvertedChanges:
    """A subscription to stored objects, in the version of its reader. It is iterated, never listened to."""

    def __init__(self, subscription: Subscription, served: RemotelyConverted) -> None:
        self._subscription = subscription
        self._served = served

    async def __anext__(self) -> list[ObjectEvent]:
        """Raises ``ConversionFailed``, after which the reader has to begin anew."""
        events = await self._subscription.__anext__()
        if not events:
            return events
        objects = [event.stored for event in events] + [
            event.previous for event in events if event.previous is not None
        ]
        await self._served.loaded_all(objects)
        return [await self._converted(event) for event in events]

    async def _converted(self, event: ObjectEvent) -> ObjectEvent:
        """The same for every reader of this version, so that they share its frames."""
        key = ("converted", self._served)
        found: ObjectEvent | None = event.frames.get(key)
        if found is None:
            previous = None if event.previous is None else await self._served.loaded(event.previous)
            found = event.frames[key] = ObjectEvent(
                type=event.type,
                stored=await self._served.loaded(event.stored),
                previous=previous,
                revision=event.revision,
            )
        return found

    @property
    def is_live(self) -> bool:
        return False

    def listen(self, ready: object) -> None:
        return None

    def take(self) -> list[ObjectEvent] | None:
        raise NotImplementedError("converted changes are iterated")

    def progress(self) -> int:
        return self._subscription.progress()

    def poke(self) -> None:
        self._subscription.poke()

    def close(self) -> None:
        self._subscription.close()
