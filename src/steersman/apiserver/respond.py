"""From objects to responses, in the representation that the client accepts.

Stored objects are sent as the bytes they were stored with; large lists are produced piece by piece while they are sent,
so that neither memory nor other requests feel them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from isal import isal_zlib
from msgspec import Struct

from steersman.apiserver import protobuf, tablelists
from steersman.apiserver.call import Call
from steersman.apiserver.negotiation import (
    JSON,
    PROTOBUF,
    Representation,
    representation,
    representation_or_default,
)
from steersman.apiserver.served import Entity, Served
from steersman.apiserver.served import Unstored as Unstored
from steersman.meta.errors import APIError, NotAcceptable
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.meta.wire import Response
from steersman.schema import tables

SLICE_BYTES = 64 * 1024
GZIP_FROM_BYTES = 128 * 1024
WARNINGS_LIMIT = 4096
"""Characters of all warnings together before each is cut to ``WARNING_LIMIT``."""
WARNING_LIMIT = 256
"""Smaller bodies are not worth it; upstream's threshold."""
_GZIP_LEVEL = 1
_PLAIN_TABLES = {version: Representation(JSON, "Table", version) for version in ("v1", "v1beta1")}
_READERS = ("curl", "Wget", "Mozilla/5.0")
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_encoder = msgspec.json.Encoder()


class ListMeta(Struct, frozen=True, kw_only=True):
    """``metadata`` of a list."""

    resource_version: str
    continue_token: str = ""
    remaining: int | None = None

    def as_object(self) -> Object:
        metadata: Object = {"resourceVersion": self.resource_version} if self.resource_version else {}
        if self.continue_token:
            metadata["continue"] = self.continue_token
        if self.remaining is not None:
            metadata["remainingItemCount"] = self.remaining
        return metadata


def wanted(call: Call, served: Served) -> Representation:
    """What the client accepts. Raises ``NotAcceptable``; called before anything is changed."""
    accept = call.header("accept")
    has_protobuf = PROTOBUF not in accept or bool(served.message)
    has_table = served.kind.is_stored or bool(served.kind.columns)
    return representation(accept, is_pretty(call), has_protobuf, has_table)


def wanted_document(call: Call, obj: Object) -> Representation:
    """What the client accepts of a document such as those of discovery. Raises ``NotAcceptable``."""
    accept = call.header("accept")
    has_protobuf = PROTOBUF not in accept or protobuf.is_known(obj)
    return representation(accept, is_pretty(call), has_protobuf, has_shapes=False)


def is_pretty(call: Call) -> bool:
    """JSON is indented for who asks so and, unless they say otherwise, for people: browsers and command-line tools."""
    asked = call.request.query.get("pretty")
    if asked is not None and asked[0]:
        return asked[0] in _TRUE
    return call.header("user-agent").startswith(_READERS)


def headers(call: Call, content_type: str) -> dict[str, str]:
    """What every response carries. Names are in lower case."""
    found = {
        "audit-id": call.audit_id,
        "cache-control": "no-cache, private",
        "content-type": content_type,
    }
    if call.response_headers:
        found.update(call.response_headers)
    if call.warnings:
        found["warning"] = ", ".join(f'299 - "{_quoted(text)}"' for text in _bounded(call.warnings))
    return found


def _bounded(warnings: Sequence[str]) -> list[str]:
    """Many long warnings are cut, as upstream cuts them: clients limit the size of headers."""
    if sum(map(len, warnings)) <= WARNINGS_LIMIT:
        return list(warnings)
    kept: list[str] = []
    for text in warnings:
        if sum(map(len, kept)) >= WARNINGS_LIMIT:
            break
        kept.append(text[:WARNING_LIMIT])
    return kept


