"""Encoding straight from JSON, with parts looked up, gives the bytes that encoding the decoded object gives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from steersman.schema.groups import REGISTRY
from steersman.schema.kind import Kind
from steersman.schema.protobuf import remembering
from steersman.schema.protobuf.encoding import encoder
from steersman.schema.protobuf.envelope import message_of
from steersman.schema.protobuf.remembering import from_json
from tests.schema.protobuf.canonical import objects

POD = "core.v1.Pod"
STORED = [kind for kind in REGISTRY if kind.is_stored and message_of(kind.resource.api_version, kind.resource.kind)]
CONTAINER: dict[str, Any] = {
    "name": "main",
    "image": "image",
    "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    "resources": {"limits": {"cpu": "1"}},
    "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 10},
}


def pod(**spec: Any) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": "a",
            "labels": {"b": "c"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "m", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:metadata": {}}}],
        },
        "spec": {"containers": [CONTAINER, {**CONTAINER, "name": "other"}], **spec},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    }


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: f"{kind.resource.api_version}/{kind.resource.kind}")
def test_the_bytes_are_those_of_the_decoded_object(kind: Kind) -> None:
    name = message_of(kind.resource.api_version, kind.resource.kind)
    encode, encode_json = encoder(name), from_json(name)

    @settings(max_examples=6, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(objects(name))
    def are_same(obj: Any) -> None:
        json = msgspec.json.encode(obj)
        assert encode_json(json) == encode(obj)
        assert encode_json(json) == encode(obj), "and again, of what is remembered"

    are_same()


@pytest.mark.parametrize(
    "obj",
    [
        pod(),
        pod(nodeName="n1", tolerations=[{"key": "a", "operator": "Exists"}], securityContext={"runAsUser": 0}),
        pod(containers=None, tolerations=None, volumes=[{"name": "v", "projected": {"sources": []}, "emptyDir": None}]),
        pod(unknown={"a": 1}, containers=[{**CONTAINER, "env": None, "strange": []}]),
        pod(containers=[{**CONTAINER, "env": [{"name": "long", "value": "x" * remembering.REMEMBERED_BYTES}]}]),
        {"metadata": {}, "spec": None},
    ],
)
def test_what_is_absent_null_unknown_or_long_makes_no_difference(obj: dict[str, Any]) -> None:
    assert from_json(POD)(msgspec.json.encode(obj)) == encoder(POD)(obj)


def test_what_objects_have_in_common_is_encoded_once() -> None:
    remembering._remembered.cache_clear()
    encode_json = from_json(POD)
    for number in range(10):
        encode_json(msgspec.json.encode(pod(nodeName=f"n{number}")))
    found = remembering._remembered.cache_info()
    parts = 4
    """Owned fields, and the environment, resources and probe of either container."""
    assert (found.misses, found.hits) == (parts, 10 * (2 * (parts - 1) + 1) - parts)


def test_an_object_of_another_shape_is_encoded_as_ever() -> None:
    odd = {"metadata": {"name": "a"}, "spec": {"containers": "none"}}
    with pytest.raises(AttributeError):
        encoder(POD)(odd)
    with pytest.raises(AttributeError):
        from_json(POD)(msgspec.json.encode(odd))
