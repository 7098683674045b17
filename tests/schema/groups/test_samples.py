"""What holds for every kind: a valid object passes, comes out of defaulting unchanged a second time, and may be written again."""

from __future__ import annotations

import copy

import pytest

from steersman.schema.groups import REGISTRY
from steersman.schema.kind import Kind
from tests.schema.groups.samples import (
    SAMPLES,
    create_errors,
    kind_of,
    prepared,
    sample,
    status_errors,
    update_errors,
)

NAMES = list(SAMPLES)


def test_every_stored_kind_has_a_sample() -> None:
    stored = {kind.resource.api_version + "/" + kind.resource.kind for kind in REGISTRY if kind.is_stored}
    assert stored == {f"{kind_of(name).resource.api_version}/{kind_of(name).resource.kind}" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_valid_object_passes(name: str) -> None:
    assert create_errors(name, sample(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_set_once(name: str) -> None:
    once = prepared(name, sample(name))
    kind_of(name).default(once)
    twice = copy.deepcopy(once)
    kind_of(name).default(twice)
    assert twice == once


@pytest.mark.parametrize("name", NAMES)
def test_an_object_may_be_written_as_it_is(name: str) -> None:
    stored = prepared(name, sample(name))
    assert update_errors(name, stored, {}) == []
    assert status_errors(name, stored, {}) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_update_leaves_the_old_object_alone(name: str) -> None:
    stored = prepared(name, sample(name))
    before = copy.deepcopy(stored)
    update_errors(name, stored, {})
    status_errors(name, stored, {})
    assert stored == before


@pytest.mark.parametrize("kind", REGISTRY, ids=lambda kind: kind.definition)
@pytest.mark.parametrize(
    "body", [{}, {"spec": {}}, {"spec": None, "status": None}, {"spec": {}, "status": {}}], ids=str
)
def test_hooks_stand_an_empty_object(kind: Kind, body: dict[str, None]) -> None:
    """What is missing is an error or no matter, never a crash."""
    obj = {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind, "metadata": {"name": "a"}, **body}
    obj = {name: value for name, value in obj.items() if value is not None}
    made = copy.deepcopy(obj)
    kind.default(made)
    kind.prepare_create(made)
    kind.validate(made)
    kind.validate_create(made)
    old = copy.deepcopy(made)
    kind.prepare_update(made, old)
    kind.validate_update(made, old)
    kind.prepare_status_update(made, old)
    kind.validate_status_update(made, old)
    if kind.warnings is not None:
        kind.warnings(made)
    for column in kind.columns:
        column.cell(made, 0.0)
    for part in kind.subresources:
        if part.prepare_update is not None and "spec" in old:
            part.prepare_update(made, old)
        if part.validate_update is not None:
            part.validate_update(made, old)
