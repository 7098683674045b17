"""Bytes computed by hand, and what zero means."""

from __future__ import annotations

import pytest

from steersman.meta.objects import Object
from steersman.schema.protobuf.decoding import decode
from steersman.schema.protobuf.encoding import encoder
from steersman.schema.protobuf.envelope import (
    UnknownKind,
    decode_object,
    encode_message,
    encode_object,
    list_frame,
    list_item,
    message_of,
    watch_frame,
)

EMPTY_OBJECT_META = (
    b"\x0a\x00\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00"  # name generateName namespace selfLink uid resourceVersion
    b"\x38\x00\x42\x00"  # generation, creationTimestamp: the zero time is an empty message
)


def test_fields_that_are_no_pointers_are_written_when_they_are_zero() -> None:
    assert encoder("meta.v1.ObjectMeta")({}) == EMPTY_OBJECT_META


def test_an_object_stands_in_an_envelope() -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": {"b": "2", "a": "1"}, "immutable": False}
    message = (
        b"\x0a\x10" + EMPTY_OBJECT_META
        + b"\x12\x06\x0a\x01a\x12\x011" + b"\x12\x06\x0a\x01b\x12\x012"  # keys are sorted
        + b"\x20\x00"
    )  # fmt: skip
    head = b"k8s\x00" + b"\x0a\x0f\x0a\x02v1\x12\x09ConfigMap"
    assert encode_object(obj) == head + b"\x12" + bytes([len(message)]) + message + b"\x1a\x00\x22\x00"
    assert decode_object(encode_object(obj)) == obj


def test_inline_structures_are_messages_of_their_own() -> None:
    probe = {"tcpSocket": {"port": 80}, "periodSeconds": 3}
    handler = b"\x1a\x0a\x0a\x06\x08\x00\x10\x50\x1a\x00\x12\x00"
    numbers = b"\x10\x00\x18\x00\x20\x03\x28\x00\x30\x00"
    assert encoder("core.v1.Probe")(probe) == b"\x0a\x0c" + handler + numbers
    assert decode("core.v1.Probe", encoder("core.v1.Probe")(probe)) == probe


def test_negative_numbers_take_ten_bytes() -> None:
    encoded = encoder("core.v1.PodSpec")({"priority": -1})
    assert b"\xc8\x01" + b"\xff" * 9 + b"\x01" in encoded
    assert decode("core.v1.PodSpec", encoded)["priority"] == -1


@pytest.mark.parametrize(
    ("message", "obj"),
    [
        ("apps.v1.DeploymentSpec", {"replicas": 0}),
        ("core.v1.PersistentVolumeClaimSpec", {"storageClassName": ""}),
        ("core.v1.PodSpec", {"automountServiceAccountToken": False}),
        ("core.v1.SecurityContext", {"readOnlyRootFilesystem": False, "runAsUser": 0}),
        ("core.v1.ConfigMapKeySelector", {"key": "", "optional": False}),
        ("core.v1.VolumeSource", {"emptyDir": {}}),
    ],
)
def test_a_pointers_zero_is_a_value(message: str, obj: Object) -> None:
    decoded = decode(message, encoder(message)(obj))
    assert {key: decoded[key] for key in obj} == obj


def test_zeros_of_other_optional_fields_are_absent() -> None:
    zeros = {"initialDelaySeconds": 0, "timeoutSeconds": 0, "periodSeconds": 0}
    assert decode("core.v1.Probe", encoder("core.v1.Probe")(zeros)) == {}


def test_required_fields_are_always_there() -> None:
    found = decode("core.v1.ContainerStatus", b"")
    assert found == {
        "name": "", "state": {}, "lastState": {}, "ready": False, "restartCount": 0, "image": "", "imageID": "",
    }  # fmt: skip
    assert decode("apps.v1.ReplicaSetStatus", b"") == {"replicas": 0}


def test_structures_that_are_no_pointers_are_always_there() -> None:
    assert decode("core.v1.Container", b"\x0a\x01c") == {"name": "c", "resources": {}}
    assert decode("networking.v1.NetworkPolicySpec", b"") == {"podSelector": {}}


