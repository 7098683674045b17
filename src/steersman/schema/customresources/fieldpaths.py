"""``fieldPath`` of a rule: the place below the rule's own that its errors are about, as ``.spec.labels['app']``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_DELIMITERS = ".[]"
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}


def normalized(path: str, schema: Schema) -> str:
    """The path as messages show it: ``spec.labels[app]``. Raises ``ValueError`` for one that ``schema`` has not."""
    shown = ""
    place: Schema | None = schema
    tokens = _tokens(path)
    for token in tokens:
        if token == "[":
            name = _quoted(_following(tokens))
        elif token == ".":
            name = _following(tokens)
        else:
            raise ValueError(f"expected [ or . but got: {token}")
        place, step = _below(place, name)
        shown += f".{step}" if shown and not step.startswith("[") else step
        if token == "[":
            closing = _following(tokens)
            if closing != "]":
                raise ValueError(f"expected ] but got {closing}")
    return shown


def _below(place: Schema | None, name: str) -> tuple[Schema | None, str]:
    properties = place.get("properties") if place is not None else None
    if properties:
        if name not in properties:
            raise ValueError("does not refer to a valid field")
        return properties[name], name
    values = place.get("additionalProperties") if place is not None else None
    if values is None or values is False:
        raise ValueError("does not refer to a valid field")
    return values if isinstance(values, Mapping) else None, f"[{name}]"


def _following(tokens: Iterator[str]) -> str:
    found = next(tokens, None)
    if found is None:
        raise ValueError("unexpected end of JSON path")
    return found


def _tokens(path: str) -> Iterator[str]:
    """Delimiters, quoted strings with their quotes, and what is between delimiters."""
    position = 0
    while position < len(path):
        end = _end(path, position)
        yield path[position:end]
        position = end


def _end(path: str, start: int) -> int:
    if path[start] == "'":
        closing = re.compile(r"(?<!\\)'").search(path, start + 1)
        return closing.end() if closing else len(path)
    if path[start] in _DELIMITERS:
        return start + 1
    return min((found for mark in _DELIMITERS if (found := path.find(mark, start)) >= 0), default=len(path))


def _quoted(token: str) -> str:
    if len(token) < 2 or not (token.startswith("'") and token.endswith("'")):
        raise ValueError(f"expected single quoted string but got {token}")

    def unescaped(match: re.Match[str]) -> str:
        found = _ESCAPES.get(match.group()[1])
        if found is None:
            raise ValueError(f"invalid string literal: invalid escape char {match.group()}")
        return found

    return re.sub(r"\\.", unescaped, token[1:-1])
