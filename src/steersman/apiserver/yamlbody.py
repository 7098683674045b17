"""YAML bodies as JSON values, by the rules of upstream's YAML to JSON conversion, and back.

Documents are built from libyaml's events with a stack of our own: nothing recurses, so that no document, however deep, can
exhaust the interpreter's stack, and reading stops where a bound is passed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml
from msgspec import Struct
from yaml._yaml import CParser

from steersman.apiserver.yamlscalars import ScalarError, resolve
from steersman.meta.quoting import quoted

MAX_DEPTH = 150
MAX_NODES = 200_000
"""Values in one document, aliases counted each time they are used: what keeps "billion laughs" small."""
_MERGE = "<<"


class YAMLError(Exception):
    """Not YAML, or YAML that is no JSON: the message says where."""


class Duplicate(Struct, frozen=True):
    """A key that its mapping has twice, where it comes again."""

    key: str
    line: int

    @property
    def text(self) -> str:
        return f"line {self.line}: key {quoted(self.key)} already set in map"


def strict_error(duplicates: Sequence[Duplicate]) -> str:
    """As strict decoding reports them."""
    return "\n".join(["yaml: unmarshal errors:", *(f"  {duplicate.text}" for duplicate in duplicates)])


def load(body: bytes) -> tuple[Any, list[Duplicate]]:
    """The first document and the keys that occur twice in one of its mappings. Raises ``YAMLError``."""
    parser: Any = None
    builder = _Builder()
    try:
        parser = CParser(body)
        return builder.first_document(parser), builder.duplicates
    except yaml.MarkedYAMLError as error:
        raise YAMLError(_as_go(error)) from error
    except ScalarError as error:
        text = str(error)
        raise YAMLError(text if text.startswith("json: ") else f"yaml: {text}") from error
    except yaml.YAMLError as error:
        raise YAMLError(f"yaml: {' '.join(str(error).split())}") from error
    finally:
        if parser is not None:
            parser.dispose()


class _Node(Struct):
    """A value with the number of values in it."""

    value: Any
    size: int = 1


_UNFINISHED = _Node(None)


class _Collection:
    """A sequence or mapping whose end has not come."""

    __slots__ = ("anchor", "has_key", "key", "key_line", "merged", "size", "value")

    def __init__(self, value: dict[str, Any] | list[Any], anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.size = 1
        self.has_key = False
        self.key = ""
        self.key_line = 0
        self.merged: list[dict[str, Any]] = []


class _Builder:
    """Makes values of events."""

    def __init__(self) -> None:
        self.duplicates: list[Duplicate] = []
        self._anchors: dict[str, _Node] = {}
        self._open: list[_Collection] = []
        self._size = 0

    def first_document(self, parser: Any) -> Any:
        """None where there is none. Raises ``YAMLError`` and what the parser raises."""
        while True:
            event = parser.get_event()
            node: _Node
            match event:
                case yaml.ScalarEvent():
                    node = self._scalar(event)
                case yaml.AliasEvent():
                    node = self._alias(event)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._begin(event)
                    continue
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    node = self._end()
                case yaml.StreamEndEvent():
                    return None
                case _:
                    continue
            if not self._open:
                return node.value
            self._put(node, event)

    def _scalar(self, event: Any) -> _Node:
        owner = self._open[-1] if self._open else None
        is_plain = bool(event.implicit[0])
        is_key = owner is not None and isinstance(owner.value, dict) and not owner.has_key
        if is_key and is_plain and event.value == _MERGE:
            value: Any = _MERGE_KEY
        else:
            value = resolve(event.value, event.tag, is_plain=is_plain)
        self._count(1)
        node = _Node(value)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any) -> _Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise YAMLError(f"yaml: unknown anchor '{event.anchor}' referenced")
        if node is _UNFINISHED:
            raise YAMLError(f"yaml: anchor '{event.anchor}' value contains itself")
        self._count(node.size)
        return node

    def _begin(self, event: Any) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise YAMLError("yaml: exceeded max depth")
        self._count(1)
        if event.anchor is not None:
            self._anchors[event.anchor] = _UNFINISHED
        self._open.append(_Collection({} if isinstance(event, yaml.MappingStartEvent) else [], event.anchor))

    def _end(self) -> _Node:
        collection = self._open.pop()
        value = collection.value
        if isinstance(value, dict):
            for merged in collection.merged:
                for key, child in merged.items():
                    value.setdefault(key, child)
        node = _Node(value, collection.size)
        if collection.anchor is not None:
            self._anchors[collection.anchor] = node
        return node

    def _put(self, node: _Node, event: Any) -> None:
        """Into the innermost open collection: an element, a key, or the value of the key before."""
        owner = self._open[-1]
        owner.size += node.size
        if isinstance(owner.value, list):
            owner.value.append(node.value)
        elif not owner.has_key:
            owner.key = _key(node.value)
            owner.key_line = event.start_mark.line + 1
            owner.has_key = True
        else:
            owner.has_key = False
            if owner.key is _MERGE_KEY:
                owner.merged += _merged(node.value)
                return
            if owner.key in owner.value:
                self.duplicates.append(Duplicate(owner.key, owner.key_line))
            owner.value[owner.key] = node.value

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > MAX_NODES:
            raise YAMLError("yaml: document contains excessive aliasing" if size > 1 else "yaml: document is too large")


class _MergeKey(str):
    """``<<``, plain, in a key's place."""

    __slots__ = ()