@pytest.mark.parametrize(
    ("message", "field", "value", "encoded"),
    [
        ("core.v1.ResourceFieldSelector", "divisor", "1m", b"\x1a\x04\x0a\x021m"),
        ("core.v1.TCPSocketAction", "port", "http", b"\x0a\x0a\x08\x01\x10\x00\x1a\x04http"),
        ("core.v1.Secret", "data", {"a": "AQI="}, b"\x12\x07\x0a\x01a\x12\x02\x01\x02"),
        ("meta.v1.ObjectMeta", "creationTimestamp", "1970-01-01T00:02:08Z", b"\x42\x05\x08\x80\x01\x10\x00"),
        ("coordination.v1.LeaseSpec", "renewTime", "1970-01-01T00:00:01.000002Z", b"\x22\x05\x08\x01\x10\xd0\x0f"),
        ("meta.v1.ManagedFieldsEntry", "fieldsV1", {"f:a": {}}, b'\x3a\x0c\x0a\x0a{"f:a":{}}'),
        ("authorization.v1.SubjectAccessReviewSpec", "extra", {"k": ["v"]}, b"\x2a\x08\x0a\x01k\x12\x03\x0a\x01v"),
        ("meta.v1.APIResource", "verbs", ["get"], b"\x22\x05\x0a\x03get"),
        ("apiextensions.v1.JSONSchemaProps", "default", None, b""),
        ("apiextensions.v1.JSONSchemaProps", "enum", [1, None], b"\xa2\x01\x03\x0a\x011\xa2\x01\x06\x0a\x04null"),
        ("apiextensions.v1.JSONSchemaProps", "maximum", 1, b"\x49\x00\x00\x00\x00\x00\x00\xf0\x3f"),
        ("apiextensions.v1.JSONSchemaProps", "additionalProperties", False, b"\xf2\x01\x02\x08\x00"),
        ("apps.v1.ControllerRevision", "data", {"a": 1}, b'\x12\x09\x0a\x07{"a":1}'),
    ],
)
def test_special_values(message: str, field: str, value: object, encoded: bytes) -> None:
    written = encoder(message)({field: value})
    assert encoded in written
    if value is not None:
        assert decode(message, written)[field] == value


def test_a_schema_or_something_else() -> None:
    schema = {
        "items": {"type": "string"},
        "additionalProperties": {"type": "integer"},
        "dependencies": {"a": ["b"], "c": {"type": "object"}},
    }
    message = "apiextensions.v1.JSONSchemaProps"
    assert decode(message, encoder(message)(schema)) == schema
    several = {"items": [{"type": "string"}, {"type": "integer"}]}
    assert decode(message, encoder(message)(several)) == several


def test_objects_within_objects_may_be_in_protobuf_too() -> None:
    inner = {"apiVersion": "v1", "kind": "Status", "metadata": {}, "code": 3}
    whole = encode_object(inner)
    listed = list_item(b"\x0a" + bytes([len(whole)]) + whole)
    assert decode("core.v1.List", listed)["items"] == [inner]


def test_lists_are_joined_from_items() -> None:
    items = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("a", "b")]
    head = {"apiVersion": "v1", "kind": "NamespaceList", "metadata": {"resourceVersion": "7", "remainingItemCount": 0}}
    pieces = [list_item(encode_message(item)) for item in items]
    before, after = list_frame(head, pieces)
    assert before + b"".join(pieces) + after == encode_object({**head, "items": items})


def test_watch_events_follow_their_length() -> None:
    frame = watch_frame("ADDED", b"object")
    assert frame == b"\x00\x00\x00\x11" + b"\x0a\x05ADDED" + b"\x12\x08\x0a\x06object"


def test_a_message_that_comes_twice_is_merged() -> None:
    twice = b"\x0a\x03\x0a\x01a" + b"\x0a\x03\x1a\x01n"
    assert decode("core.v1.ConfigMap", twice) == {"metadata": {"name": "a", "namespace": "n"}}


def test_packed_numbers_are_read_too() -> None:
    found = decode("core.v1.PodSecurityContext", b"\x22\x03\x01\xac\x02" + b"\x20\x05")
    assert found["supplementalGroups"] == [1, 300, 5]


def test_unknown_fields_are_skipped() -> None:
    unknown = b"\xf8\x3f\x01" + b"\xf9\x3f" + bytes(8) + b"\xfa\x3f\x01x" + b"\xfd\x3f" + bytes(4)
    assert decode("core.v1.PodIP", unknown + b"\x0a\x011") == {"ip": "1"}


def test_custom_kinds_have_no_message() -> None:
    assert not message_of("apps.example.com/v1", "Deployment")
    assert not message_of("gateway.networking.k8s.io/v1", "Ingress")
    with pytest.raises(UnknownKind, match=r"Deployment of apps\.example\.com/v1"):
        encode_object({"apiVersion": "apps.example.com/v1", "kind": "Deployment"})
