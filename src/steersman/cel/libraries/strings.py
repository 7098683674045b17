"""The strings extension, version 2 of cel-go's: ``charAt``, ``indexOf``, ``replace``, ``split``, ``format``, ``join``, …"""

from __future__ import annotations

from steersman.cel import types
from steersman.cel.costs import AGGREGATE, JOIN, QUOTE, REPLACE, SPLIT, TRAVERSAL, Estimate, Rule, scale, traversal
from steersman.cel.declarations import Library, function, member, overload
from steersman.cel.effort import CHARACTERS_PER_STEP, METER
from steersman.cel.errors import EvaluationError
from steersman.cel.libraries.formatting import format_string
from steersman.cel.types import DYN, INT, STRING
from steersman.cel.values import Value, shown, size_of

_STRINGS = types.list_of(STRING)
_SAME_SIZE = traversal(keeps_size=True)
_FORMAT = Rule(
    lambda operands, _: scale(size_of(operands[0]), TRAVERSAL),
    lambda operands: Estimate(operands.size(0).scaled(TRAVERSAL)),
)
_TO_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_TO_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
_QUOTED = str.maketrans(
    {
        "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\",
        '"': '\\"',
    }
)  # fmt: skip


def _out_of_range(index: int) -> EvaluationError:
    return EvaluationError(f"index out of range: {index}")


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise _out_of_range(index)
    return text[index : index + 1]


def _index_of(text: str, part: str, offset: int = 0) -> int:
    if not part:
        return offset
    if offset < 0:
        raise _out_of_range(offset)
    return -1 if offset >= len(text) else text.find(part, offset)


def _last_index_of(text: str, part: str, offset: int | None = None) -> int:
    if not part:
        return len(text) if offset is None else offset
    if offset is None:
        return text.rfind(part)
    if offset < 0:
        raise _out_of_range(offset)
    return -1 if offset >= len(text) else text.rfind(part, 0, offset + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    times = text.count(old) if count < 0 else min(text.count(old), count)
    METER.spend((len(text) + times * len(new)) // CHARACTERS_PER_STEP)
    return text.replace(old, new, max(count, -1))


def _split(text: str, separator: str, count: int = -1) -> list[str]:
    if count == 0:
        return []
    if not separator:
        parts = list(text)
        return parts if count < 0 or len(parts) <= count else [*parts[: count - 1], "".join(parts[count - 1 :])]
    return text.split(separator, count - 1 if count > 0 else -1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is None:
        end = len(text)
        if not 0 <= start <= end:
            raise _out_of_range(start)
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    for index in (start, end):
        if not 0 <= index <= len(text):
            raise _out_of_range(index)
    return text[start:end]


def _join(parts: list[Value], separator: str = "") -> str:
    for part in parts:
        if not isinstance(part, str):
            raise EvaluationError(f"join: invalid input: {shown(part)}")
    METER.spend((sum(map(len, parts)) + len(parts) * len(separator)) // CHARACTERS_PER_STEP)
    return separator.join(parts)


def _quote(text: str) -> str:
    return f'"{text.translate(_QUOTED)}"'


LIBRARY = Library(
    name="strings",
    functions=(
        function("charAt", member("string_char_at_int", STRING, INT, to=STRING, do=_char_at)),
        function(
            "indexOf",
            member("string_index_of_string", STRING, STRING, to=INT, do=_index_of, cost=AGGREGATE),
            member("string_index_of_string_int", STRING, STRING, INT, to=INT, do=_index_of, cost=AGGREGATE),
        ),
        function(
            "lastIndexOf",
            member("string_last_index_of_string", STRING, STRING, to=INT, do=_last_index_of, cost=AGGREGATE),
            member("string_last_index_of_string_int", STRING, STRING, INT, to=INT, do=_last_index_of, cost=AGGREGATE),
        ),
        function(
            "lowerAscii",
            member("string_lower_ascii", STRING, to=STRING, do=lambda text: text.translate(_TO_LOWER), cost=_SAME_SIZE),
        ),
        function(
            "upperAscii",
            member("string_upper_ascii", STRING, to=STRING, do=lambda text: text.translate(_TO_UPPER), cost=_SAME_SIZE),
        ),
        function("trim", member("string_trim", STRING, to=STRING, do=lambda text: text.strip(_SPACE), cost=_SAME_SIZE)),
        function(
            "replace",
            member("string_replace_string_string", STRING, STRING, STRING, to=STRING, do=_replace, cost=REPLACE),
            member(
                "string_replace_string_string_int", STRING, STRING, STRING, INT, to=STRING, do=_replace, cost=REPLACE
            ),
        ),
        function(
            "split",
            member("string_split_string", STRING, STRING, to=_STRINGS, do=_split, cost=SPLIT),
            member("string_split_string_int", STRING, STRING, INT, to=_STRINGS, do=_split, cost=SPLIT),
        ),
        function(
            "substring",
            member("string_substring_int", STRING, INT, to=STRING, do=_substring, cost=_SAME_SIZE),
            member("string_substring_int_int", STRING, INT, INT, to=STRING, do=_substring, cost=_SAME_SIZE),
        ),
        function(
            "join",
            member("list_join", _STRINGS, to=STRING, do=_join, cost=JOIN),
            member("list_join_string", _STRINGS, STRING, to=STRING, do=_join, cost=JOIN),
        ),
        function("strings.quote", overload("strings_quote", STRING, to=STRING, do=_quote, cost=QUOTE)),
        function(
            "format",
            member("string_format", STRING, types.list_of(DYN), to=STRING, do=format_string, cost=_FORMAT),
        ),
    ),
)
