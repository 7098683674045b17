"""resourceVersion goes into the bytes of an object without decoding it, whatever the object looks like."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies

from steersman.meta.objects import Object
from steersman.store.encoding import UndecodableValue, encode, foreign_with_revision, with_revision

texts = strategies.text(max_size=6) | strategies.sampled_from(("metadata", "resourceVersion", '"metadata":{', "\\"))
values: strategies.SearchStrategy[Any] = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers(-(2**63), 2**64 - 1) | texts,
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
maps = strategies.dictionaries(texts, values, max_size=3)
tops = strategies.dictionaries(texts | strategies.sampled_from(("kind", "apiVersion")), values, max_size=4)
metadatas = strategies.fixed_dictionaries({}, optional={"metadata": maps | strategies.none()})
objects: strategies.SearchStrategy[Object] = (
    strategies.builds(lambda top, metadata: [*({**top, "metadata": None, **metadata}).items()], tops, metadatas)
    .flatmap(strategies.permutations)
    .map(dict)
)


def expected(obj: Object, revision: int) -> Object:
    return {**obj, "metadata": {**(obj.get("metadata") or {}), "resourceVersion": str(revision)}}


@given(objects)
def test_what_is_encoded_reads_back_with_its_revision(obj: Object) -> None:
    value = encode(obj)
    assert "resourceVersion" not in msgspec.json.decode(value)["metadata"]
    json = with_revision(value, 7)
    assert msgspec.json.decode(json) == expected(obj, 7)
    assert with_revision(json, 12345) == with_revision(value, 12345)


@given(objects)
def test_what_others_encoded_reads_back_with_its_revision(obj: Object) -> None:
    value = msgspec.json.encode(obj)
    assert msgspec.json.decode(foreign_with_revision(value, 7)) == expected(obj, 7)


@pytest.mark.parametrize("value", [b"", b"[]", b"k8s\0", b'{"metadata":[]}', b'{"kind":"x"', b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_refused(value: bytes) -> None:
    with pytest.raises(UndecodableValue):
        foreign_with_revision(value, 1)
