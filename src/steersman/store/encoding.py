"""How API objects are written to the Store: JSON without resourceVersion, which is spliced in as bytes when they are read.

The stored form begins with ``{"kind":…,"apiVersion":…,"metadata":{``, so that splicing needs no parser. A value that
another program wrote in another order is brought into this form once, when it is read.
"""

from __future__ import annotations

import re

import msgspec

from steersman.meta.objects import Object

_STRING = rb'"(?:[^"\\]|\\.)*"'
_HEAD = re.compile(
    rb'(\{(?:"kind":%b,)?(?:"apiVersion":%b,)?"metadata":\{)(?:"resourceVersion":%b,?)?' % (_STRING, _STRING, _STRING)
)
_HEAD_FIELDS = ("kind", "apiVersion", "metadata")
_VERSION_NAME = b'"resourceVersion"'

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Object)


class UndecodableValue(Exception):
    """A value in the Store is no JSON object: another program wrote it, or with another encoding (protobuf)."""


def encode(obj: Object) -> bytes:
    """The stored form of ``obj``. Raises ``UndecodableValue`` where its metadata is no object."""
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise UndecodableValue("metadata is not an object")
    if "resourceVersion" in metadata:
        metadata = {name: value for name, value in metadata.items() if name != "resourceVersion"}
    head = {name: obj[name] for name in ("kind", "apiVersion") if isinstance(obj.get(name), str)}
    rest = {name: value for name, value in obj.items() if name not in _HEAD_FIELDS or name not in head}
    rest.pop("metadata", None)
    return _encoder.encode({**head, "metadata": metadata, **rest})


def decode(json: bytes) -> Object:
    """Raises ``UndecodableValue``."""
    try:
        return _decoder.decode(json)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UndecodableValue(f"not a JSON object: {error}") from error


def with_revision(json: bytes, revision: int) -> bytes:
    """``json``, which ``encode`` or this function made, with ``revision`` as its metadata.resourceVersion."""
    head = _HEAD.match(json)
    if head is None:
        return with_revision(encode(decode(json)), revision)
    rest = head.end()
    comma = b"" if json[rest : rest + 1] == b"}" else b","
    return b"".join((head[1], b'"resourceVersion":"%d"' % revision, comma, memoryview(json)[rest:]))


def foreign_with_revision(value: bytes, revision: int) -> bytes:
    """``with_revision`` for a value of which it is not known who wrote it. Raises ``UndecodableValue``."""
    head = _HEAD.match(value)
    if head is None or value.find(_VERSION_NAME, head.end(1)) >= 0:
        return with_revision(encode(decode(value)), revision)
    return with_revision(value, revision)


def at_revision(obj: Object, revision: int) -> Object:
    """``obj`` with ``revision`` as its metadata.resourceVersion; shares everything else."""
    return {**obj, "metadata": {**(obj.get("metadata") or {}), "resourceVersion": str(revision)}}
