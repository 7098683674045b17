"""The Store protocol: keys and byte values under one monotonically rising revision, as etcd has them.

Drivers (``drivers/``) implement it; ``steersman.testing.store_suite`` is the conformance suite that each must pass.

Rules every driver keeps:

- A successful transaction that changes something raises the revision by exactly one, for all its operations together;
  one that changes nothing keeps it. Revisions start at 1 for an empty store (the first write gets 2) and are never reused,
  also across restarts.
- A write is acknowledged only once it is durable, as far as the driver is durable at all.
- A watcher sees an event only after its commit, in order of revision, each exactly once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct


class KeyValue(Struct, frozen=True, kw_only=True):
    """One version of one key."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    """How often the key was written since it was created; 1 for a new key."""
    lease: int = 0


class Compare(Struct, frozen=True, kw_only=True):
    """Holds when the key's last change was at ``mod_revision``; 0 means the key does not exist."""

    key: str
    mod_revision: int


class Put(Struct, frozen=True, kw_only=True):
    key: str
    value: bytes
    lease: int = 0


class Delete(Struct, frozen=True, kw_only=True):
    key: str


Operation = Put | Delete


class TransactionResult(Struct, frozen=True, kw_only=True):
    """``revision`` is the store's after the transaction (that of the write where it succeeded and changed something).

    Where a compare failed, ``current`` has the present state of each compared key (None where it does not exist), so
    that the caller need not read again.
    """

    succeeded: bool
    revision: int
    current: Sequence[KeyValue | None] = ()


class RangeResult(Struct, frozen=True, kw_only=True):
    """Keys in ascending order of their UTF-8 bytes. ``revision`` is the one that was read."""

    items: Sequence[KeyValue]
    revision: int
    count: int
    """How many keys the range holds without the limit."""


class StoreEvent(Struct, frozen=True, kw_only=True):
    """One change of one key."""

    type: Literal["put", "delete"]
    key: str
    revision: int
    value: bytes = b""
    create_revision: int = 0
    previous: KeyValue | None = None
    """The version before the change; None for a creation, or where compaction has removed it."""


class WatchBatch(Struct, frozen=True, kw_only=True):
    """All changes in the watched range up to and including ``revision`` since the last batch; progress when empty."""

    revision: int
    events: Sequence[StoreEvent] = ()


class CompactedError(Exception):
    """The revision asked for is below the compaction horizon ``compacted``."""

    def __init__(self, compacted: int) -> None:
        super().__init__(f"required revision has been compacted (up to {compacted})")
        self.compacted = compacted


class FutureRevisionError(Exception):
    """The revision asked for has not been reached."""


class StoreUnavailable(Exception):
    """The store cannot be reached or cannot write now; whether a write under way took effect is not known."""


class LeaseNotFound(Exception):
    """The lease has expired or was never granted."""


class Store(Protocol):
    """One key space. All methods may be called concurrently on one event loop."""

    async def start(self) -> None:
        """Open the store; nothing else is called before. Raises ``StoreUnavailable``."""

    async def close(self) -> None:
        """Release what ``start`` took, after finishing writes that were accepted."""

    async def revision(self) -> int:
        """The current revision: at least that of every write acknowledged to anyone before the call."""

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        """``key`` now, or as of ``revision``. Raises ``CompactedError`` and ``FutureRevisionError``."""

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> RangeResult:
        """Keys that begin with ``prefix`` and are not below ``start``, at most ``limit`` (0: all), now or as of ``revision``.

        Raises ``CompactedError`` and ``FutureRevisionError``.
        """

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> TransactionResult:
        """Apply ``operations`` at one revision if every compare holds, else nothing.

        Deleting a key that does not exist changes nothing. No key may occur in two operations (``ValueError``).
        Raises ``StoreUnavailable`` and ``LeaseNotFound``.
        """

    def watch(self, prefix: str, *, start_revision: int) -> AsyncGenerator[WatchBatch, None]:
        """Changes of keys that begin with ``prefix`` at revisions from ``start_revision`` on, for ever.

        History first, then changes as they are committed, with an empty batch now and then as progress. The iterator
        raises ``CompactedError`` where history is missing, ``StoreUnavailable`` when the store goes away. Close it with
        ``aclose``.
        """

    async def compact(self, revision: int) -> None:
        """Forget versions that are superseded at ``revision``; reads and watches below it fail from now on.

        Raises ``CompactedError`` where that has been done and ``FutureRevisionError``.
        """

    async def grant_lease(self, ttl_s: int) -> int:
        """A new lease; keys put with it are deleted ``ttl_s`` after its last renewal."""

    async def renew_lease(self, lease: int) -> None:
        """Raises ``LeaseNotFound``."""

    async def revoke_lease(self, lease: int) -> None:
        """End the lease now and delete its keys. Raises ``LeaseNotFound``."""


@runtime_checkable
class SizedStore(Protocol):
    """A store that knows how much it keeps."""

    async def size_bytes(self) -> int:
        """What its database takes of its disk, or of memory where there is none. Raises ``StoreUnavailable``."""


@runtime_checkable
class EmbeddedStore(Store, Protocol):
    """A store whose only writer lives in this process and event loop: every commit can be seen as it happens."""

    def observe(self, observer: Callable[[WatchBatch], None]) -> Callable[[], None]:
        """Call ``observer`` with each commit, in order, before its writer is acknowledged; the result ends that.

        It is called on the event loop and must be quick and not raise. The events' values are the very bytes objects that
        the operations had.
        """
