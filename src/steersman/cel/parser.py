"""Text into expressions: precedence climbing over the tokens, macros expanded on the way.

Messages follow cel-go's, whose wording is that of ANTLR for text that is no expression at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from steersman.cel.ast import (
    Call,
    Entry,
    Expr,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    ObjectLiteral,
    Select,
    qualified_name,
)
from steersman.cel.errors import CompileError, Issue
from steersman.cel.lexer import Token, bytes_value, string_value, tokens_of
from steersman.cel.macros import Builder, Macro, MacroError
from steersman.cel.values import INT_MAX, INT_MIN, UINT_MAX, Uint, Value

_BINARY_LEVELS: dict[str, tuple[int, str]] = {
    "||": (1, "_||_"),
    "&&": (2, "_&&_"),
    "<": (3, "_<_"),
    "<=": (3, "_<=_"),
    ">": (3, "_>_"),
    ">=": (3, "_>=_"),
    "==": (3, "_==_"),
    "!=": (3, "_!=_"),
    "in": (3, "@in"),
    "+": (4, "_+_"),
    "-": (4, "_-_"),
    "*": (5, "_*_"),
    "/": (5, "_/_"),
    "%": (5, "_%_"),
}
_RESERVED = frozenset(
    {
        "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
        "package", "namespace", "null", "return", "true", "var", "void", "while",
    }
)  # fmt: skip
_STARTERS = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)
MAX_DEPTH = 250
"""How deep expressions may be nested; cel-go's limit."""
MAX_LENGTH = 100_000
"""Code points of a text; cel-go's limit."""


class _Failed(Exception):
    """Nothing more can be learnt from the text."""


def parse(text: str, macros: Iterable[Macro]) -> Expr:
    """The expression of ``text``. Raises ``CompileError``."""
    if len(text) > MAX_LENGTH:
        raise CompileError(
            text,
            [
                Issue(
                    message=f"expression code point size exceeds limit: size: {len(text)}, limit {MAX_LENGTH}",
                    offset=-1,
                )
            ],
        )
    parser = _Parser(text, macros)
    try:
        expr = parser.whole()
    except _Failed:
        raise CompileError(text, parser.issues) from None
    except RecursionError:
        raise CompileError(
            text, [Issue(message=f"expression recursion limit exceeded: {MAX_DEPTH}", offset=-1)]
        ) from None
    if parser.issues:
        raise CompileError(text, parser.issues)
    return expr


