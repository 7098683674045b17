"""Label and field selectors: parsed once, then asked of many objects.

Sources: "Labels and Selectors" and "Field Selectors" in the Kubernetes documentation; metav1.LabelSelector.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from msgspec import Struct

from steersman.meta.names import label_key_errors, label_value_errors

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]

_TOKEN = re.compile(r"\s*(==|!=|=|<|>|!|\(|\)|,|[^\s,()=!<>]+)\s*")


class SelectorError(ValueError):
    """The selector cannot be parsed; the message says where."""


class Requirement(Struct, frozen=True):
    """One condition on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case _:
                return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        have, bound = _int64(value or ""), _int64(next(iter(self.values)))
        if have is None or bound is None:
            return False
        return have > bound if self.operator == "Gt" else have < bound

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        match self.operator:
            case "In":
                return f"{self.key}={values}" if len(self.values) == 1 else f"{self.key} in ({values})"
            case "NotIn":
                return f"{self.key}!={values}" if len(self.values) == 1 else f"{self.key} notin ({values})"
            case "Exists":
                return self.key
            case "DoesNotExist":
                return f"!{self.key}"
            case "Gt":
                return f"{self.key}>{values}"
            case _:
                return f"{self.key}<{values}"


def _int64(text: str) -> int | None:
    """The number that ``text`` is for everybody, not for Python only (``1_000``)."""
    number = int(text) if re.fullmatch(r"[+-]?\d{1,20}", text, re.ASCII) else None
    return number if number is not None and -(2**63) <= number < 2**63 else None


def checked_requirement(key: str, operator: Operator, values: frozenset[str]) -> Requirement:
    """A requirement that makes sense. Raises ``SelectorError`` with upstream's words where it does not."""
    errors = label_key_errors(key)
    if errors:
        raise SelectorError(f'key: Invalid value: "{key}": {"; ".join(errors)}')
    listed = " ".join(sorted(values))
    if operator in ("In", "NotIn") and not values:
        raise SelectorError("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty")
    if operator in ("Exists", "DoesNotExist") and values:
        raise SelectorError(
            f"values: Invalid value: [{listed}]: values set must be empty for exists and does not exist"
        )
    if operator in ("Gt", "Lt") and any(_int64(value) is None for value in values):
        raise SelectorError(
            f"values[0]: Invalid value: \"{listed}\": for 'Gt', 'Lt' operators, the value must be an integer"
        )
    for position, value in enumerate(sorted(values)):
        errors = label_value_errors(value)
        if errors:
            raise SelectorError(f'values[{position}][{key}]: Invalid value: "{value}": {"; ".join(errors)}')
    return Requirement(key, operator, values)


class LabelSelector(Struct, frozen=True):
    """All requirements must hold. ``EVERYTHING`` has none; ``NOTHING`` matches no object."""

    requirements: tuple[Requirement, ...] = ()
    matches_nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.matches_nothing:
            return False
        have = labels or {}
        return all(requirement.matches(have) for requirement in self.requirements)

    @property
    def is_everything(self) -> bool:
        return not self.requirements and not self.matches_nothing

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(matches_nothing=True)


@lru_cache(maxsize=4096)
def parse_label_selector(text: str) -> LabelSelector:
    """The query form: ``a=b,c!=d,e in (f,g),h,!i,j>3``. Raises ``SelectorError``."""
    tokens = _tokenize(text)
    requirements: list[Requirement] = []
    position = 0
    while position < len(tokens):
        if tokens[position] in _NO_IDENTIFIERS:
            raise SelectorError(f"found '{tokens[position]}', expected: !, identifier, or 'end of string'")
        try:
            requirement, position = _parse_requirement(tokens, position)
        except SelectorError as error:
            raise SelectorError(f"unable to parse requirement: {error}") from error
        requirements.append(requirement)
        if position == len(tokens):
            break
        if tokens[position] != ",":
            raise SelectorError(f"found '{tokens[position]}', expected: ',' or 'end of string'")
        position += 1
        following = _token(tokens, position)
        if not following or following in _NO_IDENTIFIERS:
            raise SelectorError(f"found '{following}', expected: identifier after ','")
    return LabelSelector(tuple(sorted(requirements, key=lambda entry: entry.key)))


