"""CrashLoopBackOff: how long a container that exited waits before it starts again.

The rules are upstream's (``flowcontrol.Backoff`` as the kubelet uses it): the first restart is immediate, the next
waits 10 s after the exit, each following one twice as long up to 300 s; a container that ran for more than twice the
longest delay starts anew.
"""

from __future__ import annotations

from msgspec import Struct


class _Entry(Struct):
    delay_s: float
    updated_at_s: float


class CrashBackoff:
    """The restart delays of one pod's containers. Times are wall-clock seconds, as the runtime reports exits."""

    def __init__(self, *, initial_s: float = 10.0, cap_s: float = 300.0) -> None:
        self._initial_s = initial_s
        self._cap_s = cap_s
        self._entries: dict[str, _Entry] = {}

    def delay_s(self, key: str) -> float:
        """The delay that applies to ``key`` now, 0 without one."""
        entry = self._entries.get(key)
        return entry.delay_s if entry is not None else 0.0

    def ready_at_s(self, key: str, exited_at_s: float) -> float:
        """When ``key``, which exited at ``exited_at_s``, may start again."""
        entry = self._entries.get(key)
        if entry is None or self._expired(entry, exited_at_s):
            return exited_at_s
        return exited_at_s + entry.delay_s

    def restarted(self, key: str, exited_at_s: float, now_s: float) -> None:
        """``key`` is being started again after its exit: the next delay is longer."""
        entry = self._entries.get(key)
        if entry is None or self._expired(entry, exited_at_s):
            self._entries[key] = _Entry(self._initial_s, now_s)
            return
        entry.delay_s = min(entry.delay_s * 2, self._cap_s)
        entry.updated_at_s = now_s

    def forget(self, key: str) -> None:
        self._entries.pop(key, None)

    def _expired(self, entry: _Entry, exited_at_s: float) -> bool:
        return exited_at_s - entry.updated_at_s > 2 * self._cap_s
