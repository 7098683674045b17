"""Arguments of plugins (``pluginConfig[].args``), read strictly: what is not known is an error, never ignored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from steersman.meta.durations import parse_duration

API_VERSION = "kubescheduler.config.k8s.io/v1"
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


def percentage(owner: Args, path: str, default: int) -> int:
    """``percentageOfNodesToScore`` of a configuration or a profile; ``default`` where it says nothing."""
    value = owner.get("percentageOfNodesToScore")
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 100:
        raise ArgsError(f"{path}percentageOfNodesToScore: Invalid value: {value}: not in valid range [0-100]")
    return value


def duration_s(text: object, path: str) -> float:
    """A Go duration (``1m30s``, ``500ms``) in seconds. Raises ``ArgsError``."""
    try:
        return parse_duration(str(text))
    except ValueError:
        raise ArgsError(f'{path}: Invalid value: "{text}": not a duration') from None