def _tokenize(text: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            break
        tokens.append(match.group(1))
        position = match.end()
    return tokens


def _parse_requirement(tokens: Sequence[str], position: int) -> tuple[Requirement, int]:
    if tokens[position] == "!":
        following = _token(tokens, position + 1)
        if not following or following in _NO_VALUES:
            raise SelectorError(f"found '{following}', expected: identifier")
        return checked_requirement(_key(following), "DoesNotExist", frozenset()), position + 2
    key = _key(tokens[position])
    following = _token(tokens, position + 1) or ","
    if following == ",":
        return checked_requirement(key, "Exists", frozenset()), position + 1
    if following in ("in", "notin"):
        values, after = _value_set(tokens, position + 2)
        return checked_requirement(key, "In" if following == "in" else "NotIn", values), after
    operator = _OPERATORS.get(following)
    if operator is None:
        raise SelectorError(f"found '{following}', expected: in, notin, =, ==, !=, gt, lt")
    value = _token(tokens, position + 2)
    if value in ("", ","):
        return checked_requirement(key, operator, frozenset({""})), position + 2
    if value in _NO_VALUES:
        raise SelectorError(f"found '{value}', expected: identifier")
    return checked_requirement(key, operator, frozenset({value})), position + 3


def _key(text: str) -> str:
    """Raises ``SelectorError``; upstream has no path to put before it here."""
    errors = label_key_errors(text)
    if errors:
        raise SelectorError(f'<nil>: Invalid value: "{text}": {"; ".join(errors)}')
    return text


_OPERATORS: Mapping[str, Operator] = {"=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}


def _token(tokens: Sequence[str], position: int) -> str:
    """Empty after the last one."""
    return tokens[position] if position < len(tokens) else ""


def _value_set(tokens: Sequence[str], position: int) -> tuple[frozenset[str], int]:
    """``(a,,b)``: between two commas, and between a comma and a parenthesis, there is the empty value."""
    if _token(tokens, position) != "(":
        raise SelectorError(f"found '{_token(tokens, position)}' expected: '('")
    values: set[str] = set()
    last_was_value = False
    expected = "',', ')' or identifier"
    for index in range(position + 1, len(tokens)):
        token = tokens[index]
        if token == ")":
            return frozenset(values if last_was_value else values | {""}), index + 1
        if token == ",":
            if not last_was_value:
                values.add("")
            last_was_value = False
            expected = "',', or identifier"
        elif last_was_value or token in _SYMBOLS:
            raise SelectorError(f"found '{token}', expected: {expected}")
        else:
            values.add(token)
            last_was_value = True
            expected = "',' or ')'"
    raise SelectorError(f"found '', expected: {expected}")


_SYMBOLS = frozenset({"==", "!=", "=", "<", ">", "!", "("})
_NO_VALUES = _SYMBOLS | {",", ")"}
_NO_IDENTIFIERS = _NO_VALUES - {"!"}


def label_selector_of(selector: Mapping[str, Any] | None) -> LabelSelector:
    """A ``metav1.LabelSelector`` object. None matches nothing, an empty one everything. Raises ``SelectorError``."""
    if selector is None:
        return NOTHING
    requirements = [
        checked_requirement(key, "In", frozenset({value})) for key, value in (selector.get("matchLabels") or {}).items()
    ]
    for expression in selector.get("matchExpressions") or []:
        operator = expression.get("operator")
        if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            raise SelectorError(f'"{operator}" is not a valid label selector operator')
        values = frozenset(expression.get("values") or ())
        requirements.append(checked_requirement(expression.get("key") or "", operator, values))
    return LabelSelector(tuple(sorted(requirements, key=lambda entry: entry.key)))


def label_selector_of_map(match_labels: Mapping[str, str] | None) -> LabelSelector:
    """A plain map of labels, as in ``Service.spec.selector``; an empty one matches everything."""
    return LabelSelector(
        tuple(Requirement(key, "In", frozenset({value})) for key, value in sorted((match_labels or {}).items()))
    )


class FieldSelector(Struct, frozen=True):
    """Conditions ``field=value`` or ``field!=value``; all must hold. Fields are named by their JSON path."""

    terms: tuple[tuple[str, bool, str], ...] = ()
    """(field, whether equality is wanted, value)."""

    @property
    def is_everything(self) -> bool:
        return not self.terms

    def matches(self, field_value: Callable[[str], str]) -> bool:
        """``field_value`` gives the value of a field of the object, an empty string where it is absent."""
        return all((field_value(field) == value) is wanted for field, wanted, value in self.terms)

    def required_value(self, field: str) -> str | None:
        """The value that ``field`` must equal, or None where the selector does not say so."""
        for name, wanted, value in self.terms:
            if name == field and wanted:
                return value
        return None

    def requires(self, field: str, value: str) -> bool:
        """Only objects whose ``field`` equals ``value`` are selected."""
        return (field, True, value) in self.terms

    def __str__(self) -> str:
        return ",".join(f"{field}{'=' if wanted else '!='}{_escape(value)}" for field, wanted, value in self.terms)


EVERY_FIELD = FieldSelector()


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


@lru_cache(maxsize=4096)
def parse_field_selector(text: str) -> FieldSelector:
    r"""``a.b=c,d!=e`` with backslash escapes for ``\``, ``,`` and ``=`` in values. Raises ``SelectorError``."""
    terms: list[tuple[str, bool, str]] = []
    for term in sorted(re.findall(r"(?:\\.|\\$|[^,\\])+", text, re.DOTALL)):
        match = re.match(r"(.*?)(!=|==|=)(.*)", term, re.DOTALL)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
        field, operator, escaped = match.groups()
        value = re.sub(r"\\(?:.|$)|[,=]", _unescaped, escaped, flags=re.DOTALL)
        if field or value:
            terms.append((field, operator != "!=", value))
    return FieldSelector(tuple(terms))


def _unescaped(match: re.Match[str]) -> str:
    found = match.group()
    if found in (",", "="):
        raise SelectorError(f"invalid field selector: unescaped character in value: {ord(found)}")
    if found not in ("\\\\", "\\,", "\\="):
        raise SelectorError(f"invalid field selector: invalid escape sequence: {found}")
    return found[1]
