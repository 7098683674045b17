"""Our engine against cel-cpp: generated expressions have the same value, the same type, or fail in both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from cel_expr_python import cel
from hypothesis import given, settings
from hypothesis import strategies as st

from steersman.cel import CompileError, Environment, EvaluationError, types
from steersman.cel.macros import STANDARD
from steersman.cel.parser import parse
from steersman.cel.values import Duration, Uint, Value, from_map_key

VARIABLES = {
    "i": (types.INT, cel.Type.INT, 7),
    "j": (types.INT, cel.Type.INT, -3),
    "s": (types.STRING, cel.Type.STRING, "héllo wörld"),
    "t": (types.BOOL, cel.Type.BOOL, True),
    "d": (types.DOUBLE, cel.Type.DOUBLE, 2.5),
    "l": (types.list_of(types.INT), cel.Type.List(cel.Type.INT), [3, 1, 2]),
    "m": (types.map_of(types.STRING, types.INT), cel.Type.Map(cel.Type.STRING, cel.Type.INT), {"a": 1, "b": 2}),
}
OURS = Environment(variables={name: found[0] for name, found in VARIABLES.items()})
ORACLE = cel.NewEnv(variables={name: found[1] for name, found in VARIABLES.items()})
BINDINGS: dict[str, Value] = {name: found[2] for name, found in VARIABLES.items()}

_BIG = ("9223372036854775807", "-9223372036854775808", "4611686018427387904")


Texts: TypeAlias = st.SearchStrategy[str]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def _binary(operand: Texts, *operators: str) -> Texts:
    return st.builds(lambda left, op, right: f"({left} {op} {right})", operand, st.sampled_from(operators), operand)


def _call(template: str, *operands: Texts) -> Texts:
    return st.builds(template.format, *operands)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """Expressions by type, nested to a certain depth."""

    ints: Texts
    uints: Texts
    doubles: Texts
    strings: Texts
    bools: Texts
    predicates: Texts
    """On the variable ``v``, an int."""
    lists: Texts
    maps: Texts
    durations: Texts

    def deeper(self) -> Grammar:
        """Everything that can be made of these."""
        ints, uints, doubles, strings = self.ints, self.uints, self.doubles, self.strings
        bools, lists, maps = self.bools, self.lists, self.maps
        return Grammar(
            ints=st.one_of(
                ints,
                _binary(ints, "+", "-", "*", "/", "%"),
                _call("-({})", ints),
                _call("size({})", st.one_of(strings, lists)),
                _call("int({})", st.one_of(uints, doubles)),
                _call("{}[{}]", lists, ints),
                _call("{}[{}]", maps, strings),
                _call("({} ? {} : {})", bools, ints, ints),
            ),
            uints=st.one_of(uints, _binary(uints, "+", "-", "*", "/", "%"), _call("uint({})", ints)),
            doubles=st.one_of(doubles, _binary(doubles, "+", "-", "*"), _call("double({})", ints)),
            strings=st.one_of(
                strings,
                _binary(strings, "+"),
                _call("string({})", st.one_of(ints, uints, bools)),
                _call("({} ? {} : {})", bools, strings, strings),
            ),
            bools=st.one_of(
                bools,
                _binary(bools, "&&", "||", "==", "!="),
                _call("!({})", bools),
                _binary(ints, "<", "<=", ">", ">=", "==", "!="),
                _binary(uints, "<", "==", ">="),
                _binary(doubles, "<", "==", ">="),
                _binary(strings, "<", "<=", ">", ">=", "==", "!="),
                _binary(lists, "==", "!="),
                _binary(maps, "==", "!="),
                _binary(_call("dyn({})", st.one_of(ints, uints, doubles, strings, bools, lists)), "==", "!="),
                _binary(_call("dyn({})", st.one_of(ints, uints, doubles)), "<", ">="),
                _call("({} in {})", ints, lists),
                _call("({} in {})", strings, maps),
                _call("{}.{}({})", strings, st.sampled_from(("contains", "startsWith", "endsWith")), strings),
                _call("{}.{}(v, {})", lists, st.sampled_from(("all", "exists", "exists_one")), self.predicates),
            ),
            predicates=st.one_of(
                self.predicates,
                _call("v {} {}", st.sampled_from(("<", "==", ">")), ints),
                _call("{} / v > 0", ints),
                _call("v in {}", lists),
                _binary(self.predicates, "&&", "||"),
            ),
            lists=st.one_of(
                lists,
                _call("[{}]", ints),
                _call("[{}, {}]", ints, ints),
                _binary(lists, "+"),
                _call("{}.map(v, v {} {})", lists, st.sampled_from("+-*/"), ints),
                _call("{}.filter(v, {})", lists, self.predicates),
            ),
            maps=st.one_of(maps, _call("{{'a': {}, 'x': 5}}", ints)),
            durations=st.one_of(self.durations, _binary(self.durations, "+", "-")),
        )


LEAVES = Grammar(
    ints=st.one_of(st.integers(-20, 20).map(str), st.sampled_from(("i", "j", "m.a", "m.c", *_BIG))),
    uints=st.one_of(st.integers(0, 20).map("{}u".format), st.just("18446744073709551615u")),
    doubles=st.sampled_from(("d", "0.0", "-1.5", "3.25", "1e300", "0.1")),
    strings=st.one_of(st.text("ab'é\\\n", max_size=4).map(_quoted), st.just("s")),
    bools=st.sampled_from(("true", "false", "t", "has(m.a)", "has(m.c)")),
    predicates=st.sampled_from(("v > 1", "v == 2", "v % 2 == 0")),
    lists=st.just("l"),
    maps=st.just("m"),
    durations=st.builds("duration('{}{}')".format, st.integers(-90, 90), st.sampled_from("hms")),
)
GRAMMAR = LEAVES.deeper().deeper().deeper()


def _plain(value: Value) -> Any:
    """Our value as the oracle shows its own."""
    match value:
        case Uint():
            return ("uint", int(value))
        case Duration():
            return timedelta(microseconds=value.ns / 1000)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {from_map_key(key): _plain(item) for key, item in value.items()}
        case float() if value != value:
            return "NaN"
    return value


def _oracle(text: str) -> tuple[str, Any]:
    try:
        result = ORACLE.compile(text).eval(data=BINDINGS)
    except RuntimeError as error:
        return "refused", str(error)
    kind = result.type().name()
    if kind == "*error*" or result.type() == cel.Type.ERROR:
        return "failed", result.plain_value()
    plain = result.plain_value()
    if result.type() == cel.Type.UINT:
        return "value", ("uint", plain)
    if isinstance(plain, float) and plain != plain:
        return "value", "NaN"
    return "value", plain


def _ours(text: str) -> tuple[str, Any]:
    try:
        return "value", _plain(OURS.compile(text).evaluate(BINDINGS, cost_limit=10**9))
    except CompileError as error:
        return "refused", str(error)
    except EvaluationError as error:
        return "failed", str(error)


def _same(text: str) -> None:
    outcome, expected = _oracle(text)
    found, value = _ours(text)
    assert found == outcome, (text, expected, value)
    if outcome == "value":
        assert value == expected, text
        assert isinstance(value, bool) == isinstance(expected, bool), text


@settings(max_examples=400, deadline=None)
@given(st.one_of(GRAMMAR.bools, GRAMMAR.ints, GRAMMAR.strings, GRAMMAR.lists))
def test_generated_expressions_mean_what_they_mean_in_cel_cpp(text: str) -> None:
    _same(text)


@settings(max_examples=150, deadline=None)
@given(st.one_of(GRAMMAR.uints, GRAMMAR.doubles, GRAMMAR.maps, GRAMMAR.durations))
def test_generated_values_of_rarer_types_too(text: str) -> None:
    _same(text)


@settings(max_examples=300, deadline=None)
@given(st.text("ab1.()[]{}'\"+-*/<>=!&|?:, \\\n", max_size=20))
def test_text_that_is_no_expression_is_refused_by_both(text: str) -> None:
    """Raw strings are left out: ``r'\\'`` is one by the grammar and in cel-go, but not in cel-cpp."""
    assert _is_expression(lambda: ORACLE.compile(text, disable_check=True)) == _is_expression(
        lambda: parse(text, STANDARD)
    )


def _is_expression(read: Callable[[], object]) -> bool:
    try:
        read()
    except (RuntimeError, CompileError):
        return False
    return True
