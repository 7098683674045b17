"""Arguments of plugins (``pluginConfig[].args``), read strictly: what is not known is an error, never ignored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

Args = Mapping[str, Any]


class ArgsError(ValueError):
    """An argument is unknown, malformed or not supported. The message starts with its path."""


def reject_unknown(args: Args, known: Collection[str], path: str = "") -> None:
    """Raises ``ArgsError`` for the first field that is not ``known``."""
    for name in args:
        if name not in known:
            raise ArgsError(f'{path}{"." if path else ""}{name}: unknown field "{name}"')


def integer(args: Args, name: str, default: int, *, least: int, most: int) -> int:
    """An integer argument in a range. Raises ``ArgsError``."""
    value = args.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ArgsError(f"{name}: Invalid value: {value!r}: not in valid range [{least}-{most}]")
    return value


def boolean(args: Args, name: str, default: bool = False) -> bool:
    """Raises ``ArgsError``."""
    value = args.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ArgsError(f"{name}: Invalid value: {value!r}: must be a boolean")
    return value
