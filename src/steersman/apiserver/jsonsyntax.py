"""What is wrong with malformed JSON, in the words of Go's decoder: clients and their users know these messages.

Runs on refused bodies only, and on the first ``LIMIT_BYTES`` of them, so that hostile bodies cost little.
"""

from __future__ import annotations

import re

LIMIT_BYTES = 64 * 1024
END = "unexpected end of JSON input"
_BEGINNING = "looking for beginning of value"
_KEY = "looking for beginning of object key string"

_SPACE = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(r"[0-9]*")
_HEX = re.compile(r"[0-9a-fA-F]{0,4}")
_LITERALS = {"t": "true", "f": "false", "n": "null"}


class _Wrong(Exception):
    """The message."""


def syntax_error(body: bytes) -> str:
    """Why ``body`` is no JSON; empty where its first ``LIMIT_BYTES`` show nothing wrong."""
    text = body[:LIMIT_BYTES].decode("latin-1")
    try:
        _Scanner(text).document()
    except _Wrong as wrong:
        message = str(wrong)
        return "" if message == END and len(body) > LIMIT_BYTES else message
    return ""


def _quoted(character: str) -> str:
    """A byte as Go quotes it."""
    if character == "'":
        return r"'\''"
    if character == '"':
        return "'\"'"
    return f"'{character}'" if character.isprintable() else repr(character)


class _Scanner:
    """Reads one document; ``_Wrong`` where it cannot go on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def document(self) -> None:
        self._value()
        self._skip_space()
        if self._at < len(self._text):
            raise self._wrong("after top-level value")

    def _value(self) -> None:
        """A value with all that is in it; not recursive, because nesting may be deep."""
        open_: list[str] = []
        while True:
            self._skip_space()
            character = self._peek()
            if character in "{[":
                self._at += 1
                open_.append(character)
                if not self._closes(character):
                    if character == "{":
                        self._key()
                    continue
                open_.pop()
            else:
                self._scalar(character)
            while open_ and self._ends(open_[-1]):
                open_.pop()
            if not open_:
                return

    def _closes(self, opening: str) -> bool:
        """An empty object or array is closed at once."""
        self._skip_space()
        if self._peek() != ("}" if opening == "{" else "]"):
            return False
        self._at += 1
        return True

    def _ends(self, opening: str) -> bool:
        """After a member: the end of what ``opening`` began, or a comma and what has to follow it."""
        self._skip_space()
        character = self._peek()
        if character == ("}" if opening == "{" else "]"):
            self._at += 1
            return True
        if character != ",":
            raise self._wrong("after object key:value pair" if opening == "{" else "after array element")
        self._at += 1
        if opening == "{":
            self._skip_space()
            self._key()
        return False

    def _key(self) -> None:
        if self._peek() != '"':
            raise self._wrong(_KEY)
        self._string()
        self._skip_space()
        if self._peek() != ":":
            raise self._wrong("after object key")
        self._at += 1

    def _scalar(self, character: str) -> None:
        if character == '"':
            self._string()
        elif character == "-" or character in "0123456789":
            self._number()
        elif character in _LITERALS:
            self._literal(_LITERALS[character])
        else:
            raise self._wrong(_BEGINNING)

    def _string(self) -> None:
        self._at += 1
        while True:
            self._skip(_PLAIN)
            character = self._peek()
            if character == "\\":
                self._escape()
            elif character == '"':
                self._at += 1
                return
            else:
                raise self._wrong("in string literal")

    def _escape(self) -> None:
        self._at += 1
        character = self._peek()
        if character == "u":
            self._at += 1
            if self._skip(_HEX) < 4:
                self._peek()
                raise self._wrong(r"in \u hexadecimal character escape")
        elif character in '"\\/bfnrt':
            self._at += 1
        else:
            raise self._wrong("in string escape code")

    def _number(self) -> None:
        if self._peek() == "-":
            self._at += 1
            self._need_digit("in numeric literal")
        if self._peek() == "0":
            self._at += 1
        else:
            self._skip(_DIGITS)
        if self._next_is("."):
            self._at += 1
            self._need_digit("after decimal point in numeric literal")
            self._skip(_DIGITS)
        if self._next_is("e", "E"):
            self._at += 1
            if self._next_is("+", "-"):
                self._at += 1
            self._need_digit("in exponent of numeric literal")
            self._skip(_DIGITS)

    def _need_digit(self, where: str) -> None:
        if self._peek() not in "0123456789":
            raise self._wrong(where)

    def _literal(self, word: str) -> None:
        for expected in word:
            if self._peek() != expected:
                raise self._wrong(f"in literal {word} (expecting {_quoted(expected)})")
            self._at += 1

    def _next_is(self, *characters: str) -> bool:
        return self._at < len(self._text) and self._text[self._at] in characters

    def _peek(self) -> str:
        """The next character. Raises ``_Wrong`` at the end."""
        if self._at >= len(self._text):
            raise _Wrong(END)
        return self._text[self._at]

    def _skip_space(self) -> None:
        self._skip(_SPACE)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        """How much of ``pattern`` follows; it is read."""
        found = pattern.match(self._text, self._at)
        start, self._at = self._at, found.end() if found else self._at
        return self._at - start

    def _wrong(self, where: str) -> _Wrong:
        return _Wrong(f"invalid character {_quoted(self._text[self._at])} {where}")
