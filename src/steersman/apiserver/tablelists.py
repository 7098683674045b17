"""Large lists as Tables, written row by row while they are sent.

A row's cells need little of an object, and its metadata is sent as it is stored: what a kind's columns do not read is not
decoded, and no decoded object outlives its row.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from steersman.apiserver.served import Entity, Served
from steersman.meta.objects import Object
from steersman.schema import tables
from steersman.schema.kind import Kind
from steersman.schema.tables import IncludeObject
from steersman.store.stored import Stored

ROWS_AT_ONCE = 64
"""Rows that are written before other requests get a turn: about 2 ms."""
_encoder = msgspec.json.Encoder()


class _Parts(msgspec.Struct):
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


_metadata_of = msgspec.json.Decoder(_Parts).decode


@cache
def _printed(shape: Any) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(shape).decode


async def streamed(
    served: Served,
    items: Sequence[Entity],
    metadata: Mapping[str, Any],
    *,
    now_s: float,
    include: IncludeObject,
    version: str,
) -> AsyncIterator[bytes]:
    """The bytes of a Table of ``items``."""
    head = tables.table(served.kind, (), now=now_s, list_metadata=metadata, version=version)
    del head["rows"]
    lead = _encoder.encode(head)[:-1] + b',"rows":['
    write = _row_writer(served, now_s=now_s, include=include, version=version)
    for start in range(0, len(items), ROWS_AT_ONCE):
        yield lead + b",".join([write(item) for item in items[start : start + ROWS_AT_ONCE]])
        lead = b","
        await asyncio.sleep(0)
    yield b"]}" if items else lead + b"]}"


def _row_writer(served: Served, *, now_s: float, include: IncludeObject, version: str) -> Callable[[Entity], bytes]:
    kind, columns = served.kind, tables.columns_of(served.kind)
    partial = f'{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/{version}","metadata":'.encode()

    def write(item: Entity) -> bytes:
        obj = _readable(kind, served, item)
        line: Object = {"cells": tables.cells(kind, columns, obj, now_s)}
        conditions = kind.row_conditions(obj) if kind.row_conditions is not None else None
        if conditions:
            line["conditions"] = conditions
        sent = b"null"
        if include == "Object":
            sent = served.entity(item).json
        elif include == "Metadata":
            raw = _encoder.encode(obj["metadata"]) if served.converts else bytes(_metadata_of(item.json).metadata)
            sent = partial + raw + b"}"
        return _encoder.encode(line)[:-1] + b',"object":' + sent + b"}"

    return write


def _readable(kind: Kind, served: Served, item: Entity) -> Object:
    """What the cells read of an object: all of it where it is decoded already, else no more than they need."""
    if served.converts or not isinstance(item, Stored):
        return served.obj(item)
    if item.at_hand is not None:
        return item.at_hand
    if kind.printed is not None:
        try:
            found: Object = _printed(kind.printed)(item.json)
        except msgspec.ValidationError:
            pass
        else:
            return found
    return item.decoded()