_MERGE_KEY = _MergeKey(_MERGE)


def _merged(value: Any) -> list[dict[str, Any]]:
    """The mappings that a merge key names, the first of which wins. Raises ``YAMLError``."""
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(entry, dict) for entry in found):
        raise YAMLError("yaml: map merge requires map or sequence of maps as the value")
    return found


def _key(key: Any) -> str:
    """As the name of a JSON member. Raises ``YAMLError``."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float):
        return str(key)
    kind = "nil" if key is None else "map[interface {}]interface {}" if isinstance(key, dict) else "[]interface {}"
    raise YAMLError(f"unsupported map key of type: {kind}")


def _as_go(error: yaml.MarkedYAMLError) -> str:
    """libyaml's words, which go-yaml has too, with the line as it counts it."""
    line = 0
    for mark in (error.context_mark, error.problem_mark):
        line = line or (mark.line if mark is not None else 0)
    if line and isinstance(error, yaml.scanner.ScannerError):
        line += 1
    place = f"line {line}: " if line else ""
    return f"yaml: {place}{' '.join(str(error.problem or error.context).split())}"


def dump(value: Any) -> bytes:
    """``value`` as a YAML document."""
    text: bytes = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=False,
        sort_keys=True,
        allow_unicode=True,
        encoding="utf-8",
    )
    return text


class _Dumper(yaml.CSafeDumper):
    """No anchors: objects that share values are written out."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _scalar(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """As go-yaml writes text: in double quotes where it would be read as something else, as it is where it has lines."""
    if "\n" in text:
        return dumper.represent_scalar(_STRING, text, style="|")
    return dumper.represent_scalar(_STRING, text, style='"' if _is_ambiguous(text) else None)


def _is_ambiguous(text: str) -> bool:
    if len(text) <= _LONGEST_TIMESTAMP and _TIMESTAMP.match(text):
        return True
    try:
        return resolve(text, None, is_plain=True) != text or bool(_SEXAGESIMAL.fullmatch(text))
    except ScalarError:
        return True


_STRING = "tag:yaml.org,2002:str"
_TIMESTAMP = re.compile(r"\d{4}-\d{1,2}-\d{1,2}(?:$|[Tt ]\d)", re.ASCII)
_LONGEST_TIMESTAMP = 40
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", re.ASCII)
_Dumper.add_representer(str, _scalar)
