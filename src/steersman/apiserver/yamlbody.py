"""YAML bodies as JSON values, by the rules of upstream's YAML to JSON conversion: JSON's types, no timestamps, bounded."""

from __future__ import annotations

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
    """JSON's scalar types only; remembers keys that occur twice."""

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


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def load(body: bytes) -> tuple[Any, list[Duplicate]]:
    """The document and the keys that occur twice in one of its mappings. Raises ``YAMLError``."""
    loader = None
    try:
        loader = _Loader(body)
        value = loader.get_single_data()
        duplicates = loader.duplicates
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        text = str(error) or type(error).__name__
        raise YAMLError(f"error converting YAML to JSON: yaml: {' '.join(text.split())}") from error
    finally:
        if loader is not None:
            loader.dispose()
    budget = [MAX_NODES]
    return _as_json(value, budget, 0), duplicates


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
        raise YAMLError("error converting YAML to JSON: yaml: document contains excessive aliasing")
    if depth > MAX_DEPTH:
        raise YAMLError("error converting YAML to JSON: yaml: exceeded max depth")
    if isinstance(value, dict):
        return {_key(key): _as_json(child, budget, depth + 1) for key, child in value.items()}
    if isinstance(value, list):
        return [_as_json(child, budget, depth + 1) for child in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and value == value and value not in (float("inf"), float("-inf")):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    raise YAMLError(f"error converting YAML to JSON: json: unsupported value: {value}")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float):
        return str(key)
    raise YAMLError(f"error converting YAML to JSON: unsupported map key {key!r}")
