"""Types, sizes and adapted values from OpenAPI schemas."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.cel import CompileError, Declared, EvaluationError, declare, types
from steersman.cel.schemas import escape, property_name
from steersman.cel.transitions import correlatable, is_transition_rule, rule_bindings, rule_environment
from steersman.cel.values import Value

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["replicas", "name"],
    "properties": {
        "replicas": {"type": "integer"},
        "name": {"type": "string", "maxLength": 10},
        "ratio": {"type": "number"},
        "when": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "wait": {"type": "string", "format": "duration"},
        "blob": {"type": "string", "format": "byte"},
        "port": {"x-kubernetes-int-or-string": True},
        "enum": {"type": "string", "enum": ["a", "four"]},
        "namespace": {"type": "string"},
        "dash-ed": {"type": "string"},
        "free": {"x-kubernetes-preserve-unknown-fields": True},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "keyed": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "number"}}},
        },
        "labels": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 5},
        "template": {"type": "object", "x-kubernetes-embedded-resource": True},
    },
}
VALUE: dict[str, Any] = {
    "replicas": 2,
    "name": "web",
    "ratio": 1,
    "when": "2011-08-18T19:03:37Z",
    "day": "2011-08-18",
    "wait": "90s",
    "blob": "QUI=",
    "port": "http",
    "namespace": "prod",
    "dash-ed": "-",
    "set": ["a", "b"],
    "keyed": [{"k": "x", "v": 1}, {"k": "y", "v": 2}],
    "labels": {"app": "web"},
    "template": {"kind": "Pod", "metadata": {"name": "p"}},
}


def _declared(schema: dict[str, Any] = SCHEMA) -> Declared:
    declared = declare(schema)
    assert declared is not None
    return declared


def _evaluate(rule: str) -> Value:
    return rule_environment(_declared()).compile(rule).evaluate({"self": VALUE, "oldSelf": VALUE})


@pytest.mark.parametrize(
    "rule",
    [
        "self.replicas == 2 && type(self.replicas) == int",
        "type(self.ratio) == double && self.ratio == 1.0",
        "self.when.getHours() == 19 && self.day.getDate() == 18",
        "self.wait == duration('1m30s')",
        "self.blob == b'AB'",
        "type(self.port) == string && self.port == 'http'",
        "self.__namespace__ == 'prod' && self.namespace == 'prod'",
        "self.dash__dash__ed == '-'",
        "self.set == ['b', 'a'] && self.set + ['a', 'c'] == ['c', 'b', 'a']",
        "self.keyed == [self.keyed[1], self.keyed[0]]",
        "size(self.keyed + [self.keyed[0]]) == 2",
        "self.keyed.all(e, type(e.v) == double)",
        "self.labels.app == 'web' && 'app' in self.labels && !('x' in self.labels)",
        "self.template.kind == 'Pod' && self.template.metadata.name == 'p'",
        "!has(self.enum) && has(self.name) && has(self.labels.app)",
        "self == oldSelf && self.keyed == oldSelf.keyed",
        "self.?enum.orValue('none') == 'none'",
    ],
)  # fmt: skip
def test_rules_see_values_by_their_schemas(rule: str) -> None:
    assert _evaluate(rule) is True


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("plain", "plain"),
        ("namespace", "__namespace__"),
        ("a-b.c/d", "a__dash__b__dot__c__slash__d"),
        ("a__b", "a__underscores__b"),
        ("9a", None),
        ("a b", None),
        ("", None),
    ],
)
def test_names_are_escaped_as_upstream_does(name: str, identifier: str | None) -> None:
    assert escape(name) == identifier
    if identifier is not None:
        assert property_name(identifier) == name


def test_what_a_schema_does_not_have_is_refused() -> None:
    environment = rule_environment(_declared())
    for text, message in {
        "self.nope": "undefined field 'nope'",
        "self.free": "undefined field 'free'",
        "self.name + 1": r"applied to '\(string, int\)'",
        "self.template.spec": "undefined field 'spec'",
    }.items():
        with pytest.raises(CompileError, match=message):
            environment.compile(text)


def test_an_absent_or_null_property_is_no_key() -> None:
    program = rule_environment(_declared()).compile("self.name == 'x'")
    for value in ({}, {"name": None}):
        with pytest.raises(EvaluationError, match="no such key: name"):
            program.evaluate({"self": value})


def test_a_string_that_is_no_date_fails_when_it_is_read() -> None:
    environment = rule_environment(_declared())
    with pytest.raises(EvaluationError, match="Invalid date-time formatted string nope"):
        environment.compile("self.when.getHours() == 1").evaluate({"self": {"when": "nope"}})
    assert environment.compile("has(self.when)").evaluate({"self": {"when": "nope"}}) is True


def test_a_resource_has_its_metadata() -> None:
    declared = declare({"type": "object", "properties": {}}, resource_root=True)
    assert declared is not None
    program = rule_environment(declared).compile("self.metadata.name == 'a' && self.kind == 'K'")
    assert program.evaluate({"self": {"kind": "K", "metadata": {"name": "a"}}}) is True


def test_sizes_follow_the_limits_of_schemas() -> None:
    fields = _declared().fields
    assert fields is not None
    sizes = {name: fields[name].max_elements for name in ("name", "enum", "labels", "when", "replicas")}
    assert sizes == {"name": 40, "enum": 4, "labels": 5, "when": 32, "replicas": 0}
    assert _declared().min_bytes == 2 + (8 + 1 + 4) + (4 + 2 + 4)
    assert fields["set"].max_elements == (3 * 1024 * 1024 - 2) // 3


def test_schemas_without_a_type_declare_nothing() -> None:
    assert declare({"x-kubernetes-preserve-unknown-fields": True}) is None
    assert declare({"type": "array"}) is None


def test_a_rule_that_mentions_oldself_is_a_transition_rule() -> None:
    environment = rule_environment(_declared())
    transition = environment.compile("self.replicas >= oldSelf.replicas")
    assert is_transition_rule(transition)
    assert not is_transition_rule(environment.compile("self.replicas > 0"))
    assert rule_bindings(transition, VALUE) is None
    bindings = rule_bindings(transition, VALUE, {"replicas": 3}, has_old=True)
    assert bindings is not None
    assert transition.evaluate(bindings) is False


def test_an_optional_oldself_lets_a_rule_run_on_creation() -> None:
    declared = _declared()
    rule = rule_environment(declared, optional_old_self=True).compile(
        "!oldSelf.hasValue() || oldSelf.value().when <= self.when"
    )
    on_creation = rule_bindings(rule, VALUE, optional_old_self=True)
    on_update = rule_bindings(rule, VALUE, VALUE, has_old=True, optional_old_self=True)
    assert on_creation is not None and on_update is not None
    assert rule.evaluate(on_creation) is True
    assert rule.evaluate(on_update) is True


def test_only_keyed_lists_can_be_correlated() -> None:
    assert correlatable({"type": "object"})
    assert correlatable({"type": "array", "x-kubernetes-list-type": "map"})
    assert not correlatable({"type": "array", "x-kubernetes-list-type": "set"})
    assert not correlatable({"type": "array"})


def test_a_variable_may_have_a_plain_type() -> None:
    environment = rule_environment(_declared()).with_variables({"n": types.INT})
    assert environment.compile("n + 1").evaluate({"n": 1}) == 2
