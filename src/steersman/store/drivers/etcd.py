"""The store for more than one machine: a real etcd, 3.4 or later.

All reads are linearizable. Leases, history and compaction are etcd's own; nothing is kept here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from steersman.store.api import (
    CompactedError,
    Compare,
    Delete,
    FutureRevisionError,
    KeyValue,
    LeaseNotFound,
    Operation,
    RangeResult,
    Store,
    StoreEvent,
    StoreUnavailable,
    TransactionResult,
    WatchBatch,
)
from steersman.store.drivers import etcd_connection as rpc
from steersman.store.drivers.etcd_connection import EtcdConfig, EtcdConnection, OutOfRange
from steersman.store.drivers.etcdv3 import etcd_pb2 as pb
from steersman.store.drivers.transaction import check
from steersman.store.sorted_map import prefix_end

_FIRST_KEY = b"\0"
_NO_END = b"\0"
"""As ``range_end``: every key from the first one on."""


class EtcdStore:
    """The key space of one etcd cluster. A transaction has at most as many operations as etcd allows (128 by default)."""

    def __init__(self, config: EtcdConfig) -> None:
        self._connection = EtcdConnection(config)

    async def start(self) -> None:
        self._connection.open()
        try:
            await self.revision()
        except BaseException:
            await self._connection.close()
            raise

    async def close(self) -> None:
        await self._connection.close()

    async def revision(self) -> int:
        request = pb.RangeRequest(key=_FIRST_KEY, keys_only=True)
        answer = await self._connection.read(rpc.RANGE, request)
        return answer.header.revision

    async def size_bytes(self) -> int:
        answer = await self._connection.read(rpc.STATUS, pb.StatusRequest())
        return answer.dbSize

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        answer = await self._range(pb.RangeRequest(key=_bytes(key), revision=revision), revision)
        return _key_value(answer.kvs[0]) if answer.kvs else None

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> RangeResult:
        request = pb.RangeRequest(
            key=_bytes(max(prefix, start)) or _FIRST_KEY, range_end=_end(prefix), limit=limit, revision=revision
        )
        answer = await self._range(request, revision)
        items = [_key_value(item) for item in answer.kvs]
        return RangeResult(items=items, revision=revision or answer.header.revision, count=answer.count)

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> TransactionResult:
        check(operations)
        request = pb.TxnRequest(
            compare=[_compare(compare) for compare in compares],
            success=[_operation(operation) for operation in operations],
            failure=[pb.RequestOp(request_range=pb.RangeRequest(key=_bytes(compare.key))) for compare in compares],
        )
        answer = await self._connection.call(rpc.TXN, request)
        if answer.succeeded:
            return TransactionResult(succeeded=True, revision=answer.header.revision)
        found = [response.response_range.kvs for response in answer.responses]
        current = [_key_value(items[0]) if items else None for items in found]
        return TransactionResult(succeeded=False, revision=answer.header.revision, current=current)

    async def watch(self, prefix: str, *, start_revision: int) -> AsyncGenerator[WatchBatch, None]:
        if start_revision < 1:
            raise ValueError("a watch starts at revision 1 or later")
        request = pb.WatchCreateRequest(
            key=_bytes(prefix) or _FIRST_KEY,
            range_end=_end(prefix),
            start_revision=start_revision,
            progress_notify=True,
            prev_kv=True,
            fragment=True,
        )
        reached = start_revision - 1
        events: list[StoreEvent] = []
        async with aclosing(self._connection.stream(rpc.WATCH, pb.WatchRequest(create_request=request))) as answers:
            async for answer in answers:
                if answer.canceled:
                    raise _end_of_watch(answer)
                events += (_event(event) for event in answer.events)
                if answer.fragment:
                    continue
                # with events, the header says how far etcd is, not how far this watch is
                revision = events[-1].revision if events else 0 if answer.created else answer.header.revision
                if revision > reached:
                    reached = revision
                    yield WatchBatch(revision=revision, events=events)
                    events = []

    async def compact(self, revision: int) -> None:
        try:
            await self._connection.call(rpc.COMPACT, pb.CompactionRequest(revision=revision))
        except OutOfRange as error:
            raise await self._out_of_range(error, revision) from error

    async def grant_lease(self, ttl_s: int) -> int:
        answer = await self._connection.call(rpc.LEASE_GRANT, pb.LeaseGrantRequest(TTL=ttl_s))
        if answer.error:
            raise StoreUnavailable(f"etcd grants no lease: {answer.error}")
        return answer.ID

    async def renew_lease(self, lease: int) -> None:
        request = pb.LeaseKeepAliveRequest(ID=lease)
        async with aclosing(self._connection.stream(rpc.LEASE_KEEP_ALIVE, request)) as answers:
            try:
                answer = await asyncio.wait_for(anext(answers), rpc.CALL_TIMEOUT_S)
            except TimeoutError:
                raise StoreUnavailable("etcd does not answer the renewal of a lease") from None
            if answer.TTL <= 0:
                raise LeaseNotFound(lease)

    async def revoke_lease(self, lease: int) -> None:
        await self._connection.call(rpc.LEASE_REVOKE, pb.LeaseRevokeRequest(ID=lease))

    async def _range(self, request: pb.RangeRequest, revision: int) -> pb.RangeResponse:
        try:
            return await self._connection.read(rpc.RANGE, request)
        except OutOfRange as error:
            raise await self._out_of_range(error, revision) from error

    async def _out_of_range(self, error: OutOfRange, revision: int) -> Exception:
        return (
            FutureRevisionError(revision) if "future" in str(error) else CompactedError(await self._horizon(revision))
        )

    async def _horizon(self, revision: int) -> int:
        """The compaction horizon, which only a watch is told; what is known from ``revision`` where it is not."""
        try:
            async with asyncio.timeout(rpc.CALL_TIMEOUT_S), aclosing(self.watch("\0", start_revision=1)) as watch:
                async for _ in watch:
                    pass
        except CompactedError as error:
            return error.compacted
        except (StoreUnavailable, TimeoutError):
            pass
        return revision


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _text(key: bytes) -> str:
    """Keys that others wrote may be any bytes."""
    return key.decode("utf-8", "surrogateescape")


def _end(prefix: str) -> bytes:
    end = prefix_end(prefix)
    return _NO_END if end is None else _bytes(end)


def _key_value(item: pb.KeyValue) -> KeyValue:
    return KeyValue(
        key=_text(item.key),
        value=item.value,
        create_revision=item.create_revision,
        mod_revision=item.mod_revision,
        version=item.version,
        lease=item.lease,
    )


def _event(event: pb.Event) -> StoreEvent:
    previous = _key_value(event.prev_kv) if event.HasField("prev_kv") else None
    if event.type == pb.Event.DELETE:
        return StoreEvent(
            type="delete",
            key=_text(event.kv.key),
            revision=event.kv.mod_revision,
            create_revision=previous.create_revision if previous else 0,
            previous=previous,
        )
    return StoreEvent(
        type="put",
        key=_text(event.kv.key),
        revision=event.kv.mod_revision,
        value=event.kv.value,
        create_revision=event.kv.create_revision,
        previous=previous,
    )


def _compare(compare: Compare) -> pb.Compare:
    return pb.Compare(
        result=pb.Compare.EQUAL, target=pb.Compare.MOD, key=_bytes(compare.key), mod_revision=compare.mod_revision
    )


def _operation(operation: Operation) -> pb.RequestOp:
    if isinstance(operation, Delete):
        return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=_bytes(operation.key)))
    put = pb.PutRequest(key=_bytes(operation.key), value=operation.value, lease=operation.lease)
    return pb.RequestOp(request_put=put)


def _end_of_watch(answer: pb.WatchResponse) -> Exception:
    if answer.compact_revision:
        return CompactedError(answer.compact_revision)
    return StoreUnavailable(f"etcd cancelled the watch: {answer.cancel_reason or 'no reason given'}")


def _conforms(store: EtcdStore) -> Store:
    return store
