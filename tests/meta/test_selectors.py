"""Selectors: what parses, what is refused, and that the printed form means the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.meta.selectors import (
    EVERYTHING,
    NOTHING,
    FieldSelector,
    LabelSelector,
    Requirement,
    SelectorError,
    label_selector_of,
    label_selector_of_map,
    parse_field_selector,
    parse_label_selector,
)


def requirement(key: str, operator: Any, *values: str) -> Requirement:
    return Requirement(key, operator, frozenset(values))


PARSES: list[tuple[str, list[Requirement]]] = [
    ("", []),
    ("\rx", [requirement("x", "Exists")]),
    ("!x", [requirement("x", "DoesNotExist")]),
    ("a.example.com/key-with-dash", [requirement("a.example.com/key-with-dash", "Exists")]),
    ("foo  in\t (abc)", [requirement("foo", "In", "abc")]),
    ("x notin\n (abc)", [requirement("x", "NotIn", "abc")]),
    ("x in (abc,)", [requirement("x", "In", "abc", "")]),
    ("x in ()", [requirement("x", "In", "")]),
    ("x notin (, a)", [requirement("x", "NotIn", "", "a")]),
    ("x notin (abc,,def)", [requirement("x", "NotIn", "abc", "", "def")]),
    ("a in (x,y,notin, z,in)", [requirement("a", "In", "x", "y", "notin", "z", "in")]),
    ("x==a", [requirement("x", "In", "a")]),
    ("x=", [requirement("x", "In", "")]),
    ("x=,y", [requirement("x", "In", ""), requirement("y", "Exists")]),
    ("y!=b,x=a", [requirement("x", "In", "a"), requirement("y", "NotIn", "b")]),
    ("x>1,y<7", [requirement("x", "Gt", "1"), requirement("y", "Lt", "7")]),
]
REFUSED = [
    "x=a||y=b", "x,,y", ",x,y", "x nott in (y)", "a in (xyz),", "a in (xyz)b", "a in (xyz abc)", "a notin(", "a (", "(",
    "x>a", "x>", "x>-1", "x=-a", "x in (-a)", "x in (=)", "x in ((a))", "-x", "!", "x!y", "in", "a/b/c=d", "x=" + "a" * 64,
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), PARSES)
def test_parses(text: str, expected: list[Requirement]) -> None:
    assert parse_label_selector(text).requirements == tuple(expected)


@pytest.mark.parametrize("text", [text for text in REFUSED if text != "in"])
def test_refuses(text: str) -> None:
    with pytest.raises(SelectorError):
        parse_label_selector(text)


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("x", {"x": ""}, True),
        ("x", {}, False),
        ("!x", {}, True),
        ("x!=a", {}, True),
        ("x!=a", {"x": "a"}, False),
        ("x notin (a,b)", {"x": "c"}, True),
        ("x>3", {"x": "4"}, True),
        ("x>3", {"x": "3"}, False),
        ("x<3", {"x": "2"}, True),
        ("x<3", {}, False),
        ("x>3", {"x": "many"}, False),
        ("x>3", {"x": "1_000"}, False),
        ("x>3", {"x": "99999999999999999999"}, False),
        ("x=a,y=b", {"x": "a", "y": "c"}, False),
    ],
)
def test_matches(text: str, labels: Mapping[str, str], expected: bool) -> None:
    assert parse_label_selector(text).matches(labels) is expected


def test_a_missing_selector_matches_nothing_and_an_empty_one_everything() -> None:
    assert label_selector_of(None) == NOTHING
    assert not NOTHING.matches({})
    assert label_selector_of({}) == label_selector_of_map({}) == EVERYTHING
    assert EVERYTHING.matches(None)


@pytest.mark.parametrize(
    "expression",
    [
        {"key": "x", "operator": "Gt", "values": ["1"]},
        {"key": "x", "operator": "In", "values": []},
        {"key": "x", "operator": "NotIn"},
        {"key": "x", "operator": "Exists", "values": ["a"]},
        {"key": "-x", "operator": "Exists"},
        {"key": "x", "operator": "In", "values": ["-"]},
    ],
)
def test_an_object_selector_that_makes_no_sense_is_refused(expression: dict[str, Any]) -> None:
    with pytest.raises(SelectorError):
        label_selector_of({"matchExpressions": [expression]})


NAMES = st.from_regex(r"[a-z0-9A-Z]([a-z0-9A-Z._-]{0,8}[a-z0-9A-Z])?", fullmatch=True)
KEYS = NAMES.filter(lambda key: key not in ("in", "notin"))
VALUES = st.one_of(st.just(""), NAMES)
REQUIREMENTS = st.one_of(
    st.builds(Requirement, KEYS, st.sampled_from(("In", "NotIn")), st.frozensets(VALUES, min_size=1, max_size=3)),
    st.builds(Requirement, KEYS, st.sampled_from(("Exists", "DoesNotExist"))),
    st.builds(
        Requirement,
        KEYS,
        st.sampled_from(("Gt", "Lt")),
        st.integers(0, 99).map(lambda number: frozenset({str(number)})),
    ),
)


@given(st.lists(REQUIREMENTS, max_size=4), st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_is_printed_parses_to_the_same(requirements: list[Requirement], labels: dict[str, str]) -> None:
    selector = LabelSelector(tuple(sorted(requirements, key=lambda entry: entry.key)))
    again = parse_label_selector(str(selector))
    assert again == selector
    assert again.matches(labels) == all(entry.matches(labels) for entry in requirements)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_a_map_selects_whoever_has_all_of_it(labels: dict[str, str]) -> None:
    assert label_selector_of({"matchLabels": labels}) == label_selector_of_map(labels)
    assert label_selector_of_map(labels).matches({**labels, "other": "label"})


@given(st.lists(st.tuples(st.from_regex(r"[a-z]+(\.[a-z]+)*", fullmatch=True), st.booleans(), st.text(max_size=8))))
def test_field_selectors_print_what_they_parse(terms: list[tuple[str, bool, str]]) -> None:
    selector = FieldSelector(tuple(terms))
    assert sorted(parse_field_selector(str(selector)).terms) == sorted(terms)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("a=!b", "unable to parse requirement: found '!', expected: identifier"),
        ("a=(", "unable to parse requirement: found '(', expected: identifier"),
        ("!!a", "unable to parse requirement: found '!', expected: identifier"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (=", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a in (b,=", "unable to parse requirement: found '=', expected: ',', or identifier"),
    ],
)
def test_refusals_say_what_was_found_and_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as refused:
        parse_label_selector(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
        ("a=\\b", "invalid field selector: invalid escape sequence: \\b"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("b=c,a", "invalid selector: 'b=c,a'; can't understand 'a'"),
    ],
)
def test_values_of_field_selectors_are_escaped(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as refused:
        parse_field_selector(text)
    assert str(refused.value) == message


@pytest.mark.parametrize("text", ["=", ",", "!=", ",,="])
def test_a_field_selector_without_fields_and_values_selects_everything(text: str) -> None:
    assert parse_field_selector(text).is_everything


@pytest.mark.parametrize("text", ["a", "a=b,c", "a!b"])
def test_field_selectors_without_an_operator_are_refused(text: str) -> None:
    with pytest.raises(SelectorError):
        parse_field_selector(text)


def test_field_selectors_compare_values_exactly() -> None:
    selector = parse_field_selector("metadata.name=a,status.phase!=Running")
    assert selector.required_value("metadata.name") == "a"
    assert selector.required_value("status.phase") is None
    assert selector.matches({"metadata.name": "a", "status.phase": ""}.__getitem__)
    assert not selector.matches({"metadata.name": "a", "status.phase": "Running"}.__getitem__)
