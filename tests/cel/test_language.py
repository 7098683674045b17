"""Values, operators, macros and errors of the language, as tables."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest

from steersman.cel import CompileError, CostLimitExceeded, Environment, EvaluationError, types
from steersman.cel.libraries import bindings, comprehensions, optionals
from steersman.cel.values import Duration, Lazy, OptionalValue, Timestamp, Uint, Value

ENVIRONMENT = Environment(
    variables={"x": types.DYN, "i": types.INT, "s": types.STRING, "m": types.map_of(types.STRING, types.INT)},
    libraries=(optionals.LIBRARY, comprehensions.LIBRARY, bindings.LIBRARY),
)
BINDINGS: dict[str, Value] = {"x": {"a": {"b": [1, 2, 3]}, "n": None}, "i": 7, "s": "héllo", "m": {"one": 1, "two": 2}}

VALUES: dict[str, Value] = {
    # arithmetic
    "1 + 2 * 3": 7,
    "-5 / 3": -1,
    "-5 % 3": -2,
    "5 % -3": 2,
    "2u * 3u": Uint(6),
    "1.0 / 0.0": math.inf,
    "0x1F": 31,
    "-9223372036854775808": -(2**63),
    "'a' + 'b'": "ab",
    "b'\\xff' + b'a'": b"\xffa",
    "[1] + [2]": [1, 2],
    # equality and order
    "dyn(1) == 1.0": True,
    "dyn(1) == dyn('1')": False,
    "dyn(true) == dyn(1)": False,
    "[dyn(true)] == [dyn(1)]": False,
    "{'a': 1, 'b': 2} == {'b': 2, 'a': 1}": True,
    "1u < 2.5": True,
    "'a' < 'b' && b'a' < b'b' && false < true": True,
    "null == null": True,
    # strings
    "size(s)": 5,
    "r'\\d' == '\\\\d'": True,
    "'\\u00e9' + '''\n'''": "é\n",
    "s.contains('llo') && s.startsWith('h') && s.endsWith('o')": True,
    "s.matches('h.llo')": True,
    # containers
    "x.a.b[1]": 2,
    "m['one'] + m.two": 3,
    "2 in [1, 2]": True,
    "'one' in m": True,
    "{true: 'yes', 1: 'one'}[true]": "yes",
    "{true: 'yes', 1: 'one'}[1]": "one",
    "{1: 'one'}[dyn(1.0)]": "one",
    "has(x.a) && !has(x.c)": True,
    "has(x.n)": True,
    # logic
    "true || 1 / 0 > 0": True,
    "1 / 0 > 0 || true": True,
    "false && 1 / 0 > 0": False,
    "1 / 0 > 0 && false": False,
    "1 / 0 > 0 && 2 / 0 > 0 && i < 0": False,
    "i > 5 ? 'big' : 'small'": "big",
    "!!true": True,
    # macros
    "[1, 2, 3].all(n, n > 0)": True,
    "[1, 2, 3].exists(n, n == 2)": True,
    "[1, 2, 2].exists_one(n, n == 1)": True,
    "[1, 2, 3].map(n, n * 2)": [2, 4, 6],
    "[1, 2, 3].map(n, n > 1, n * 2)": [4, 6],
    "[1, 2, 3].filter(n, n > 1)": [2, 3],
    "m.map(k, m[k])": [1, 2],
    "[1, 0].exists(n, 1 / n == 1)": True,
    "[0, 1].exists(n, 1 / n == 1)": True,
    "[0, 2].all(n, 1 / n == 1)": False,
    "[[1, 2], [3]].map(l, l.map(n, n + size(l)))": [[3, 4], [4]],
    "[1, 2].all(index, value, index < value)": True,
    "{'a': 1}.exists(key, value, key == 'a' && value == 1)": True,
    "['a', 'b'].transformList(index, value, value + string(index))": ["a0", "b1"],
    "{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 10)": {"b": 20},
    "{'a': 'x'}.transformMapEntry(k, v, {v: k})": {"x": "a"},
    "cel.bind(d, i * 2, d + d)": 28,
    "cel.bind(unused, 1 / 0, 1)": 1,
    # optionals
    "x.?a.b[?1]": OptionalValue(2),
    "x.?c.d.orValue(5)": 5,
    "x.a.b[?9].orValue(-1)": -1,
    "optional.none().or(optional.of(1)).value()": 1,
    "[?x.?c, ?optional.of(2)]": [2],
    "{'a': 1, ?'b': x.?c}": {"a": 1},
    "x.?a.optMap(a, size(a.b)).value()": 3,
    "x.?a.optFlatMap(a, a.?c).hasValue()": False,
    "optional.ofNonZeroValue('').hasValue()": False,
    "[].first().hasValue()": False,
    # conversions and types
    "int('42') + int(3.9) + int(2u)": 47,
    "uint(3) + 1u": Uint(4),
    "double('1.5')": 1.5,
    "string(1.5) + string(2) + string(true) + string(b'x')": "1.52truex",
    "string(1000000.0) + ' ' + string(0.00001)": "1e+06 1e-05",
    "bytes('é')": "é".encode(),
    "type(1) == int && type('') == string && type([]) == list && type({}) == map": True,
    "type(timestamp(0)) == google.protobuf.Timestamp": True,
    "type(null) == null_type && type(type(1)) == type": True,
    # time
    "timestamp('2011-08-18T19:03:37.5+01:00')": Timestamp(1313690617500000000),
    "string(timestamp('2011-08-18T19:03:37.50+01:00'))": "2011-08-18T19:03:37.5+01:00",
    "timestamp('2011-08-18T23:00:00Z').getDate('Europe/Berlin')": 19,
    "timestamp('2011-08-18T23:00:00Z').getHours('-08:00')": 15,
    "timestamp('2011-08-18T00:00:00Z').getDayOfWeek()": 4,
    "timestamp('2011-08-18T00:00:00Z') - timestamp('2011-08-17T00:00:00Z')": Duration(86400 * 10**9),
    "duration('1h2m3.5s').getSeconds()": 3723,
    "string(duration('-1.5s'))": "-1.5s",
    "timestamp('2011-08-18T00:00:00Z') + duration('1h') > timestamp('2011-08-18T00:00:00Z')": True,
}  # fmt: skip


@pytest.mark.parametrize("text", VALUES)
def test_an_expression_has_its_value(text: str) -> None:
    value = ENVIRONMENT.compile(text).evaluate(BINDINGS)
    assert value == VALUES[text]
    assert type(value) is type(VALUES[text])


ERRORS = {
    "1 / 0": "division by zero",
    "1 % 0": "modulus by zero",
    "9223372036854775807 + 1": "integer overflow",
    "-(-9223372036854775808)": "integer overflow",
    "1u - 2u": "unsigned integer overflow",
    "int(1e19)": "integer overflow",
    "int('x')": "type conversion error from 'string' to 'int'",
    "string(b'\\xff')": "invalid UTF-8 in bytes, cannot convert to string",
    "m.three": "no such key: three",
    "m['three']": "no such key: three",
    "x.a.b[3]": "index out of bounds: 3",
    "x.a.b['z']": "unsupported index type 'string' in list",
    "x.c.d": "no such key: c",
    "dyn(1) + 'a'": "no such overload",
    "dyn(1) && true": "no such overload",
    "size(dyn(1))": "no such overload: size(int)",
    "optional.none().value()": "optional.none() dereference",
    "timestamp('9999-12-31T23:59:59Z') + duration('1s')": "timestamp overflow",
    "x.a.b.all(n, n / 0 > 1)": "division by zero",
    "dyn(1).all(n, true)": "got 'types.Int', expected iterable type",
    "{'a': 1, 'b': 1}.transformMapEntry(k, v, {v: k})": "insert failed: key 1 already exists",
    "0.0 / 0.0 < 1.0": "NaN values cannot be ordered",
    "s.matches(string(x.a.b[0]) + '(')": "error parsing regexp: missing closing ): `1(`",
}


@pytest.mark.parametrize("text", ERRORS)
def test_an_evaluation_fails_in_upstreams_words(text: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        ENVIRONMENT.compile(text).evaluate(BINDINGS)
    assert str(caught.value) == ERRORS[text]


COMPLAINTS = {
    "1 + 'a'": (2, "found no matching overload for '_+_' applied to '(int, string)'"),
    "nope": (0, "undeclared reference to 'nope' (in container '')"),
    "s.nope()": (6, "undeclared reference to 'nope' (in container '')"),
    "s.size(1)": (6, "found no matching overload for 'size' applied to 'string.(int)'"),
    "i.field": (1, "type 'int' does not support field selection"),
    "i && true": (0, "expected type 'bool' but found 'int'"),
    "i.all(n, true)": (
        0,
        "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
    ),
    "[1].all(i + 1, true)": (10, "argument must be a simple name"),
    "[1].map('a', 1)": (8, "argument is not an identifier"),
    "has(i)": (4, "invalid argument to has() macro"),
    "for": (0, "reserved identifier: for"),
    "9223372036854775808": (0, "invalid int literal"),
    "duration('1x')": (9, "invalid duration argument"),
    "s.matches('(')": (10, "invalid matches argument"),
    "1 +": (
        3,
        "Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', "
        "NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
    ),
    "x.true": (2, "Syntax error: mismatched input 'true' expecting IDENTIFIER"),
    "1 # 2": (2, "Syntax error: token recognition error at: '#'"),
}


@pytest.mark.parametrize("text", COMPLAINTS)
def test_a_wrong_expression_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile(text)
    issue = caught.value.issues[0]
    assert (issue.offset, issue.message) == COMPLAINTS[text]


def test_complaints_are_shown_with_their_line() -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile("true &&\n  nope")
    assert str(caught.value) == (
        "ERROR: <input>:2:3: undeclared reference to 'nope' (in container '')\n |   nope\n | ..^"
    )


def test_a_rule_without_end_is_stopped_by_its_cost() -> None:
    program = ENVIRONMENT.compile("x.all(a, x.all(b, x.all(c, x.all(d, a + b + c + d >= 0))))")
    with pytest.raises(CostLimitExceeded, match="operation cancelled: actual cost limit exceeded"):
        program.evaluate({"x": list(range(1000))}, cost_limit=10_000)


def test_an_exceeded_limit_cannot_be_absorbed() -> None:
    program = ENVIRONMENT.compile("x.all(a, x.all(b, a + b >= 0)) || true")
    with pytest.raises(CostLimitExceeded):
        program.evaluate({"x": list(range(1000))}, cost_limit=100)


@pytest.mark.parametrize(
    "text", ["(" * 300 + "1" + ")" * 300, "[" * 2000, "!" * 5000 + "true", " + ".join(["1"] * 5000)]
)
def test_deep_nesting_is_refused_or_evaluated_but_never_crashes(text: str) -> None:
    with suppress(CompileError, EvaluationError):
        ENVIRONMENT.compile(text).evaluate(BINDINGS)


def test_lazy_variables_are_computed_when_they_are_asked_for() -> None:
    class Variables(Lazy):
        def compute(self, name: str) -> Value:
            if name != "known":
                raise KeyError(name)
            return 5

    assert ENVIRONMENT.compile("x.known + 1").evaluate({"x": Variables()}) == 6
    with pytest.raises(EvaluationError, match="no such key: other"):
        ENVIRONMENT.compile("x.other").evaluate({"x": Variables()})


def test_bindings_are_not_changed() -> None:
    before = {"a": {"b": [1, 2, 3]}, "n": None}
    ENVIRONMENT.compile("x.a.b + [4]").evaluate({"x": before})
    assert before == {"a": {"b": [1, 2, 3]}, "n": None}
