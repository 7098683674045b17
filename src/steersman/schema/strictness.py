"""What strict validation says of a JSON body: unknown fields, and duplicate keys, which the fast decoder does not see.

The order of texts is upstream's: unknown and duplicate fields as they stand in the document.
"""

from __future__ import annotations

import json
from typing import Any

MAX_STRICT_ERRORS = 100
"""Unknown and duplicate fields that are reported of one object (as upstream bounds them)."""


class _Pairs(list[tuple[str, Any]]):
    """An object as its pairs in order; only made for documents that have a duplicate key."""


class _Found(Exception):
    pass


def unknown_field(path: str) -> str:
    """Quoted, because a client chose the name and it travels in a header."""
    return f"unknown field {json.dumps(path, ensure_ascii=False)}"


def has_duplicates(body: bytes) -> bool:
    """Some object of a JSON text (which is known to be valid) has a key twice."""

    def check(pairs: list[tuple[str, Any]]) -> None:
        if len(pairs) > 1 and len(dict(pairs)) != len(pairs):
            raise _Found

    try:
        json.loads(body, object_pairs_hook=check)
    except _Found:
        return True
    return False


def strict_errors(body: bytes, unknown: list[str]) -> list[str]:
    """What strict validation says of a JSON text: unknown fields (``unknown``: their paths) and duplicates, in order."""
    if not has_duplicates(body):
        return [unknown_field(path) for path in dict.fromkeys(unknown)][:MAX_STRICT_ERRORS]
    errors: dict[str, None] = {}
    _walk(json.loads(body, object_pairs_hook=_Pairs), "", frozenset(unknown), errors)
    return list(errors)[:MAX_STRICT_ERRORS]


def _walk(value: Any, path: str, unknown: frozenset[str], errors: dict[str, None]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, child in value:
            below = f"{path}.{key}" if path else key
            if below in unknown:
                errors[unknown_field(below)] = None
                continue
            if key in seen:
                errors[f"duplicate field {json.dumps(below, ensure_ascii=False)}"] = None
            seen.add(key)
            _walk(child, below, unknown, errors)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _walk(child, f"{path}[{index}]", unknown, errors)
