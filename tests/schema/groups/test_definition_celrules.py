"""What is wrong with the CEL rules of a CustomResourceDefinition."""

from __future__ import annotations

from typing import Any

import pytest

from tests.schema.groups.samples import create_errors, prepared, sample, update_errors

NAME = "CustomResourceDefinition"
SCHEMA = "spec.versions.0.schema.openAPIV3Schema"
SHOWN = "spec.validation.openAPIV3Schema"
RULE = "x-kubernetes-validations[0]"
INT, TEXT = {"type": "integer"}, {"type": "string"}
LIST = {"type": "array", "items": TEXT}
HINT = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
QUADRATIC = "self.all(a, self.exists(b, a == b))"


def _ruled(schema: dict[str, Any], rule: str, **more: Any) -> dict[str, Any]:
    return {**schema, "x-kubernetes-validations": [{"rule": rule, **more}]}


def _said(schema: dict[str, Any]) -> list[str]:
    return create_errors(NAME, sample(NAME, {f"{SCHEMA}.properties": {"f": schema}}))


def _shown(rule: str, **more: Any) -> str:
    fields = {"Rule": f'"{rule}"', "Message": '""', "MessageExpression": '""', "Reason": "null", "FieldPath": '""'}
    fields |= {"OptionalOldSelf": "null", **more}
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"


ROWS: list[tuple[dict[str, Any], list[str]]] = [
    (_ruled(INT, "self > 1"), []),
    (_ruled(INT, "self >= oldSelf"), []),
    (_ruled({**TEXT, "maxLength": 9}, "self > 'a'", messageExpression="'is ' + self", reason="FieldValueForbidden"), []),
    (
        _ruled(INT, "self.x"),
        [
            f"properties[f].{RULE}.rule: Invalid value: {_shown('self.x')}: compilation failed: ERROR: <input>:1:5: type 'int' "
            "does not support field selection\n | self.x\n | ....^"
        ],
    ),
    (
        _ruled(INT, "self < 1 ? 'a' : 'b'"),
        [
            f"properties[f].{RULE}.rule: Invalid value: {_shown(chr(92).join(('self ', 'u003c 1 ? ')) + chr(39) + 'a' + chr(39) + ' : ' + chr(39) + 'b' + chr(39))}"
            ": cel expression must evaluate to a bool"
        ],
    ),
    (
        _ruled(INT, "true", messageExpression="self"),
        [
            f"properties[f].{RULE}.messageExpression: Invalid value: {_shown('true', MessageExpression=chr(34) + 'self' + chr(34))}: "
            "messageExpression must evaluate to a string"
        ],
    ),
    (
        _ruled(TEXT, "self.find('(') != ''"),
        [
            f"properties[f].{RULE}.rule: Invalid value: {_shown('self.find(' + chr(39) + '(' + chr(39) + ') != ' + chr(39) * 2)}: "
            "program instantiation failed: error parsing regexp: missing closing ): `(`"
        ],
    ),
    (
        _ruled(INT, "self > 1", optionalOldSelf=True),
        [f"properties[f].{RULE}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"],
    ),
    (
        {"type": "array", "items": {"type": "object", "properties": {"a": _ruled(INT, "self > oldSelf")}}},
        [
            f'properties[f].items.properties[a].{RULE}.rule: Invalid value: "self > oldSelf": oldSelf cannot be used on the '
            f"uncorrelatable portion of the schema within {SHOWN}.properties[f]"
        ],
    ),
    (
        _ruled(LIST, QUADRATIC),
        [
            f"properties[f].{RULE}.rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x {HINT}",
            f"properties[f].{RULE}.rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire "
            "OpenAPIv3 schema",
            ": Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor "
            f"of more than 100x {HINT}",
        ],
    ),
    (_ruled({"type": "array", "maxItems": 50, "items": {**TEXT, "maxLength": 50}}, QUADRATIC), []),
    (
        _ruled(INT, "true", messageExpression="[1].map(a, string(self)).join() + " + "quantity('1').isInteger() ? 'a' : 'b'"),
        ["compilation"],
    ),
    (
        {"type": "object", "properties": {"a": INT}, **_ruled({}, "true", fieldPath=".b")},
        [f'properties[f].{RULE}.fieldPath: Invalid value: ".b": must be a valid path'],
    ),
    ({**INT, "default": 1, **_ruled({}, "self > 1")}, ["properties[f].default: Invalid value: 1: failed rule: self > 1"]),
    ({**INT, "default": 1, **_ruled({}, "oldSelf.hasValue()", optionalOldSelf=True)}, [
        "properties[f].default: Invalid value: 1: failed rule: oldSelf.hasValue()"
    ]),
    (
        {"x-kubernetes-preserve-unknown-fields": True, **_ruled({}, "true")},
        [
            "properties[f].x-kubernetes-validations: Internal error: internal error: failed to construct type information for "
            "x-kubernetes-validations rules: unable to convert structural schema to CEL declarations"
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "errors"), ROWS)
def test_rules_are_refused_in_upstreams_words(schema: dict[str, Any], errors: list[str]) -> None:
    said = _said(schema)
    if errors == ["compilation"]:
        assert len(said) == 1
        assert "messageExpression compilation failed" in said[0]
        return
    assert said == [f"{SHOWN}{'' if error.startswith(':') else '.'}{error}" for error in errors]


def test_a_rule_is_priced_by_how_often_its_place_can_occur() -> None:
    def cost(outer: dict[str, Any]) -> list[str]:
        rule = "self.exists(x, x.contains('" + "a" * 40 + "'))"
        items = _ruled({"type": "array", "maxItems": 10, "items": {**TEXT, "maxLength": 100}}, rule)
        return _said({"type": "array", "items": items, **outer})

    assert not cost({"maxItems": 100})
    assert "estimated rule cost exceeds budget by factor of" in cost({})[0]


def test_an_unchanged_schema_is_not_asked_what_its_rules_cost_each() -> None:
    expensive = _ruled({"type": "array", "maxItems": 1500, "items": {**TEXT, "maxLength": 10}}, QUADRATIC)
    old = prepared(NAME, sample(NAME, {f"{SCHEMA}.properties": {"f": expensive}}))
    (refused,) = create_errors(NAME, sample(NAME, {f"{SCHEMA}.properties": {"f": expensive}}))
    assert "estimated rule cost exceeds budget by factor of " in refused
    assert not update_errors(NAME, old, {"metadata.labels": {"a": "b"}})
    assert update_errors(NAME, old, {f"{SCHEMA}.properties.g": TEXT}) == [refused]
