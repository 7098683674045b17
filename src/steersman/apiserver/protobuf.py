"""Requests and responses as ``application/vnd.kubernetes.protobuf``.

An object's message is kept with its ``Stored`` while there is room, so that a list, the next list and all watches pay for
its encoding once. What does the work is imported when the first client asks for it: 10 ms that not every server pays.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from steersman.apiserver.served import Entity, Served
from steersman.meta.objects import Object
from steersman.store.stored import Stored

ITEMS_AT_ONCE = 64
"""Objects that are encoded before other requests get a turn: about 4 ms."""
_PIECE_BYTES = 64 * 1024


class Malformed(Exception):
    """A body that is no object. ``api_version`` and ``kind`` are those that it names itself, where that can be read."""

    def __init__(self, why: str, *, api_version: str = "", kind: str = "") -> None:
        super().__init__(why)
        self.api_version = api_version
        self.kind = kind


def has_message(api_version: str, kind: str) -> bool:
    from steersman.schema.protobuf.envelope import message_of

    return bool(message_of(api_version, kind))


def is_known(obj: Any) -> bool:
    """``obj`` is of a kind that has a protobuf message."""
    return isinstance(obj, dict) and has_message(obj.get("apiVersion", ""), obj.get("kind", ""))


def value(obj: Mapping[str, Any]) -> bytes:
    """A whole object that is not stored as it is: a Status, a review, a partial list."""
    from steersman.schema.protobuf import envelope

    return envelope.encode_object(obj)


def watch_frame(type_: str, obj: bytes) -> bytes:
    """One event of a watch, of a whole object."""
    from steersman.schema.protobuf import envelope

    return envelope.watch_frame(type_, obj)


def entity(served: Served, found: Entity) -> bytes:
    """A whole object of the kind that is served."""
    from steersman.schema.protobuf import envelope

    resource = served.resource
    return envelope.envelope(resource.api_version, resource.kind, _message(served, found))


def decode(body: bytes, api_version: str, kind: str) -> Object:
    """A request's body. ``api_version`` and ``kind`` count where it does not name its own.

    A kind that has no protobuf message comes back with nothing but its name. Raises ``Malformed``.
    """
    from steersman.schema.protobuf import envelope
    from steersman.schema.protobuf.wire import MalformedMessage

    try:
        return envelope.decode_object(body, api_version=api_version, kind=kind)
    except envelope.UnknownKind as unknown:
        return {"apiVersion": unknown.api_version, "kind": unknown.kind}
    except envelope.MalformedObject as error:
        raise Malformed(str(error), api_version=error.api_version, kind=error.kind) from error
    except MalformedMessage as error:
        raise Malformed(str(error)) from error


def listing(served: Served, head: Mapping[str, Any], items: Sequence[Entity]) -> Iterable[bytes]:
    """A list in pieces, encoded at once. ``head``: its apiVersion, kind and metadata."""
    return _framed(head, _items(served, items))


async def streamed_listing(served: Served, head: Mapping[str, Any], items: Sequence[Entity]) -> AsyncIterator[bytes]:
    """A long list. The wire wants its length first, so all of it is encoded, with turns for others in between."""
    messages: list[bytes] = []
    for start in range(0, len(items), ITEMS_AT_ONCE):
        messages += _items(served, items[start : start + ITEMS_AT_ONCE])
        await asyncio.sleep(0)
    gathered: list[bytes] = []
    size_bytes = 0
    for piece in _framed(head, messages):
        gathered.append(piece)
        size_bytes += len(piece)
        if size_bytes >= _PIECE_BYTES:
            yield b"".join(gathered)
            gathered, size_bytes = [], 0
    yield b"".join(gathered)


def _items(served: Served, items: Sequence[Entity]) -> list[bytes]:
    from steersman.schema.protobuf.envelope import list_item

    return [list_item(_message(served, item)) for item in items]


def _framed(head: Mapping[str, Any], items: Sequence[bytes]) -> Iterable[bytes]:
    from steersman.schema.protobuf import envelope

    before, after = envelope.list_frame(head, items)
    yield before
    yield from items
    yield after


def _message(served: Served, found: Entity) -> bytes:
    if isinstance(found, Stored) and not served.converts:
        return found.in_form(_form(served.message))
    from steersman.schema.protobuf.encoding import encoder

    return encoder(served.message)(served.obj(found))


@cache
def _form(message: str) -> Callable[[Stored], bytes]:
    from steersman.schema.protobuf.encoding import encoder
    from steersman.schema.protobuf.remembering import from_json

    encode, encode_json = encoder(message), from_json(message)

    def form(stored: Stored) -> bytes:
        return encode_json(stored.json) if stored.at_hand is None else encode(stored.at_hand)

    return form
