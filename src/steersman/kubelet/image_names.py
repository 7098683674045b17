"""Image references (``registry/repository:tag@digest``), by the grammar of the distribution project."""

from __future__ import annotations

import re
from typing import Final

DEFAULT_REGISTRY: Final = "docker.io"
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])"
_REFERENCE = re.compile(
    rf"((?:{_HOST}(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*)(:[\w][\w.-]{{0,127}})?"
    r"(@[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)


def with_default_tag(image: str) -> str | None:
    """``image`` with ``:latest`` where it has neither tag nor digest; None when it is no image reference."""
    match = _REFERENCE.fullmatch(image)
    if match is None:
        return None
    return image if match.group(2) or match.group(3) else f"{image}:latest"


def without_tag(image: str) -> str:
    """As it is written but for its tag and digest. Raises ``ValueError`` for what is no image reference."""
    match = _REFERENCE.fullmatch(image)
    if match is None:
        raise ValueError("invalid reference format")
    return match.group(1)


def repository_of(image: str) -> str:
    """``registry/repository``, with the default registry and its ``library`` where ``image`` names none. Raises
    ``ValueError``."""
    name = without_tag(image)
    first, slash, rest = name.partition("/")
    if slash and (set(".:") & set(first) or first == "localhost" or first != first.lower()):
        registry, path = first, rest
    else:
        registry, path = DEFAULT_REGISTRY, name
    if registry == "index.docker.io":
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = f"library/{path}"
    return f"{registry}/{path}"
