"""Rows of listings, made once. Everything is listed every second, and but for its state nothing in a row ever changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Message(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def state(self) -> int: ...


M = TypeVar("M", bound=Message)


class Rows(Generic[M, T]):
    """As many as the runtime listed when it last listed everything, and those since."""

    def __init__(self, make: Callable[[M], T]) -> None:
        self._make = make
        self._known: dict[str, tuple[int, T]] = {}

    def of(self, messages: Iterable[M], *, is_everything: bool) -> list[T]:
        """The same objects as the last time where their state is the same. ``is_everything``: what is not among
        ``messages`` is no more."""
        known = self._known
        entries: dict[str, tuple[int, T]] = {}
        for message in messages:
            key, state = message.id, message.state
            entry = known.get(key)
            if entry is None or entry[0] != state:
                entry = (state, self._make(message))
            entries[key] = entry
        if is_everything:
            self._known = entries
        else:
            known.update(entries)
        return [row for _, row in entries.values()]
