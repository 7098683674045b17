"""Sets of fields behave as sets of paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.schema.managedfields import fieldset
from steersman.schema.managedfields.fieldset import FieldSet, MalformedFields

Path = tuple[str, ...]
STEPS = ["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"', "i:0"]
PATHS = st.sets(st.lists(st.sampled_from(STEPS), min_size=1, max_size=3).map(tuple), max_size=8)


def of(paths: set[Path]) -> FieldSet:
    result: FieldSet = {}
    for path in paths:
        node: FieldSet = {}
        for step in reversed(path):
            node = {step: node}
        result = fieldset.union(result, node)
    return result


def members(fields: FieldSet) -> set[Path]:
    return set(fieldset.paths(fields))


@given(PATHS, PATHS)
def test_operations_equal_those_on_sets_of_paths(left: set[Path], right: set[Path]) -> None:
    assert members(of(left)) == left
    assert members(fieldset.union(of(left), of(right))) == left | right
    assert members(fieldset.intersection(of(left), of(right))) == left & right
    assert members(fieldset.difference(of(left), of(right))) == left - right
    below = {path for path in left if any(path[: len(cut)] == cut for cut in right)}
    assert members(fieldset.without(of(left), of(right))) == left - below
    assert {path for path in left if fieldset.has(of(right), path)} == left & right


@given(PATHS)
def test_order_changes_nothing_and_checking_accepts(paths: set[Path]) -> None:
    fields = of(paths)
    assert fieldset.in_order(fields) == fields
    assert fieldset.checked(fields) == fields


def test_steps_stand_in_upstreams_order() -> None:
    fields: FieldSet = {
        'v:"b"': {},
        "i:2": {},
        'k:{"port":443}': {},
        "f:b": {},
        ".": {},
        'k:{"port":80}': {},
        "f:a": {},
        "i:10": {},
    }
    assert list(fieldset.in_order(fields)) == [
        ".", "f:a", "f:b", 'k:{"port":80}', 'k:{"port":443}', 'v:"b"', "i:2", "i:10",
    ]  # fmt: skip


def test_paths_print_as_in_conflicts() -> None:
    path = ("f:spec", "f:ports", 'k:{"protocol":"TCP","port":80}', "f:name")
    assert fieldset.path_text(path) == '.spec.ports[port=80,protocol="TCP"].name'
    assert fieldset.path_text(("f:metadata", "f:finalizers", 'v:"x"')) == '.metadata.finalizers[="x"]'


def test_foreign_spellings_of_keys_are_read_as_ours() -> None:
    assert fieldset.checked({'k:{"b": 1, "a": "x"}': {}}) == {'k:{"a":"x","b":1}': {}}


@pytest.mark.parametrize("fields", [{"spec": {}}, {"f:a": 1}, {"k:nonsense": {}}, {"i:x": {}}, []])
def test_what_is_no_fieldsv1_is_refused(fields: object) -> None:
    with pytest.raises(MalformedFields):
        fieldset.checked(fields)
