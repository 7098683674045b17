"""Whole API objects: a message between a magic number, its kind's name and content fields (``runtime.Unknown``).

Source: k8s.io/apimachinery's protobuf serializer, and "Kubernetes Protobuf encoding" of the API concepts documentation.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from steersman.meta.objects import Object
from steersman.schema.protobuf import tables
from steersman.schema.protobuf.decoding import decode
from steersman.schema.protobuf.encoding import encoder
from steersman.schema.protobuf.specials import MAGIC, bytes_at, fields_of
from steersman.schema.protobuf.wire import BYTES, MalformedMessage, delimited, tag, varint

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
WATCH_MEDIA_TYPE = f"{MEDIA_TYPE};stream=watch"

_NO_ENCODING = delimited(3, b"") + delimited(4, b"")
_EVERYWHERE = frozenset(
    ["CreateOptions", "DeleteOptions", "GetOptions", "ListOptions", "PatchOptions", "UpdateOptions", "WatchEvent"]
)
"""Kinds of ``meta.k8s.io`` that every group has under its own name."""
_OF_META = frozenset(["APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "Status"])
"""Kinds of ``meta.k8s.io`` that go by ``v1``."""
_PACKAGES: Mapping[str, str] = {
    "": "core",
    **{group: group for group in ("apps", "autoscaling", "batch", "policy")},
    **{
        f"{group}.k8s.io": group
        for group in (
            "admission", "admissionregistration", "apidiscovery", "apiextensions", "apiregistration", "authentication",
            "authorization", "certificates", "coordination", "discovery", "events", "meta", "networking", "node",
            "resource", "scheduling", "storage",
        )
    },
    "flowcontrol.apiserver.k8s.io": "flowcontrol",
    "rbac.authorization.k8s.io": "rbac",
}  # fmt: skip
"""API group -> its tables."""


class UnknownKind(ValueError):
    """No protobuf message stands for this kind: it is custom, or misspelled."""

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(f"{kind} of {api_version} has no protobuf form")
        self.api_version = api_version
        self.kind = kind


class MalformedObject(MalformedMessage):
    """The envelope is well formed and names a kind; what is in it is no message of that kind."""

    def __init__(self, api_version: str, kind: str, why: str) -> None:
        super().__init__(why)
        self.api_version = api_version
        self.kind = kind


@cache
def message_of(api_version: str, kind: str) -> str:
    """The name of a kind's message; empty where it has none."""
    group, _, version = api_version.rpartition("/")
    package = _PACKAGES.get(group)
    if kind in _EVERYWHERE or (kind in _OF_META and not group):
        name = f"meta.v1.{kind}"
    elif package is None:
        return ""
    elif kind == "PartialObjectMetadata":
        name = "meta.v1.PartialObjectMetadata"
    else:
        name = f"{package}.{version}.{kind}"
    return name if tables.exists(name) else ""


def encode_message(obj: Mapping[str, Any]) -> bytes:
    """The object without its envelope, which is how lists hold it. Raises ``UnknownKind``."""
    return encoder(_message(obj.get("apiVersion", ""), obj.get("kind", "")))(obj)


def _message(api_version: str, kind: str) -> str:
    name = message_of(api_version, kind)
    if not name:
        raise UnknownKind(api_version, kind)
    return name


def encode_object(obj: Mapping[str, Any]) -> bytes:
    """A whole object; some discovery documents have no apiVersion. Raises ``UnknownKind``."""
    message = encode_message(obj)
    return envelope(obj.get("apiVersion", ""), obj["kind"], message)


@lru_cache(maxsize=256)
def _head(api_version: str, kind: str) -> bytes:
    return MAGIC + delimited(1, delimited(1, api_version.encode()) + delimited(2, kind.encode()))


def envelope(api_version: str, kind: str, message: bytes) -> bytes:
    """``message`` as a whole object."""
    return b"%b%b%b" % (_head(api_version, kind), delimited(2, message), _NO_ENCODING)


def list_frame(head: Mapping[str, Any], items: Sequence[bytes]) -> tuple[bytes, bytes]:
    """What stands before and after the items of a list, each item in the form of ``list_item``.

    Only for lists of kinds, which are ``metadata`` (1) and then ``items`` (2).
    """
    metadata = delimited(1, encoder("meta.v1.ListMeta")(head["metadata"]))
    size = len(metadata) + sum(map(len, items))
    start = _head(head["apiVersion"], head["kind"]) + tag(2, BYTES) + varint(size) + metadata
    return start, _NO_ENCODING


def list_item(message: bytes) -> bytes:
    """An object as a list holds it."""
    return delimited(2, message)


def watch_frame(type_: str, obj: bytes) -> bytes:
    """One event of a watch: a WatchEvent with a whole object, after its length as four bytes."""
    event = delimited(1, type_.encode()) + delimited(2, delimited(1, obj))
    return struct.pack(">I", len(event)) + event


def decode_object(data: bytes, *, api_version: str = "", kind: str = "", depth: int = 0) -> Object:
    """A whole object. ``api_version`` and ``kind`` count where the envelope does not say.

    Raises ``MalformedMessage`` and ``UnknownKind``.
    """
    if not data:
        raise MalformedMessage("empty data")
    if data == MAGIC:
        raise MalformedMessage("empty body")
    if not data.startswith(MAGIC):
        raise MalformedMessage("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        unknown = fields_of(data, len(MAGIC), len(data))
        type_meta = bytes_at(unknown, 1)
        named = fields_of(type_meta, 0, len(type_meta))
    except IndexError as error:
        raise MalformedMessage("unexpected EOF") from error
    encoding = bytes_at(unknown, 3).decode("utf-8", "replace")
    if encoding:
        raise MalformedMessage(f"content encoding {encoding} is not understood; send the object without one")
    api_version = bytes_at(named, 1).decode("utf-8", "replace") or api_version
    kind = bytes_at(named, 2).decode("utf-8", "replace") or kind
    obj: Object = {"apiVersion": api_version, "kind": kind}
    name = _message(api_version, kind)
    try:
        obj.update(decode(name, bytes_at(unknown, 2), depth=depth))
    except MalformedMessage as error:
        raise MalformedObject(api_version, kind, str(error)) from error
    return obj
