"""JSONPath as client-go understands it: what printer columns, selectable fields and scale paths are written in.

Fields, quoted fields, indexes, slices, unions, wildcards, recursive descent and filters; absent keys give no result.
Source: "JSONPath Support" of the kubectl documentation, whose expressions stand in braces; here the braces are left out.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from steersman.schema.customresources.values import go_number

Find = Callable[[Sequence[Any]], list[Any]]
"""Values -> what one step of a path finds in them, in order."""


class JSONPathError(ValueError):
    """The expression is malformed, or something has a shape that it cannot be applied to."""


class JSONPath(Struct, frozen=True):
    """A parsed expression."""

    text: str
    steps: tuple[Find, ...]

    def find(self, obj: Any) -> list[Any]:
        """All values at the path. Raises ``JSONPathError`` where an index is out of bounds or a value has no parts."""
        values: list[Any] = [obj]
        for step in self.steps:
            values = step(values)
        return values


def parse(text: str) -> JSONPath:
    """Raises ``JSONPathError``."""
    return JSONPath(text, tuple(_Parser(text).path()))


def text_of(value: Any) -> str:
    """A found value as client-go prints it."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return go_number(value)
        case None:
            return ""
        case _:
            return msgspec.json.encode(value, order="sorted").decode()


_NAME = re.compile(r"(?:\\.|[^\s.\[\]{}()'\",|=<>!@$\\])+")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_QUOTED = re.compile(r"'((?:\\.|[^'\\])*)'|\"((?:\\.|[^\"\\])*)\"")
_SLICE = re.compile(r"(-?[0-9]*)(?::(-?[0-9]*))?(?::(-?[0-9]*))?")
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_OPERATOR = re.compile("==|!=|<=|>=|<|>")


class _Parser:
    """Recursive descent over the expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def path(self) -> Iterator[Find]:
        """All the steps."""
        if self._peek() == "$":
            self._at += 1
        while self._at < len(self._text):
            yield self._step()

    def _step(self) -> Find:
        if self._text.startswith("..", self._at):
            self._at += 2
            if self._peek() == "*":
                self._at += 1
                return _descendants
            name = self._name()
            return lambda values: _descend(values, name)
        if self._peek() == ".":
            self._at += 1
            if self._peek() == "[":
                return self._brackets()
            if self._peek() == "*":
                self._at += 1
                return _wildcard
            if self._at == len(self._text):
                return list
            return _field(self._name())
        if self._peek() == "[":
            return self._brackets()
        raise self._error(f"unrecognized character in action: {self._peek()!r}")

    def _brackets(self) -> Find:
        self._expect("[")
        if self._peek() == "?":
            self._at += 1
            return self._filter()
        finds = [self._selection()]
        while self._peek() == ",":
            self._at += 1
            finds.append(self._selection())
        self._expect("]")
        if len(finds) == 1:
            return finds[0]
        return lambda values: [found for value in values for find in finds for found in find([value])]

    def _selection(self) -> Find:
        self._skip_space()
        quoted = _QUOTED.match(self._text, self._at)
        if quoted is not None:
            self._at = quoted.end()
            self._skip_space()
            return _field(_unescaped(quoted.group(1) if quoted.group(1) is not None else quoted.group(2)))
        if self._peek() == "*":
            self._at += 1
            self._skip_space()
            return _wildcard
        found = _SLICE.match(self._text, self._at)
        if found is None or not found.group(0):
            raise self._error("invalid array index")
        self._at = found.end()
        self._skip_space()
        start, stop, step = (int(part) if part else None for part in found.groups())
        if ":" not in found.group(0):
            return _index(start or 0)
        return _slice(start, stop, step)

    def _filter(self) -> Find:
        self._expect("(")
        left = self._operand()
        self._skip_space()
        found = _OPERATOR.match(self._text, self._at)
        if found is None:
            self._close_filter()
            return _select(lambda item: bool(left(item)))
        self._at = found.end()
        right = self._operand()
        self._close_filter()
        compare = _OPERATORS[found.group(0)]

        def is_selected(item: Any) -> bool:
            lefts, rights = left(item), right(item)
            if len(lefts) > 1 or len(rights) > 1:
                raise JSONPathError("can only compare one element at a time")
            if not lefts or not rights:
                return False
            try:
                return compare(lefts[0], rights[0])
            except TypeError as error:
                raise JSONPathError("incompatible types for comparison") from error

        return _select(is_selected)

    def _close_filter(self) -> None:
        self._skip_space()
        self._expect(")")
        self._expect("]")

    def _operand(self) -> Callable[[Any], list[Any]]:
        """A literal, or a path below the item (``@``)."""
        self._skip_space()
        quoted = _QUOTED.match(self._text, self._at)
        if quoted is not None:
            self._at = quoted.end()
            literal = _unescaped(quoted.group(1) if quoted.group(1) is not None else quoted.group(2))
            return lambda item: [literal]
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            self._at = number.end()
            value = float(number.group(0)) if "." in number.group(0) else int(number.group(0))
            return lambda item: [value]
        for word, boolean in (("true", True), ("false", False)):
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return lambda item, boolean=boolean: [boolean]  # type: ignore[misc]
        if self._peek() == "@":
            self._at += 1
        elif self._peek() not in (".", "["):
            raise self._error("invalid filter")
        steps: list[Find] = []
        while self._peek() in (".", "["):
            steps.append(self._step())
        return JSONPath("", tuple(steps)).find

    def _name(self) -> str:
        found = _NAME.match(self._text, self._at)
        if found is None:
            raise self._error("a field's name is missing")
        self._at = found.end()
        return _unescaped(found.group(0))

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise self._error(f"{character!r} is missing")
        self._at += 1

    def _skip_space(self) -> None:
        while self._peek().isspace():
            self._at += 1

    def _error(self, why: str) -> JSONPathError:
        return JSONPathError(f"{self._text}: {why} at {self._at}")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _field(name: str) -> Find:
    def find(values: Sequence[Any]) -> list[Any]:
        return [value[name] for value in values if isinstance(value, dict) and name in value]

    return find


def _wildcard(values: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        found.extend(_children(value))
    return found


def _children(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _index(index: int) -> Find:
    def find(values: Sequence[Any]) -> list[Any]:
        found = []
        for value in values:
            if not isinstance(value, list):
                if value is None:
                    continue
                raise JSONPathError(f"{text_of(value)} is not array or slice")
            position = index + len(value) if index < 0 else index
            if value and not 0 <= position < len(value):
                raise JSONPathError(f"array index out of bounds: index {index}, length {len(value)}")
            if value:
                found.append(value[position])
        return found

    return find


def _slice(start: int | None, stop: int | None, step: int | None) -> Find:
    if step is not None and step <= 0:
        raise JSONPathError("step must be > 0")

    def find(values: Sequence[Any]) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if not isinstance(value, list):
                raise JSONPathError(f"{text_of(value)} is not array or slice")
            found.extend(value[start:stop:step])
        return found

    return find


def _select(is_selected: Callable[[Any], bool]) -> Find:
    def find(values: Sequence[Any]) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if value is None:
                continue
            if not isinstance(value, list):
                raise JSONPathError(f"{text_of(value)} is not array or slice and cannot be filtered")
            found.extend(item for item in value if is_selected(item))
        return found

    return find


def _descendants(values: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        children = _children(value)
        found.extend(children)
        found.extend(_descendants(children))
    return found


def _descend(values: Sequence[Any], name: str) -> list[Any]:
    found = _field(name)(values)
    for value in values:
        found.extend(_descend(_children(value), name))
    return found
