"""Which values mean the same to upstream."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.schema.equality import alike, same

SAME: list[tuple[Any, Any]] = [
    ({"a": 1}, {"a": 1}),
    ({"nodeSelector": {}}, {}),
    ({"nodeSelector": None}, {"nodeSelector": {}}),
    ({"hostNetwork": False}, {}),
    ({"stdin": False, "tty": None}, {"stdinOnce": False}),
    ({"a": [{"b": ""}]}, {"a": [{}]}),
]
DIFFERENT: list[tuple[Any, Any]] = [
    ({"a": 1}, {"a": 2}),
    ({"runAsUser": 0}, {}),
    ({"privileged": False}, {}),
    ({"a": [1]}, {"a": [1, 2]}),
    ({"a": {"b": "c"}}, {"a": {}}),
    ({"hostNetwork": True}, {}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_empty_is_absent(one: Any, other: Any) -> None:
    assert same(one, other)
    assert same(other, one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_was_said_counts(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)


def test_what_generations_count() -> None:
    assert alike({"a": None, "b": []}, {})
    assert alike([{"a": []}], [{}])
    assert not alike({"a": {}}, {})
    assert not alike({"a": 0}, {})
    assert not alike([{}], [])