class _Parser:
    def __init__(self, text: str, macros: Iterable[Macro]) -> None:
        self.issues: list[Issue] = []
        self._tokens = tokens_of(text, self._syntax_error)
        self._at = 0
        self._ids = 0
        self._depth = 0
        self._macros = {(macro.name, macro.arguments, macro.member): macro for macro in macros}

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def whole(self) -> Expr:
        expr = self._expression()
        token = self._token
        if token.kind != "end":
            verb = "extraneous" if self._tokens[self._at + 1].kind == "end" else "mismatched"
            self._fail(token, f"{verb} input '{token.text}' expecting <EOF>")
        return expr

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _syntax_error(self, offset: int, message: str) -> None:
        self.issues.append(Issue(message=f"Syntax error: {message}", offset=offset))

    def _issue(self, offset: int, message: str) -> None:
        self.issues.append(Issue(message=message, offset=offset))

    def _fail(self, token: Token, message: str) -> _Failed:
        self._syntax_error(token.offset, message)
        raise _Failed

    def _accept(self, symbol: str) -> Token | None:
        token = self._tokens[self._at]
        if token.text == symbol and token.kind in ("symbol", "word"):
            self._at += 1
            return token
        return None

    def _expect(self, symbol: str) -> Token:
        token = self._accept(symbol)
        if token is None:
            found = self._token
            raise self._fail(found, f"mismatched input '{found.text}' expecting '{symbol}'")
        return token

    def _expression(self) -> Expr:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._issue(-1, f"expression recursion limit exceeded: {MAX_DEPTH}")
            raise _Failed
        condition = self._binary(1)
        question = self._accept("?")
        if question is not None:
            node = self.next_id()
            chosen = self._binary(1)
            self._expect(":")
            condition = Call(
                id=node,
                offset=question.offset,
                function="_?_:_",
                arguments=(condition, chosen, self._expression()),
            )
        self._depth -= 1
        return condition

    def _binary(self, level: int) -> Expr:
        left = self._operand()
        while True:
            token = self._token
            found = _BINARY_LEVELS.get(token.text) if token.kind in ("symbol", "word") else None
            if found is None or found[0] < level:
                return left
            self._at += 1
            node = self.next_id()
            right = self._binary(found[0] + 1)
            arguments: tuple[Expr, ...] = (left, right)
            if found[0] <= 2 and isinstance(left, Call) and left.function == found[1]:
                arguments = (*left.arguments, right)
            left = Call(id=node, offset=token.offset, function=found[1], arguments=arguments)

    def _operand(self) -> Expr:
        token = self._token
        if token.kind == "symbol" and token.text in "!-":
            if token.text == "-" and self._tokens[self._at + 1].kind in ("int", "float"):
                return self._member(self._primary())
            count = 0
            while self._accept(token.text):
                count += 1
            node = self.next_id()
            operand = self._member(self._primary())
            if count % 2 == 0:
                return operand
            function = "!_" if token.text == "!" else "-_"
            return Call(id=node, offset=token.offset, function=function, arguments=(operand,))
        return self._member(self._primary())

    def _member(self, target: Expr) -> Expr:
        while True:
            token = self._token
            if token.kind != "symbol":
                return target
            if token.text == ".":
                self._at += 1
                target = self._selection(target, token)
            elif token.text == "[":
                self._at += 1
                optional = self._accept("?") is not None
                node = self.next_id()
                index = self._expression()
                self._expect("]")
                function = "_[?_]" if optional else "_[_]"
                target = Call(id=node, offset=token.offset, function=function, arguments=(target, index))
            else:
                return target

    def _selection(self, target: Expr, dot: Token) -> Expr:
        """What follows a dot: a field, an optional field or a member function."""
        optional = self._accept("?") is not None
        token = self._token
        if token.kind not in ("ident", "escaped"):
            if token.kind == "word":
                raise self._fail(token, f"mismatched input '{token.text}' expecting IDENTIFIER")
            raise self._fail(token, f"no viable alternative at input '.{'' if token.kind == 'end' else token.text}'")
        self._at += 1
        name = token.text.strip("`")
        opening = None if optional or token.kind == "escaped" else self._accept("(")
        if opening is not None:
            node = self.next_id()
            return self._call(node, opening.offset, name, target, self._arguments())
        if optional:
            field = Literal(id=self.next_id(), offset=token.offset, value=name)
            return Call(id=self.next_id(), offset=dot.offset, function="_?._", arguments=(target, field))
        return Select(id=self.next_id(), offset=dot.offset, operand=target, field=name)

    def _arguments(self) -> list[Expr]:
        """Of a call whose ``(`` has been read."""
        arguments: list[Expr] = []
        if self._accept(")"):
            return arguments
        while True:
            arguments.append(self._expression())
            if not self._accept(","):
                self._expect(")")
                return arguments

    def _call(self, node: int, offset: int, name: str, target: Expr | None, arguments: list[Expr]) -> Expr:
        macro = self._macros.get((name, len(arguments), target is not None))
        if macro is not None:
            try:
                expanded = macro.expand(Builder(self, offset), target, arguments)
            except MacroError as error:
                self._issue(error.where.offset, str(error))
                return Literal(id=node, offset=offset, value=None)
            if expanded is not None:
                return expanded
        return Call(id=node, offset=offset, function=name, arguments=tuple(arguments), target=target)

    def _primary(self) -> Expr:
        token = self._token
        self._at += 1
        reader = _LITERALS.get(token.kind)
        if reader is not None:
            return self._literal(token, reader, token.text)
        match token.kind, token.text:
            case "word", "true" | "false" | "null":
                return Literal(id=self.next_id(), offset=token.offset, value=_WORDS[token.text])
            case "symbol", "-" if self._token.kind in ("int", "float"):
                number = self._token
                self._at += 1
                return self._literal(token, _LITERALS[number.kind], f"-{number.text}")
            case "symbol", "(":
                inner = self._expression()
                self._expect(")")
                return inner
            case "symbol", "[":
                return self._list(token)
            case "symbol", "{":
                return self._map(token)
            case "symbol", "." if self._token.kind == "ident":
                self._at += 1
                return self._name(self._tokens[self._at - 1], ".")
            case "ident", _:
                return self._name(token, "")
        self._at -= 1
        following = self._tokens[self._at + 1] if token.kind != "end" else token
        verb = "extraneous" if following.kind not in ("end", "symbol") else "mismatched"
        raise self._fail(token, f"{verb} input '{token.text}' expecting {_STARTERS}")

    def _literal(self, token: Token, reader: Callable[[str], Value], text: str) -> Expr:
        value: Value = None
        try:
            value = reader(text)
        except ValueError as error:
            self._issue(token.offset, str(error))
        return Literal(id=self.next_id(), offset=token.offset, value=value)

    def _name(self, token: Token, dot: str) -> Expr:
        """An identifier, a call of a function, or an object literal that begins with one."""
        if token.text in _RESERVED:
            self._issue(token.offset, f"reserved identifier: {token.text}")
        opening = self._accept("(")
        if opening is not None:
            node = self.next_id()
            return self._call(node, opening.offset, dot + token.text, None, self._arguments())
        expr: Expr = Ident(id=self.next_id(), offset=token.offset, name=dot + token.text)
        ahead = self._at
        while self._tokens[ahead].text == "." and self._tokens[ahead + 1].kind == "ident":
            ahead += 2
        if self._tokens[ahead].text != "{" or self._tokens[ahead].kind != "symbol":
            return expr
        while self._at < ahead:
            self._at += 2
            field = self._tokens[self._at - 1]
            expr = Select(id=self.next_id(), offset=field.offset, operand=expr, field=field.text)
        brace = self._expect("{")
        return self._object(brace, qualified_name(expr) or "")

    def _list(self, opening: Token) -> Expr:
        node = self.next_id()
        elements: list[Expr] = []
        optional: set[int] = set()
        self._lone_comma("]")
        while not self._accept("]"):
            if self._accept("?"):
                optional.add(len(elements))
            elements.append(self._expression())
            self._separator("]")
        return ListLiteral(id=node, offset=opening.offset, elements=tuple(elements), optional=frozenset(optional))

    def _map(self, opening: Token) -> Expr:
        node = self.next_id()
        entries: list[Entry] = []
        self._lone_comma("}")
        while not self._accept("}"):
            optional = self._accept("?") is not None
            key = self._expression()
            entries.append(self._entry(key, optional))
        return MapLiteral(id=node, offset=opening.offset, entries=tuple(entries))

    def _object(self, opening: Token, type_name: str) -> Expr:
        node = self.next_id()
        fields: list[Entry] = []
        self._lone_comma("}")
        while not self._accept("}"):
            optional = self._accept("?") is not None
            token = self._token
            if token.kind not in ("ident", "escaped"):
                raise self._fail(
                    token, f"mismatched input '{token.text}' expecting {{'}}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}}"
                )
            self._at += 1
            fields.append(self._entry(token.text.strip("`"), optional))
        return ObjectLiteral(id=node, offset=opening.offset, type_name=type_name, fields=tuple(fields))

    def _entry(self, key: Expr | str, optional: bool) -> Entry:
        colon = self._expect(":")
        node = self.next_id()
        value = self._expression()
        self._separator("}")
        return Entry(id=node, offset=colon.offset, key=key, value=value, optional=optional)

    def _lone_comma(self, closing: str) -> None:
        """``[,]`` and ``{,}`` are empty, by the grammar."""
        if self._token.text == "," and self._tokens[self._at + 1].text == closing:
            self._at += 1

    def _separator(self, closing: str) -> None:
        """A comma, or the closing bracket which is left for the caller."""
        if not self._accept(",") and self._token.text != closing:
            raise self._fail(self._token, f"mismatched input '{self._token.text}' expecting {{'{closing}', ','}}")


_WORDS: dict[str, Value] = {"true": True, "false": False, "null": None}


def _int(text: str) -> int:
    value = int(text.replace("0x", ""), 16 if "0x" in text else 10)
    if not INT_MIN <= value <= INT_MAX:
        raise ValueError("invalid int literal")
    return value


def _uint(text: str) -> Uint:
    value = int(text[:-1].removeprefix("0x"), 16 if text.startswith("0x") else 10)
    if value > UINT_MAX:
        raise ValueError("invalid uint literal")
    return Uint(value)


def _double(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("invalid double literal")
    return value


_LITERALS: dict[str, Callable[[str], Value]] = {
    "int": _int,
    "uint": _uint,
    "float": _double,
    "string": string_value,
    "bytes": bytes_value,
}
