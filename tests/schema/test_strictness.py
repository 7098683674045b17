"""Strict validation reports unknown and duplicate fields in the order of the document."""

from __future__ import annotations

import msgspec

from steersman.schema import strictness
from steersman.schema.structural import compiled, strict_decoding_error

POD = compiled("io.k8s.api.core.v1.Pod")


def errors_of(body: bytes) -> list[str]:
    unknown: list[str] = []
    POD.decode(msgspec.json.decode(body), unknown)
    return strictness.strict_errors(body, unknown)


def test_a_clean_body_has_none() -> None:
    assert errors_of(b'{"metadata":{"labels":{"a":"1","b":"1"}},"spec":{"containers":[]}}') == []


def test_duplicates_are_found_at_any_depth() -> None:
    assert errors_of(b'{"spec":{"containers":[{"name":"a","name":"b"}]},"metadata":{"labels":{"x":"1","x":"2"}}}') == [
        'duplicate field "spec.containers[0].name"',
        'duplicate field "metadata.labels.x"',
    ]


def test_unknown_and_duplicate_fields_stand_in_document_order_once_each() -> None:
    body = b'{"spec":{"foo":1,"foo":2,"hostPID":true,"hostPID":true,"hostPID":false,"bar":{"a":1,"a":2}}}'
    errors = errors_of(body)
    assert errors == ['unknown field "spec.foo"', 'duplicate field "spec.hostPID"', 'unknown field "spec.bar"']
    assert strict_decoding_error(errors[:2]) == (
        'strict decoding error: unknown field "spec.foo", duplicate field "spec.hostPID"'
    )


def test_at_most_a_hundred_are_reported() -> None:
    body = msgspec.json.encode({"spec": {f"x{number}": 1 for number in range(200)}})
    assert len(errors_of(body)) == strictness.MAX_STRICT_ERRORS
