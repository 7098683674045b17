"""``$(NAME)`` references in commands, arguments, environment values and subPathExpr."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:\$|\(([^()]*)\)|)")


def expand(text: str, *variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by the first of ``variables`` that has NAME; ``$$`` is a dollar sign. Unknown names stay as
    they are written."""

    def replace(match: re.Match[str]) -> str:
        whole = match.group(0)
        if whole == "$$":
            return "$"
        name = match.group(1)
        if name is None:
            return whole
        for mapping in variables:
            if name in mapping:
                return mapping[name]
        return whole

    return _REFERENCE.sub(replace, text) if "$" in text else text


def expand_strictly(text: str, variables: Mapping[str, str]) -> str:
    """As ``expand``, but an unknown name raises ``ValueError``: a path must not keep a literal reference."""
    for match in _REFERENCE.finditer(text):
        name = match.group(1)
        if name is not None and name not in variables:
            raise ValueError(f'missing value for "{name}"')
    return expand(text, variables)
