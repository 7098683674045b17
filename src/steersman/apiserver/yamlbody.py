"""YAML bodies as JSON values, by the rules of upstream's YAML to JSON conversion: JSON's types, no timestamps, bounded."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

MAX_DEPTH = 150
MAX_NODES = 400_000
"""Values in one document, aliases counted each time they are used: what keeps "billion laughs" small."""


class YAMLError(Exception):
    """Not YAML, or YAML that is no JSON: the message says where."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A key that its mapping has twice, where it comes again."""

    key: str
    line: int

    @property
    def text(self) -> str:
        return f'line {self.line}: key "{self.key}" already set in map'


def strict_error(duplicates: Sequence[Duplicate]) -> str:
    """As strict decoding reports them."""
    return "\n".join(["yaml: unmarshal errors:", *(f"  {duplicate.text}" for duplicate in duplicates)])


class _Loader(yaml.CSafeLoader):
    """Scalars as go-yaml reads them, without timestamps; remembers keys that occur twice."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.duplicates: list[Duplicate] = []

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = getattr(key_node, "value", None)
            if isinstance(key, str):
                if key in seen:
                    self.duplicates.append(Duplicate(key, key_node.start_mark.line + 1))
                seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> Any:
        """Go's integer literals: a leading 0 is octal; what has no such digits or is too big is a float."""
        text = node.value.replace("_", "")
        digits = text.lstrip("+-")
        try:
            value = int(digits, 8 if digits.isdigit() and digits.startswith("0") and digits != "0" else 0)
        except ValueError:
            return float(text)
        if value >= 1 << 64:
            return float(text)
        return -value if text.startswith("-") else value


_SHOWN_WHOLE = 1e21
"""Whole numbers below are written without a fraction on the way through JSON."""
_OURS = ("timestamp", "int", "float", "value")
_INT = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|[0-9][0-9_]*)$")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in _OURS]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def load(body: bytes) -> tuple[Any, list[Duplicate]]:
    """The first document and the keys that occur twice in one of its mappings. Raises ``YAMLError``."""
    loader = None
    try:
        loader = _Loader(body)
        value = loader.get_data() if loader.check_data() else None  # type: ignore[no-untyped-call]
        duplicates = loader.duplicates
    except yaml.MarkedYAMLError as error:
        raise YAMLError(_as_go(error)) from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        text = str(error) or type(error).__name__
        raise YAMLError(f"yaml: {' '.join(text.split())}") from error
    finally:
        if loader is not None:
            loader.dispose()
    budget = [MAX_NODES]
    return _as_json(value, budget, 0), duplicates


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
        width=10**9,
    )
    return text


class _Dumper(yaml.CSafeDumper):
    """No anchors: objects that share values are written out."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _as_json(value: Any, budget: list[int], depth: int) -> Any:
    budget[0] -= 1
    if budget[0] < 0:
        raise YAMLError("yaml: document contains excessive aliasing")
    if depth > MAX_DEPTH:
        raise YAMLError("yaml: exceeded max depth")
    if isinstance(value, dict):
        return {_key(key): _as_json(child, budget, depth + 1) for key, child in value.items()}
    if isinstance(value, list):
        return [_as_json(child, budget, depth + 1) for child in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and value == value and value not in (float("inf"), float("-inf")):
        return int(value) if value.is_integer() and abs(value) < _SHOWN_WHOLE else value
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    raise YAMLError(f"json: unsupported value: {value}")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float):
        return str(key)
    raise YAMLError(f"unsupported map key {key!r}")
