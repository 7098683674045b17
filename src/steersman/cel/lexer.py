"""Text of an expression into tokens, by the lexical grammar of CEL's language definition."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

TokenKind = Literal["end", "ident", "escaped", "int", "uint", "float", "string", "bytes", "symbol", "word"]

_ESCAPE = r"\\(?:[abfnrtv\"'\\?`]|[0-3][0-7][0-7]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"
_STRING = "|".join(
    (
        r'[rR]"""(?s:.*?)"""',
        r"[rR]'''(?s:.*?)'''",
        r'[rR]"[^"\n\r]*"',
        r"[rR]'[^'\n\r]*'",
        rf'"""(?:{_ESCAPE}|[^\\])*?"""',
        rf"'''(?:{_ESCAPE}|[^\\])*?'''",
        rf'"(?:{_ESCAPE}|[^\\"\n\r])*"',
        rf"'(?:{_ESCAPE}|[^\\'\n\r])*'",
    )
)
_TOKEN = re.compile(
    rf"""(?P<space>[\t\ \r\n\f]+|//[^\n]*)
    |(?P<bytes>[bB](?:{_STRING}))
    |(?P<string>{_STRING})
    |(?P<float>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
    |(?P<uint>(?:0x[0-9a-fA-F]+|[0-9]+)[uU])
    |(?P<int>0x[0-9a-fA-F]+|[0-9]+)
    |(?P<ident>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<escaped>`[A-Za-z0-9_./\ -]+`)
    |(?P<symbol>==|!=|<=|>=|&&|\|\||[-\[\]{{}}().,!?:+*/%<>])""".replace("#", r"\#"),
    re.VERBOSE | re.ASCII,
)
_WORDS = frozenset({"in", "true", "false", "null"})


class Token(Struct, frozen=True):
    kind: TokenKind
    text: str
    offset: int


def tokens_of(text: str, report: Callable[[int, str], None]) -> list[Token]:
    """The tokens, the last one of kind ``end``. What is no token is reported (offset, message) and skipped."""
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            end = position + (2 if text[position] in "|&=" and position + 1 < len(text) else 1)
            report(position, f"token recognition error at: '{_visible(text[position:end])}'")
            position = end
            continue
        kind: str = match.lastgroup or "space"
        if kind != "space":
            found = match.group()
            if kind == "ident" and found in _WORDS:
                kind = "word"
            tokens.append(Token(kind, found, position))  # type: ignore[arg-type]
        position = match.end()
    tokens.append(Token("end", "<EOF>", len(text)))
    return tokens


def _visible(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "`": "`",
    "?": "?",
}
_ESCAPED = re.compile(r"\\(?:([0-3][0-7]{2})|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)


def string_value(text: str) -> str:
    """What a string token stands for. Raises ``ValueError`` for code points that do not exist."""
    raw, body = _body(text)
    if raw or "\\" not in body:
        return body

    def character(match: re.Match[str]) -> str:
        octal, byte, short, long, simple = match.groups()
        if simple is not None:
            return _SIMPLE[simple]
        code = int(octal, 8) if octal else int(byte or short or long, 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise ValueError("invalid unicode code point")
        return chr(code)

    return _ESCAPED.sub(character, body)


def bytes_value(text: str) -> bytes:
    """What a bytes token stands for: octal and hexadecimal escapes are bytes, everything else is UTF-8."""
    raw, body = _body(text[1:])
    if raw or "\\" not in body:
        return body.encode()
    result = bytearray()
    position = 0
    for match in _ESCAPED.finditer(body):
        result += body[position : match.start()].encode()
        octal, byte, short, long, simple = match.groups()
        if short or long:
            raise ValueError("unable to unescape string")
        result += _SIMPLE[simple].encode() if simple is not None else bytes([int(octal, 8) if octal else int(byte, 16)])
        position = match.end()
    result += body[position:].encode()
    return bytes(result)


def _body(text: str) -> tuple[bool, str]:
    """(whether no escapes count, what is between the quotes)."""
    raw = text[0] in "rR"
    quoted = text[1:] if raw else text
    width = 3 if quoted[:3] in ('"""', "'''") and len(quoted) >= 6 else 1
    return raw, quoted[width:-width].replace("\r\n", "\n").replace("\r", "\n")
