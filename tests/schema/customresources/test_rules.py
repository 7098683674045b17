"""What rules of CRDs say about objects: wording, fields, transitions, budgets, ratcheting."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.schema.customresources.rules import OBJECT_BUDGET, compile_rules

Row = tuple[dict[str, Any], Any, Any, list[str]]
"""schema of ``f``, its value, its old value, errors"""

INT, TEXT = {"type": "integer"}, {"type": "string"}


def _rule(rule: str, **more: Any) -> dict[str, Any]:
    return {"rule": rule, **more}


def _with(schema: dict[str, Any], *rules: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "x-kubernetes-validations": list(rules)}


def _said(schema: dict[str, Any], value: Any, old: Any = ...) -> list[str]:
    rules = compile_rules({"type": "object", "properties": {"f": schema}})
    assert rules is not None
    errors = rules.errors({"f": value}, None if old is ... else {"f": old})
    return [f"{'(forgiven) ' if error.forgiven else ''}{error}" for error in errors]


def _object(*rules: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return _with({"type": "object", "properties": properties}, *rules)


def _keyed(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item}


WORDING: list[Row] = [
    (_with(INT, _rule("self > 1")), 2, ..., []),
    (_with(INT, _rule("self > 1")), None, ..., []),
    (_with(INT, _rule(" self > 1 ")), 1, ..., ["f: Invalid value: 1: failed rule: self > 1"]),
    (_with(TEXT, _rule("self != 'x'", message=" no x ")), "x", ..., ['f: Invalid value: "x": no x']),
    (_object(_rule("false")), {}, ..., ["f: Invalid value: failed rule: false"]),
    (_with({"type": "array", "items": INT}, _rule("false")), [], ..., ["f: Invalid value: failed rule: false"]),
    (
        _object(_rule("false", reason="FieldValueForbidden", message="m"), _rule("false", reason="FieldValueRequired")),
        {},
        ...,
        ["f: Forbidden: m", "f: Required value: failed rule: false"],
    ),
    (_with(TEXT, _rule("false", reason="FieldValueDuplicate")), "x", ..., ['f: Duplicate value: "x"']),
    (_object(_rule("false", fieldPath=".a"), a=INT), {"a": 1}, ..., ["f.a: Invalid value: failed rule: false"]),
    (
        _object(_rule("false", fieldPath=".m['x.y']"), m={"type": "object", "additionalProperties": TEXT}),
        {},
        ...,
        ["f.m[x.y]: Invalid value: failed rule: false"],
    ),
    (
        {"type": "object", "additionalProperties": _with(INT, _rule("self > 1"))},
        {"a": 1, "b": 2},
        ...,
        ["f[a]: Invalid value: 1: failed rule: self > 1"],
    ),
    (
        {"type": "array", "items": _object(_rule("self.a > 1"), a=INT)},
        [{"a": 2}, {"a": 1}],
        ...,
        ["f[1]: Invalid value: failed rule: self.a > 1"],
    ),
    (
        _with(INT, _rule("self > 1", messageExpression="'is ' + string(self)", message="m")),
        1,
        ...,
        ["f: Invalid value: 1: is 1"],
    ),
    (_with(INT, _rule("false", messageExpression="'a\\nb'", message="m")), 1, ..., ["f: Invalid value: 1: m"]),
    (_with(INT, _rule("false", messageExpression="' '")), 1, ..., ["f: Invalid value: 1: failed rule: false"]),
    (_with(TEXT, _rule("false", messageExpression="self + self", message="m")), "x" * 5000, ..., [f'f: Invalid value: "{"x" * 5000}": m']),
    (_with(INT, _rule("false", messageExpression="string(1 / (self - 1))", message="m")), 1, ..., ["f: Invalid value: 1: m"]),
    (
        _object(_rule("self.a > 1"), a=INT),
        {},
        ...,
        ['f: Invalid value: "object": no such key: a evaluating rule: self.a > 1'],
    ),
    (
        _with({"x-kubernetes-int-or-string": True}, _rule("self > 1", message="above one")),
        "x",
        ...,
        [
            "f: Invalid value: \"\": 'no such overload': call arguments did not match a supported operator, function or macro "
            "signature for rule: above one"
        ],
    ),
    (
        _with(INT, _rule("self.a")),
        1,
        ...,
        [
            'f: Invalid value: "integer": rule compile error: compilation failed: ERROR: <input>:1:5: type \'int\' does not '
            "support field selection\n | self.a\n | ....^"
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value", "old", "errors"), WORDING)
def test_violations_are_told_as_upstream_tells_them(
    schema: dict[str, Any], value: Any, old: Any, errors: list[str]
) -> None:
    assert _said(schema, value, old) == errors


RISES = _rule("self >= oldSelf")
OPTIONAL = _rule("oldSelf.hasValue() || self == 1", optionalOldSelf=True)
TRANSITIONS: list[Row] = [
    (_with(INT, RISES), 1, ..., []),
    (_with(INT, RISES), 1, None, []),
    (_with(INT, RISES), 2, 1, []),
    (_with(INT, RISES), 1, 2, ["f: Invalid value: 1: failed rule: self >= oldSelf"]),
    (_with(INT, OPTIONAL), 1, ..., []),
    (_with(INT, OPTIONAL), 2, ..., ["f: Invalid value: 2: failed rule: oldSelf.hasValue() || self == 1"]),
    (_with(INT, OPTIONAL), 2, 3, []),
    (
        _keyed(_object(_rule("self.v >= oldSelf.v"), k=TEXT, v=INT)),
        [{"k": "b", "v": 1}, {"k": "a", "v": 1}, {"k": "c", "v": 0}],
        [{"k": "a", "v": 2}, {"k": "b", "v": 1}],
        ["f[1]: Invalid value: failed rule: self.v >= oldSelf.v"],
    ),
    ({"type": "array", "items": _with(INT, RISES)}, [1], [2], []),
    (
        {"type": "object", "additionalProperties": _with(INT, RISES)},
        {"a": 1, "b": 1},
        {"a": 2},
        ["f[a]: Invalid value: 1: failed rule: self >= oldSelf"],
    ),
    (
        _with(INT, _rule("oldSelf < self", messageExpression="'was ' + string(oldSelf)")),
        1,
        2,
        ["f: Invalid value: 1: was 2"],
    ),
]


@pytest.mark.parametrize(("schema", "value", "old", "errors"), TRANSITIONS)
def test_transition_rules_compare_what_can_be_found_in_the_old_object(
    schema: dict[str, Any], value: Any, old: Any, errors: list[str]
) -> None:
    assert _said(schema, value, old) == errors


SMALL = _rule("self < 5")
FAILED = "Invalid value: 9: failed rule: self < 5"
RATCHETED: list[Row] = [
    (_with(INT, SMALL), 9, 9, [f"(forgiven) f: {FAILED}"]),
    (_with(INT, SMALL), 9, 8, [f"f: {FAILED}"]),
    (_with(INT, _rule("self < 5 && oldSelf < 10")), 9, 9, ["f: Invalid value: 9: failed rule: self < 5 && oldSelf < 10"]),
    ({"type": "array", "items": _with(INT, SMALL)}, [9], [9], [f"(forgiven) f[0]: {FAILED}"]),
    ({"type": "array", "items": _with(INT, SMALL)}, [9, 1], [9], [f"f[0]: {FAILED}"]),
    (
        _keyed(_object(k=TEXT, v=_with(INT, SMALL))),
        [{"k": "new", "v": 1}, {"k": "a", "v": 9}],
        [{"k": "a", "v": 9}],
        [f"(forgiven) f[1].v: {FAILED}"],
    ),
    (
        _with(_keyed(_object(k=TEXT)), _rule("size(self) < 2")),
        [{"k": "a"}, {"k": "b"}],
        [{"k": "b"}, {"k": "a"}],
        ["(forgiven) f: Invalid value: failed rule: size(self) < 2"],
    ),
    (_object(_rule("self.a < 5"), a=INT), {"a": 9}, {"a": 9, "b": 1}, ["f: Invalid value: failed rule: self.a < 5"]),
    (_object(_rule("self.a < 5"), a=INT), {"a": 9}, {"a": 9}, ["(forgiven) f: Invalid value: failed rule: self.a < 5"]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value", "old", "errors"), RATCHETED)
def test_what_has_not_changed_is_forgiven(schema: dict[str, Any], value: Any, old: Any, errors: list[str]) -> None:
    assert _said(schema, value, old) == errors


def test_rules_of_the_root_are_told_without_a_field_and_know_the_objects_name() -> None:
    schema = _object(_rule("self.metadata.name == 'a' && self.kind == 'K'"))
    rules = compile_rules(schema)
    assert rules is not None
    assert not rules.errors({"kind": "K", "metadata": {"name": "a"}})
    (error,) = rules.errors({"kind": "K", "metadata": {"name": "b"}})
    assert str(error).startswith("<nil>: Invalid value: failed rule: self.metadata.name")


EXPENSIVE = "self.all(a, self.all(b, self.all(c, a + b + c < 0 || true)))"
NUMBERS = {"type": "array", "items": INT}


def test_a_rule_that_costs_too_much_is_stopped_and_no_other_runs() -> None:
    (error,) = _said(_with(NUMBERS, _rule(EXPENSIVE), _rule("false")), list(range(1000)))
    assert error == (
        "f: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation rules will be "
        f"run due to call cost exceeds limit for rule: {EXPENSIVE}"
    )


def test_rules_that_cost_too_much_together_are_stopped() -> None:
    affordable = _rule("self.all(a, a >= 0)")
    said = _said(_with(NUMBERS, *[affordable] * 30), list(range(100_000)))
    assert said == [
        'f: Invalid value: "array": validation failed due to running out of cost budget, no further validation rules will be run'
    ]


def test_a_message_that_costs_too_much_is_told() -> None:
    expensive = f"{EXPENSIVE} ? 'a' : 'b'"
    (error,) = _said(_with(NUMBERS, _rule("false", messageExpression=expensive)), list(range(1000)))
    assert error == (
        'f: Invalid value: "array": no further validation rules will be run due to call cost exceeds limit for '
        f'messageExpression: "{expensive}"'
    )


def test_a_check_of_a_part_gives_back_what_is_left_of_the_budget() -> None:
    rules = compile_rules(_with(INT, SMALL), resource_root=False)
    assert rules is not None
    verdict = rules.check(1, None, "spec.default", OBJECT_BUDGET)
    assert not verdict.errors
    assert OBJECT_BUDGET - 10 < verdict.budget < OBJECT_BUDGET


def test_schemas_without_rules_cost_nothing() -> None:
    assert compile_rules({"type": "object", "properties": {"a": INT}}) is None
