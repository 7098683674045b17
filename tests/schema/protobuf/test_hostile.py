"""What is no message is refused, at once, and with nothing worse than ``MalformedMessage``."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steersman.schema.protobuf.decoding import decode
from steersman.schema.protobuf.envelope import UnknownKind, decode_object, encode_object
from steersman.schema.protobuf.wire import MalformedMessage, delimited

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "labels": {"a": "b"}, "creationTimestamp": "2026-01-02T03:04:05Z"},
    "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}, "ports": [{"containerPort": 80}]}]},
    "status": {},
}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"k8s",
        b"k8s\x00",
        b"k8s\x00\xff",
        b"k8s\x00" + b"\xff" * 20,
        b"k8s\x00\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"k8s\x00\x08\x01",
        b"k8s\x00\x12\x05abc",
    ],
)
def test_no_envelope(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_object(data, api_version="v1", kind="Pod")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a", "unexpected EOF"),
        (b"\x0a\x05ab", "unexpected EOF"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "unexpected EOF"),
        (b"\x0a" + b"\xff" * 11, "integer overflow"),
        (b"\x08\x01", "wrong wireType = 0 for field 1"),
        (b"\x0b\x0c", "illegal wireType 3"),
        (b"\x0a\x02\x0a\x05", "unexpected EOF"),
        (b"\x02\x00", "wrong wireType = 2 for field 0"),
    ],
)
def test_no_message(data: bytes, why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        decode("core.v1.Pod", data)


def test_every_truncation_is_refused_or_is_an_object() -> None:
    whole = encode_object(POD)
    for size in range(len(whole)):
        try:
            decode_object(whole[:size], api_version="v1", kind="Pod")
        except (MalformedMessage, UnknownKind):
            continue


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_bytes_do_nothing_worse(changes: list[tuple[int, int]]) -> None:
    data = bytearray(encode_object(POD))
    for position, byte in changes:
        data[position % len(data)] = byte
    try:
        decode_object(bytes(data))
    except (MalformedMessage, UnknownKind):
        return


def test_deep_nesting_is_refused_at_once() -> None:
    data = b""
    for _ in range(5000):
        data = delimited(28, data)  # JSONSchemaProps.not
    began = time.process_time()
    with pytest.raises(MalformedMessage, match="exceeded max depth"):
        decode("apiextensions.v1.JSONSchemaProps", data)
    assert time.process_time() - began < 0.5


def test_envelopes_within_envelopes_are_refused_at_once() -> None:
    data = b""
    for _ in range(2000):
        data = encode_list(data)
    with pytest.raises(MalformedMessage, match="exceeded max depth"):
        decode_object(data)


def encode_list(inner: bytes) -> bytes:
    whole = encode_object({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": []})
    head, tail = whole[:16], b"\x1a\x00\x22\x00"
    assert head.endswith(b"List")
    return head + delimited(2, delimited(2, delimited(1, inner))) + tail


def test_schemas_may_be_as_deep_as_people_write_them() -> None:
    schema: dict[str, object] = {"type": "string"}
    for _ in range(60):
        schema = {"type": "object", "properties": {"a": schema}}
    obj = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": {"versions": [
        {"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}  # fmt: skip
    found = decode_object(encode_object(obj))
    assert found["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == schema


def test_times_out_of_range_are_refused() -> None:
    with pytest.raises(MalformedMessage, match="year outside of range"):
        decode("meta.v1.ObjectMeta", delimited(8, b"\x08" + b"\xff" * 8 + b"\x7f"))


def test_embedded_json_must_be_json() -> None:
    with pytest.raises(MalformedMessage, match="embedded JSON"):
        decode("apps.v1.ControllerRevision", delimited(2, delimited(1, b"{")))
