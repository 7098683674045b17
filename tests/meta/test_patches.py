"""JSON patch and JSON merge patch: what they do, what they refuse, and that they never change what they are given."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.meta.errors import BadRequest, RequestEntityTooLarge
from steersman.meta.patches import (
    MAX_OPERATIONS,
    PatchDoesNotApply,
    json_patch,
    json_patch_strict_errors,
    merge_patch,
    same,
)

APPLIES: list[tuple[Any, list[dict[str, Any]], Any]] = [
    ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
    ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
    ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
    ({"a": [1]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2]}),
    ({"a": [1]}, [{"op": "add", "path": "/a/-1", "value": 2}], {"a": [1, 2]}),
    ({"a": 1, "b": 2}, [{"op": "remove", "path": "/b"}], {"a": 1}),
    ({"a": [1, 2]}, [{"op": "remove", "path": "/a/-1"}], {"a": [1]}),
    ({"a": 1}, [{"op": "replace", "path": "/a", "value": 2}], {"a": 2}),
    ({"a": 1}, [{"op": "replace", "path": "/absent", "value": 2}], {"a": 1, "absent": 2}),
    ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 1}}], {"b": 1}),
    ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
    ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
    ({"a/b": {"m~n": 1}}, [{"op": "replace", "path": "/a~1b/m~0n", "value": 2}], {"a/b": {"m~n": 2}}),
    ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1}),
    ({}, [{"op": "test", "path": "/a", "value": None}], {}),
    ({"": 1}, [{"op": "remove", "path": "/"}], {}),
    (
        {"a": {"x": [1]}},
        [
            {"op": "add", "path": "/a/x/-", "value": 2},
            {"op": "copy", "from": "/a", "path": "/b"},
            {"op": "add", "path": "/b/x/-", "value": 3},
        ],
        {"a": {"x": [1, 2]}, "b": {"x": [1, 2, 3]}},
    ),
]


@pytest.mark.parametrize(("document", "patch", "expected"), APPLIES)
def test_json_patch_gives(document: Any, patch: list[dict[str, Any]], expected: Any) -> None:
    before, patch_before = copy.deepcopy(document), copy.deepcopy(patch)
    assert json_patch(document, patch) == expected
    assert document == before
    assert patch == patch_before


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    ({}, {"op": "remove", "path": "/a"}, "error in remove for path: '/a': Unable to remove nonexistent key: a: missing value"),
    ({"a": []}, {"op": "remove", "path": "/a/0"}, "error in remove for path: '/a/0': Unable to access invalid index: 0: invalid index referenced"),
    ({}, {"op": "add", "path": "/a/b", "value": 1}, 'add operation does not apply: doc is missing path: "/a/b": missing value'),
    ({"a": 1}, {"op": "add", "path": "/a/b", "value": 1}, 'add operation does not apply: doc is missing path: "/a/b": missing value'),
    ({"a": []}, {"op": "add", "path": "/a/x", "value": 1}, "error in add for path: '/a/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax"),
    ({"a": 1}, {"op": "test", "path": "/a", "value": 2}, "testing value /a failed: test failed"),
    ({"a": 1}, {"op": "test", "path": "/a", "value": True}, "testing value /a failed: test failed"),
    ({}, {"op": "test", "path": "/a", "value": 1}, "testing value /a failed: test failed"),
    ({"a": []}, {"op": "replace", "path": "/a/0", "value": 2}, "replace operation does not apply: doc is missing key: /a/0: missing value"),
    ({}, {"op": "move", "from": "/a", "path": "/b"}, "error in move for path: 'a': Unable to remove nonexistent key: a: missing value"),
    ({}, {"op": "copy", "path": "/b"}, "copy operation failed to decode from: operation, missing from field: missing value"),
    ({}, {"op": "frobnicate", "path": "/b"}, "Unexpected kind: frobnicate"),
    ({}, {"path": "/b"}, "Unexpected kind: unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "operation", "text"), REFUSED)
def test_json_patch_that_does_not_apply_says_why_to_the_operator(
    document: Any, operation: dict[str, Any], text: str
) -> None:
    before = copy.deepcopy(document)
    with pytest.raises(PatchDoesNotApply) as refused:
        json_patch(document, [operation])
    assert str(refused.value) == text
    assert refused.value.status()["message"] == "the server rejected our request due to an error in our request"
    assert refused.value.http_code == 422
    assert document == before


def test_copies_of_one_json_patch_are_bounded_together() -> None:
    document = {"a": "x" * 2_000_000}
    once = {"op": "copy", "from": "/a", "path": "/b"}
    json_patch(document, [once])
    with pytest.raises(PatchDoesNotApply, match="exceeding the limit 3145728"):
        json_patch(document, [once, once])


def test_ten_thousand_operations_are_the_limit() -> None:
    operation = {"op": "add", "path": "/a", "value": 1}
    assert json_patch({}, [operation] * MAX_OPERATIONS) == {"a": 1}
    with pytest.raises(
        RequestEntityTooLarge, match="The allowed maximum operations in a JSON patch is 10000, got 10001"
    ):
        json_patch({}, [operation] * (MAX_OPERATIONS + 1))


@pytest.mark.parametrize("patch", [{}, "x", None, ["x"], [{"op": 1}], [None]])
def test_what_is_not_a_json_patch_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(BadRequest, match="error decoding patch: json: cannot unmarshal"):
        json_patch({}, patch)


def test_strict_validation_names_unknown_members_of_operations() -> None:
    assert json_patch_strict_errors([{"op": "add", "path": "/a", "frm": 1}]) == ['json patch unknown field "[0].frm"']


def test_unchanged_parts_are_shared_not_copied() -> None:
    document = {"spec": {"big": {"x": 1}}, "metadata": {"labels": {"a": "b"}}}
    patched = json_patch(document, [{"op": "add", "path": "/metadata/labels/c", "value": "d"}])
    assert patched["spec"] is document["spec"]
    merged = merge_patch(document, {"metadata": {"labels": {"c": "d"}}})
    assert merged["spec"] is document["spec"]


MERGES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ({"a": "x"}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
]
"""The examples of RFC 7386, appendix A, as far as both sides are objects."""


@pytest.mark.parametrize(("document", "patch", "expected"), MERGES)
def test_merge_patch_gives(document: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy(document)
    assert merge_patch(document, patch) == expected
    assert document == before


def test_a_merge_patch_is_an_object() -> None:
    with pytest.raises(BadRequest, match="cannot unmarshal array into Go value"):
        merge_patch({}, [1])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc/~"), inner, max_size=3),
    max_leaves=8,
)
DOCUMENT = st.dictionaries(st.sampled_from("abc/~"), JSON, max_size=4)
PATH = st.lists(st.sampled_from(["a", "b", "~0", "~1", "0", "1", "-", "-1"]), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
OPERATION = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": PATH,
        "from": PATH,
        "value": JSON,
    }
)


@given(DOCUMENT, st.lists(OPERATION, max_size=6))
def test_json_patch_is_all_or_nothing_and_equals_applying_to_a_private_copy(
    document: Any, operations: list[Any]
) -> None:
    before, patch_before = copy.deepcopy(document), copy.deepcopy(operations)
    try:
        result = json_patch(document, operations)
    except PatchDoesNotApply:
        result = None
    assert same(document, before)
    assert same(operations, patch_before)
    if result is not None:
        stepwise = copy.deepcopy(document)
        for operation in operations:
            stepwise = copy.deepcopy(json_patch(stepwise, [copy.deepcopy(operation)]))
        assert same(result, stepwise)


WITHOUT_NULLS_IN_LISTS = st.dictionaries(
    st.sampled_from("abc/~"),
    st.recursive(
        st.none()
        | st.integers(-3, 3)
        | st.lists(st.integers(-3, 3) | st.dictionaries(st.just("a"), st.just(1)), max_size=3),
        lambda inner: st.dictionaries(st.sampled_from("abc/~"), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
"""Nulls inside of lists are kept or dropped by upstream's library depending on what the list replaces."""


@given(DOCUMENT, WITHOUT_NULLS_IN_LISTS)
def test_merge_patch_twice_is_merge_patch_once(document: Any, patch: Any) -> None:
    once = merge_patch(document, patch)
    assert same(merge_patch(once, patch), once)