def _quoted(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable.replace("\\", "\\\\").replace('"', '\\"')


def entity(call: Call, served: Served, found: Entity, *, now_s: float, status: int = 200) -> Response:
    """One object of the kind that the URL names."""
    form = wanted(call, served)
    if call.audit is not None and form.shape != "Table":
        call.audit.responded(served.obj(found))
    if form.is_plain and not served.converts:
        body = found.json
        return _response(call, JSON, body, status, found.obj if call.is_in_process else None)
    if form.is_plain:
        sent = served.entity(found)
        return _response(call, JSON, sent.json, status, sent.obj if call.is_in_process else None)
    if form.media_type == PROTOBUF and not form.shape:
        body = protobuf.entity(served, found)
        return _response(call, PROTOBUF, body, status, served.obj(found) if call.is_in_process else None)
    if form.pretty and form.media_type == JSON and not form.shape:
        sent = served.entity(found)
        return _response(call, JSON, _indented(sent.json), status, sent.obj if call.is_in_process else None)
    obj = served.obj(found)
    if form.shape == "Table":
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        obj = table(call, served, [obj], metadata, now_s=now_s)
    elif form.shape == "PartialObjectMetadata":
        obj = tables.partial(obj, form.shape_version)
    elif form.shape:
        message = f"you requested {form.shape}, but the requested object is not a list (*{_go_type(served)})"
        raise NotAcceptable(message)
    return value(call, obj, status=status, form=form)


def _go_type(served: Served) -> str:
    """The name that upstream's code has for the kind."""
    if served.kind.is_custom:
        return "unstructured.Unstructured"
    group = served.resource.group
    package = "core" if group in ("", "events.k8s.io") else group.partition(".")[0]
    return f"{package}.{served.resource.kind}"


def value(call: Call, obj: Any, *, status: int = 200, form: Representation | None = None) -> Response:
    """Any JSON value: statuses, reviews, documents."""
    form = form or _form_of(call, obj)
    if call.audit is not None:
        call.audit.responded(obj)
    if form.media_type == PROTOBUF:
        body = protobuf.value(obj)
    elif form.media_type != JSON:
        from steersman.apiserver import yamlbody

        body = yamlbody.dump(obj)
    elif form.pretty:
        body = _indented(_encoder.encode(obj))
    else:
        body = _encoder.encode(obj)
    return _response(call, form.media_type, body, status, obj if call.is_in_process else None)


def _indented(json: bytes) -> bytes:
    return msgspec.json.format(json, indent=2) + b"\n"


def _form_of(call: Call, obj: Any) -> Representation:
    """The form of what is not of the kind that the URL names."""
    accept = call.header("accept")
    return representation_or_default(accept, is_pretty(call), PROTOBUF not in accept or protobuf.is_known(obj))


def listing(call: Call, served: Served, items: Sequence[Entity], metadata: ListMeta, *, now_s: float) -> Response:
    """A list of objects of the kind that the URL names."""
    form = wanted(call, served)
    resource = served.resource
    head = {"kind": served.list_kind, "apiVersion": resource.api_version, "metadata": metadata.as_object()}
    if call.audit is not None and not form.shape:
        call.audit.responded({**head, "items": [served.obj(item) for item in items]})
    if form.is_plain:
        sent = [served.entity(item) for item in items] if served.converts else items
        return _plain_list(call, head, sent, b"" if served.kind.is_custom else _kind_bytes(resource))
    if form.media_type == PROTOBUF and not form.shape:
        return _protobuf_list(call, served, head, items)
    row_order = served.kind.row_order
    if form == _PLAIN_TABLES.get(form.shape_version) and row_order is None and _is_streamed(call, items):
        return _table_list(call, served, items, metadata, form, now_s=now_s)
    objects = [served.obj(item) for item in items]
    if not form.shape and not served.kind.is_custom and not call.is_in_process:
        objects = [
            {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")} for obj in objects
        ]
    if form.shape == "Table":
        if row_order is not None:
            objects.sort(key=row_order)
        return value(call, table(call, served, objects, metadata.as_object(), now_s=now_s), form=form)
    if form.shape == "PartialObjectMetadata":
        message = f"you requested {form.shape}, but the requested object is a list (*{_go_type(served)}List)"
        raise NotAcceptable(message)
    if form.shape:
        head["kind"], head["apiVersion"] = "PartialObjectMetadataList", f"meta.k8s.io/{form.shape_version}"
        objects = [tables.partial(obj, form.shape_version) for obj in objects]
    return value(call, {**head, "items": objects}, form=form)


def table(
    call: Call, served: Served, objects: Iterable[Object], metadata: Mapping[str, Any], *, now_s: float,
    headers: bool = True,
) -> Object:  # fmt: skip
    """A ``meta.k8s.io`` Table. Raises ``BadRequest`` for an unknown ``includeObject``."""
    return tables.table(
        served.kind,
        objects,
        now=now_s,
        list_metadata=metadata,
        include=tables.include_object(call.query("includeObject")),
        version=wanted(call, served).shape_version,
        headers=headers,
    )


def failure(call: Call, error: APIError) -> Response:
    """A ``v1.Status``."""
    response = value(call, error.status(), status=error.http_code)
    if error.retry_after_s is None:
        return response
    return Response(
        status=response.status,
        headers={**response.headers, "retry-after": str(error.retry_after_s)},
        body=response.body,
        content=response.content,
    )


def text(call: Call, body: str, *, status: int = 200) -> Response:
    """Plain text, e.g. ``404 page not found``."""
    found = headers(call, "text/plain; charset=utf-8")
    found["x-content-type-options"] = "nosniff"
    return Response(status=status, headers=found, body=body.encode())


def _accepts_gzip(call: Call) -> bool:
    return "gzip" in call.header("accept-encoding")


def _response(call: Call, content_type: str, body: bytes, status: int, content: Any) -> Response:
    found = headers(call, content_type)
    if len(body) >= GZIP_FROM_BYTES and not call.is_in_process and _accepts_gzip(call):
        found["content-encoding"] = "gzip"
        found["vary"] = "Accept-Encoding"
        pieces = (body[start : start + SLICE_BYTES] for start in range(0, len(body), SLICE_BYTES))
        return Response(status=status, headers=found, stream=_gzipped(pieces))
    return Response(status=status, headers=found, body=body, content=content)


def _plain_list(call: Call, head: Object, items: Sequence[Entity], kind: bytes) -> Response:
    """``kind``: what items begin with and do not say: the list does."""
    content = {**head, "items": [item.obj for item in items]} if call.is_in_process else None
    start = _encoder.encode(head)[:-1] + b',"items":['
    size_bytes = sum(len(item.json) for item in items)
    if size_bytes < SLICE_BYTES:
        body = b"%b%b]}" % (start, b",".join([_item(item.json, kind) for item in items]))
        return Response(headers=headers(call, JSON), body=body, content=content)
    found = headers(call, JSON)
    pieces = _pieces(start, items, kind)
    if size_bytes >= GZIP_FROM_BYTES and _accepts_gzip(call) and content is None:
        found["content-encoding"] = "gzip"
        found["vary"] = "Accept-Encoding"
        return Response(headers=found, stream=_gzipped(pieces))
    if kind:
        size_bytes -= (len(kind) - 1) * sum(item.json.startswith(kind) for item in items)
    found["content-length"] = str(len(start) + size_bytes + len(items) - 1 + 2)
    return Response(headers=found, stream=_as_stream(pieces), content=content)


@cache
def _kind_bytes(resource: Resource) -> bytes:
    """What the stored form of an object begins with."""
    return _encoder.encode({"kind": resource.kind, "apiVersion": resource.api_version})[:-1] + b","


def _item(json: bytes, kind: bytes) -> bytes:
    return b"{" + json[len(kind) :] if kind and json.startswith(kind) else json


def _protobuf_list(call: Call, served: Served, head: Object, items: Sequence[Entity]) -> Response:
    content = {**head, "items": [served.obj(item) for item in items]} if call.is_in_process else None
    if len(items) <= protobuf.ITEMS_AT_ONCE:
        return _response(call, PROTOBUF, b"".join(protobuf.listing(served, head, items)), 200, content)
    found = headers(call, PROTOBUF)
    pieces = protobuf.streamed_listing(served, head, items)
    if _accepts_gzip(call) and content is None:
        found["content-encoding"] = "gzip"
        found["vary"] = "Accept-Encoding"
        pieces = _gzipped_stream(pieces)
    return Response(headers=found, stream=pieces, content=content)


def _is_streamed(call: Call, items: Sequence[Entity]) -> bool:
    return len(items) > tablelists.ROWS_AT_ONCE and not call.is_in_process and call.audit is None


def _table_list(
    call: Call, served: Served, items: Sequence[Entity], metadata: ListMeta, form: Representation, *, now_s: float
) -> Response:
    include = tables.include_object(call.query("includeObject"))
    pieces = tablelists.streamed(
        served, items, metadata.as_object(), now_s=now_s, include=include, version=form.shape_version
    )
    found = headers(call, JSON)
    if _accepts_gzip(call):
        found["content-encoding"] = "gzip"
        found["vary"] = "Accept-Encoding"
        pieces = _gzipped_stream(pieces)
    return Response(headers=found, stream=pieces)


def _pieces(start: bytes, items: Sequence[Entity], kind: bytes) -> Iterable[bytes]:
    """The list's bytes in pieces of about ``SLICE_BYTES``."""
    group: list[bytes] = []
    size_bytes = len(start)
    lead = start
    for item in items:
        group.append(_item(item.json, kind))
        size_bytes += len(group[-1])
        if size_bytes >= SLICE_BYTES:
            yield lead + b",".join(group)
            group, size_bytes, lead = [], 0, b","
    if group:
        yield lead + b",".join(group)
    yield b"]}"


async def _as_stream(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _gzipped_stream(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    compressor = isal_zlib.compressobj(_GZIP_LEVEL, wbits=31)
    async for piece in pieces:
        compressed = compressor.compress(piece)
        if compressed:
            yield compressed
    yield compressor.flush()


async def _gzipped(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    compressor = isal_zlib.compressobj(_GZIP_LEVEL, wbits=31)
    for piece in pieces:
        compressed = compressor.compress(piece)
        if compressed:
            yield compressed
    yield compressor.flush()
