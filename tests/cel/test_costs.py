"""Costs, in upstream's units: what an evaluation spends, and what it can spend by its schema."""

from __future__ import annotations

import pytest

from steersman.cel import declare
from steersman.cel.costs import UNBOUNDED
from steersman.cel.environment import Program
from steersman.cel.transitions import rule_environment

SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "integer"},
        "b": {"type": "integer"},
        "s": {"type": "string", "maxLength": 10},
        "long": {"type": "string"},
        "list": {"type": "array", "maxItems": 10, "items": {"type": "integer"}},
        "names": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 4}},
        "many": {"type": "array", "items": {"type": "string"}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "items": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string"}}},
        },
    },
}
VALUE = {
    "a": 1,
    "b": 2,
    "s": "0123456789",
    "long": "x" * 100,
    "list": [1, 2, 3],
    "names": ["x", "y"],
    "many": [],
    "map": {"k": "v"},
    "items": [{"k": "a1", "v": "b1"}, {"k": "a2", "v": "b2"}, {"k": "a3", "v": "b3"}],
}


def _compile(rule: str) -> Program:
    declared = declare(SCHEMA)
    assert declared is not None
    return rule_environment(declared).compile(rule)


SPENT = {
    "self.a <= self.b": 5,
    "self.a == 1 && self.b == 2": 6,
    "self.a == 2 && self.b == 2": 3,
    "has(self.a) && has(self.b)": 2,
    "self.long == self.long": 14,
    "self.s + self.s == ''": 6,
    "self.s.startsWith('0')": 3,
    "self.s.matches('^[0-9]*$')": 6,
    "1 in self.list": 5,
    "self.a in [1, 2, 3]": 2,
    "self.list.all(i, i > 0)": 18,
    "self.list.exists(i, i == 2)": 18,
    "self.list.exists_one(i, i == 2)": 12,
    "self.list.map(i, i * 2).size() == 3": 47,
    "self.list.filter(i, i > 1).size() == 2": 37,
    "type(self.a) == int": 4,
    "self.items.all(m, m.k.startsWith('a'))": 21,
    "self.items.exists(m, m.k == 'a1' && m.v == 'b1')": 16,
    "self.a > 0 ? self.b > 1 : self.b > 2": 6,
    "self.?a.orValue(5) == 1": 3,
    "timestamp('2020-01-01T00:00:00Z') < timestamp('2021-01-01T00:00:00Z')": 1,
    "quantity('1k') == quantity('1000')": 3,
}


@pytest.mark.parametrize("rule", SPENT)
def test_an_evaluation_costs_what_it_costs_upstream(rule: str) -> None:
    outcome = _compile(rule).measure({"self": VALUE})
    assert outcome.error is None
    assert outcome.cost == SPENT[rule]


ESTIMATED = {
    "self.a <= self.b": 5,
    "self.s == 'x'": 3,
    "self.list.all(i, i > 0)": 2 + 10 * 5 + 1,
    "self.items.all(m, m.k.startsWith('a'))": 6291453,
    "self.items.exists(m, m.k.endsWith('1'))": 7340028,
    "self.items.exists_one(m, m.k == 'a3')": 5242879,
    "isQuantity(self.long)": 314575,
    "quantity(self.long).isInteger()": 314576,
    "self.long.matches('a+b+')": 314575,
}


@pytest.mark.parametrize("rule", ESTIMATED)
def test_an_estimate_is_upstreams(rule: str) -> None:
    assert _compile(rule).estimated_cost.max == ESTIMATED[rule]


def test_nested_loops_over_unbounded_lists_are_estimated_beyond_any_limit() -> None:
    estimated = _compile("self.many.all(a, self.many.all(b, self.many.all(c, a + b + c != '')))").estimated_cost
    assert estimated.max > 10**15
    assert estimated.max <= UNBOUNDED


def test_what_fails_is_charged_too() -> None:
    outcome = _compile("self.a / 0 > 0").measure({"self": VALUE})
    assert outcome.error is not None
    assert outcome.cost >= 3
