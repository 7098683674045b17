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
_VERSION = b'"resourceVersion":"'
_METADATA = b'"metadata":{'
"""Its first occurrence in the stored form is the object's metadata: before it come two strings, in which quotes are escaped."""
_HEAD_BYTES = 4096
"""Where it begins, unless a kind has a name that no API server accepts."""

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
    kind, api_version = obj.get("kind"), obj.get("apiVersion")
    if isinstance(kind, str) and isinstance(api_version, str):
        fields = {"kind": kind, "apiVersion": api_version, "metadata": metadata, **obj}
        fields["metadata"] = metadata
        return _encoder.encode(fields)
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
    start = json.find(_METADATA, 0, _HEAD_BYTES) + len(_METADATA)
    if start < len(_METADATA):
        return with_revision(encode(decode(json)), revision)
    rest = start
    if json.startswith(_VERSION, start):
        rest = json.index(b'"', start + len(_VERSION)) + 1
        rest += json.startswith(b",", rest)
    comma = b"" if json.startswith(b"}", rest) else b","
    return b"".join((json[:start], b'"resourceVersion":"%d"' % revision, comma, memoryview(json)[rest:]))


def foreign_with_revision(value: bytes, revision: int) -> bytes:
    """``with_revision`` for a value of which it is not known who wrote it. Raises ``UndecodableValue``."""
    head = _HEAD.match(value)
    if head is None or value.find(_VERSION_NAME, head.end(1)) >= 0:
        return with_revision(encode(decode(value)), revision)
    return with_revision(value, revision)


def at_revision(obj: Object, revision: int) -> Object:
    """``obj`` with ``revision`` as its metadata.resourceVersion; shares everything else."""
    return {**obj, "metadata": {**(obj.get("metadata") or {}), "resourceVersion": str(revision)}}
