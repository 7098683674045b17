"""Hostile expressions: whatever they are priced at, they neither run for long nor fill the memory.

Each of these would take minutes or gigabytes if only upstream's prices bounded it.
"""

from __future__ import annotations

import resource
from typing import Any

import pytest

from steersman.cel import CompileError, CostLimitExceeded, EvaluationError, declare
from steersman.cel.effort import METER, TURN, LongRunning
from steersman.cel.transitions import rule_environment

_INTS = {"type": "array", "items": {"type": "integer"}}
_DOUBLED = "['x']" + ".map(a, [a, a])" * 40
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "n": _INTS,
        "floats": {"type": "array", "items": {"type": "number"}},
        "left": {**_INTS, "x-kubernetes-list-type": "set"},
        "right": {**_INTS, "x-kubernetes-list-type": "set"},
        "text": {"type": "string"},
        "pattern": {"type": "string"},
    },
}
VALUE: dict[str, Any] = {
    "n": list(range(100_000)),
    "floats": [1.0] * 100_000,
    "left": list(range(20_000)),
    "right": list(range(20_000)),
    "text": "x" * 100_000,
    "pattern": "(x?){1000}" * 10 + "$",
}
BOMBS = [
    "self.n.all(a, self.n.all(b, self.n.all(c, a + b + c >= 0)))",
    "[1].map(a, self.n + self.n)" + ".map(a, a + a)" * 30 + ".size() > 0",
    "self.n.all(a, (self.n + self.n).size() > 0)",
    "self.n.all(a, self.floats.size() > 0)",
    "self.n.map(a, self.n).flatten().size() > 0",
    "self.n.distinct().size() > 0",
    "sets.contains(self.n, self.n)",
    "sets.intersects(self.n, self.n.map(i, -1 - i))",
    "self.left == self.right",
    "(self.left + self.right).size() > 0",
    "lists.range(1000000000).size() > 0",
    "self.text.replace('x', self.text).size() > 0",
    "self.n.map(a, self.text).join(self.text).size() > 0",
    "'" + "%s" * 3000 + "'.format([" + ", ".join(["self.text"] * 3000) + "]) == ''",
    "'%.999999999f'.format([1.0]) == ''",
    f"{_DOUBLED} == {_DOUBLED}",
    f"'%s'.format([{_DOUBLED}]) == ''",
    "self.text.matches(self.pattern)",
    "self.n.all(a, self.text.findAll('').size() > 0)",
]


@pytest.mark.parametrize("rule", BOMBS)
def test_what_costs_more_than_it_is_priced_at_is_stopped(rule: str) -> None:
    declared = declare(SCHEMA)
    assert declared is not None
    program = rule_environment(declared).compile(rule)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with pytest.raises(CostLimitExceeded):
        program.evaluate({"self": VALUE})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 15


@pytest.mark.parametrize(
    "rule",
    ["(" * 2000 + "true" + ")" * 2000, "[" * 3000 + "]" * 3000, "1" + "+1" * 50_000 + " > 0", "true?" * 3000 + "true"],
    ids=["parentheses", "brackets", "sums", "conditions"],
)
def test_expressions_that_are_nested_too_deeply_are_refused(rule: str) -> None:
    with pytest.raises(CompileError):
        rule_environment(declare(SCHEMA)).compile(rule)  # type: ignore[arg-type]


def test_usual_expressions_cost_what_upstream_says() -> None:
    declared = declare(SCHEMA)
    assert declared is not None
    value = {"n": [1, 2, 3], "left": [1, 2], "right": [2, 1], "text": "abc", "pattern": "a.c"}
    environment = rule_environment(declared)
    for rule, cost in {
        "self.left == self.right": 5,
        "self.text.replace('a', 'b') == 'bbc'": 4,
        "self.text.matches(self.pattern)": 5,
        "(self.n + self.n).size() == 6": 7,
    }.items():
        outcome = environment.compile(rule).measure({"self": value})
        assert (outcome.value, outcome.cost) == (True, cost)


def test_a_bomb_does_not_shorten_the_next_evaluation() -> None:
    declared = declare(SCHEMA)
    assert declared is not None
    environment = rule_environment(declared)
    with pytest.raises(CostLimitExceeded):
        environment.compile("self.left == self.right").evaluate({"self": VALUE})
    assert environment.compile("self.n.size() == 100000").evaluate({"self": VALUE}) is True
    with pytest.raises(EvaluationError, match="division by zero"):
        environment.compile("1 / (self.n.size() - 100000) == 0").evaluate({"self": VALUE})


def test_evaluations_share_a_turn_and_what_it_is_not_enough_for_is_put_off() -> None:
    declared = declare(SCHEMA)
    assert declared is not None
    program = rule_environment(declared).compile("self.n.all(a, a >= 0)")
    value = {"self": {"n": list(range(2000))}}
    cost = program.measure(value).cost
    METER.begin_turn()
    try:
        for _ in range(TURN // cost):
            assert program.measure(value).cost == cost
        with pytest.raises(LongRunning):
            program.measure(value)
    finally:
        METER.end_turn()
    assert program.measure(value).cost == cost


def test_limits_within_a_turn_are_limits() -> None:
    declared = declare(SCHEMA)
    assert declared is not None
    program = rule_environment(declared).compile("self.n.all(a, a >= 0)")
    METER.begin_turn()
    try:
        with pytest.raises(CostLimitExceeded):
            program.evaluate({"self": VALUE}, cost_limit=TURN // 2)
    finally:
        METER.end_turn()
