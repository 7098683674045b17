"""A kind as this server serves it: where its objects are, what they look like, what can be selected."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct

from steersman.meta.errors import BadRequest, FieldError, InternalError, Invalid
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.meta.selectors import FieldSelector
from steersman.schema.kind import Kind
from steersman.schema.managedfields.typed import Type, type_of
from steersman.schema.structural import compiled
from steersman.store.events import ObjectEvent
from steersman.store.stored import Stored
from steersman.store.subscriptions import Subscription


class Entity(Protocol):
    """An object to be read or sent: a ``Stored``, or an ``Unstored`` for what was computed."""

    @property
    def obj(self) -> Object: ...

    @property
    def json(self) -> bytes: ...


class Unstored(Struct, frozen=True):
    """An object that is not in the store: the outcome of a dry run, a review, a conversion."""

    obj: Object

    @property
    def json(self) -> bytes:
        return _encoder.encode(self.obj)


class Changes(Protocol):
    """What a watch reads: a ``Subscription``, or one whose objects are converted on the way."""

    async def __anext__(self) -> list[ObjectEvent]:
        """Raises ``APIError`` where a change cannot be shown, besides what a subscription raises."""

    @property
    def is_live(self) -> bool: ...

    def listen(self, ready: Callable[[], None] | None) -> None: ...

    def take(self) -> list[ObjectEvent] | None: ...

    def progress(self) -> int: ...

    def poke(self) -> None: ...

    def close(self) -> None: ...


class ObjectStructure(Protocol):
    """Brings decoded bodies into the structure of their kind."""

    def decode(self, obj: Any, unknown: list[str] | None = None) -> Any:
        """See ``structural.Structure.decode``."""


class Unconverted(Exception):
    """Synchronous code needs an object in another version, which only a webhook can make. ``resolving`` has it made."""

    def __init__(self, fetch: Callable[[], Awaitable[None]]) -> None:
        super().__init__("the object has to be converted by a webhook first")
        self.fetch = fetch
        """Has the conversion made, so that the code can be run again. Raises ``APIError``."""


T = TypeVar("T")


MAX_CONVERSIONS = 100
"""How often one piece of synchronous code is run again: each time it has got further."""


async def resolving(compute: Callable[[], T]) -> T:
    """The result of ``compute``, run again after each conversion that it turns out to need. Raises what it raises."""
    for _ in range(MAX_CONVERSIONS):
        try:
            return compute()
        except Unconverted as missing:
            await missing.fetch()
    raise InternalError("Internal error occurred: too many objects of other versions have to be converted at once")


_encoder = msgspec.json.Encoder()
FieldReader = Callable[[Object], str]

_META_FIELDS: Mapping[str, FieldReader] = {
    "metadata.name": lambda obj: str(obj["metadata"].get("name") or ""),
    "metadata.namespace": lambda obj: str(obj["metadata"].get("namespace") or ""),
}


class Served:
    """One kind in one version. Made once per kind; what is expensive is made when it is first used."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.resource: Resource = kind.resource
        group = self.resource.group if kind.storage_group is None else kind.storage_group
        version = kind.storage_version or self.resource.version
        self.storage_api_version = f"{group}/{version}" if group else version
        """In which objects are stored."""
        self.converts = self.storage_api_version != kind.resource.api_version
        self.prefix = f"/registry/{kind.storage_prefix}/"
        self.list_kind = kind.list_kind or f"{kind.resource.kind}List"
        self.warnings: Sequence[str] = (kind.deprecation,) if kind.deprecation else ()
        """Texts for Warning headers of every answer."""
        self.versions: Sequence[Kind] = ()
        """Every version of the kind, served or not, where the kind itself knows them; else they are looked up."""
        self.converts_remotely = False
        """By a webhook: what is read has to pass ``loaded`` first, and what is written ``storable``."""

    def __repr__(self) -> str:
        return f"Served({self.resource.api_version} {self.resource.plural})"

    @property
    def has_strategic_merge(self) -> bool:
        """Built-in kinds have; custom ones do not."""
        return True

    @property
    def has_lasting_structure(self) -> bool:
        """What is stored has the structure that is asked for today: that of built-in kinds never changes."""
        return True

    @cached_property
    def message(self) -> str:
        """The name of its protobuf message; empty where it has none. Looked up for clients that speak of protobuf."""
        from steersman.schema.protobuf.envelope import message_of

        return message_of(self.resource.api_version, self.resource.kind)

    def key(self, namespace: str, name: str) -> str:
        """The store's key of an object."""
        return f"{self.prefix}{namespace}/{name}" if self.resource.namespaced else f"{self.prefix}{name}"

    def collection(self, namespace: str) -> str:
        """The store's prefix of all objects, of one namespace where that is given."""
        return f"{self.prefix}{namespace}/" if namespace and self.resource.namespaced else self.prefix

    @cached_property
    def structure(self) -> ObjectStructure:
        return compiled(self.kind.definition)

    @cached_property
    def fields_type(self) -> Type:
        """As managed fields see it."""
        return type_of(self.kind.definition)

    @cached_property
    def fields(self) -> Mapping[str, FieldReader]:
        return {**_META_FIELDS, **self.kind.selectable_fields}

    def check_fields(self, selector: FieldSelector) -> None:
        """Raises ``BadRequest`` where the kind has no such field selector."""
        for field, _, _ in selector.terms:
            own = self.kind.selectable_fields
            if field in self.fields and not (own and field == "metadata.namespace" and not self.resource.namespaced):
                continue
            if own:
                raise BadRequest(self.kind.unselectable.format(field=field))
            raise BadRequest(f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"')

    def obj(self, stored: Entity) -> Object:
        """A stored object in this version; shared, unless it had to be converted."""
        return self.from_storage(stored.obj)

    def entity(self, stored: Entity) -> Entity:
        """What is sent of a stored object: the object itself, unless it had to be converted."""
        if not self.converts:
            return stored
        obj = self.from_storage(stored.obj)
        return stored if obj is stored.obj else Unstored(obj)

    def is_outdated(self, stored: Entity) -> bool:
        """A write that changes nothing brings the stored object into another form."""
        return False

    def check_creation(self, name: str) -> None:
        """Raises ``APIError`` where no objects of the kind are created now."""

    async def loaded(self, stored: Stored) -> Stored:
        """A stored object that the other methods can take. Raises ``APIError`` where it cannot be converted."""
        return (await self.loaded_all((stored,)))[0] if self.converts_remotely else stored

    async def loaded_all(self, items: Sequence[Stored]) -> Sequence[Stored]:
        """``loaded``, for many at once."""
        return items

    def at_hand(self, items: Sequence[Stored]) -> Sequence[Stored]:
        """``loaded_all`` for synchronous code. Raises ``Unconverted``."""
        return items

    def changes(self, subscription: Subscription) -> Changes:
        """A subscription to stored objects, as watches of this version read it."""
        return subscription

    async def storable(self, obj: Object) -> Object:
        """The object in the version that is stored. Raises ``APIError`` where it cannot be converted."""
        return self.to_storage(obj)

    def from_storage(self, obj: Object) -> Object:
        """An object in this version, whatever version it is in."""
        wanted = self.resource.api_version
        if not self.converts or obj.get("apiVersion") == wanted:
            return obj
        return self._converted(obj, wanted)

    def to_storage(self, obj: Object) -> Object:
        """The object in the version that is stored."""
        return self._converted(obj, self.storage_api_version) if self.converts else obj

    async def converted(self, obj: Object, api_version: str) -> Object:
        """An object of this version in any other one. Raises ``APIError`` where that fails."""
        return obj if obj.get("apiVersion") == api_version else self._converted(obj, api_version)

    def defaulted(self, kind: Kind, obj: Object) -> Object:
        """``obj``, which is the caller's own, as ``kind`` has it (this one or another version of it), with defaults.

        Raises ``BadRequest`` where it has not the structure of the kind.
        """
        new: Object = compiled(kind.definition).decode(obj)
        kind.default(new)
        return new

    def _converted(self, obj: Object, api_version: str) -> Object:
        convert = self.kind.convert
        if convert is None:
            raise InternalError(f"{self!r} cannot be converted to {api_version}")
        return convert(obj, api_version)

    def finalizers(self, obj: Object) -> Sequence[str]:
        """What keeps a deleted object: its finalizers; of a namespace also those of its spec."""
        own: Sequence[str] = obj["metadata"].get("finalizers") or ()
        if self.resource.plural == "namespaces" and not self.resource.group:
            return (*own, *((obj.get("spec") or {}).get("finalizers") or ()))
        return own

    def invalid(self, name: str, errors: list[FieldError]) -> Invalid:
        group = self.resource.group if self.kind.storage_group is None else self.kind.storage_group
        return Invalid.of(self.resource.kind, group, name, errors)
