"""Calls to the members of an etcd cluster: mutual TLS, one member at a time, the next one when it cannot be reached."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from google.protobuf.message import Message
from msgspec import Struct

from steersman.aio.rpc import grpc
from steersman.store.api import LeaseNotFound, StoreUnavailable
from steersman.store.drivers.etcdv3 import etcd_pb2 as pb

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 10.0
CLOSE_GRACE_S = 5.0
KEEPALIVE_S, KEEPALIVE_TIMEOUT_S = 30, 10
"""After how long a silent connection is probed and given up: kube-apiserver's values."""
_NO_LIMIT = -1
_OPTIONS = (
    ("grpc.max_receive_message_length", _NO_LIMIT),
    ("grpc.max_send_message_length", _NO_LIMIT),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 3000),  # which is how long a connection may take to come about
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", KEEPALIVE_S * 1000),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_S * 1000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
_REQUIRE_LEADER = (("hasleader", "true"),)
"""A watch on a member that is cut off from the cluster fails instead of going silent."""

A = TypeVar("A", bound=Message)


class EtcdConfig(Struct, frozen=True, kw_only=True):
    """Which cluster, and who we are there. kube-apiserver's ``--etcd-servers``, ``--etcd-cafile`` and so on."""

    endpoints: tuple[str, ...]
    """``https://host:port`` or ``http://host:port``, one or more members."""
    ca_file: Path | None = None
    """None: the certificate authorities that the gRPC library trusts."""
    cert_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ValueError("etcd needs at least one endpoint")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("a client certificate for etcd needs both its certificate and its key")
        for endpoint in self.endpoints:
            parts = urlsplit(endpoint)
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/"):
                raise ValueError(f'etcd endpoint {endpoint!r} is not supported: use "https://host:port"')


class Method(Struct, Generic[A], frozen=True):
    path: str
    answer: type[A]


RANGE = Method("/etcdserverpb.KV/Range", pb.RangeResponse)
TXN = Method("/etcdserverpb.KV/Txn", pb.TxnResponse)
COMPACT = Method("/etcdserverpb.KV/Compact", pb.CompactionResponse)
LEASE_GRANT = Method("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantResponse)
LEASE_REVOKE = Method("/etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeResponse)
LEASE_KEEP_ALIVE = Method("/etcdserverpb.Lease/LeaseKeepAlive", pb.LeaseKeepAliveResponse)
STATUS = Method("/etcdserverpb.Maintenance/Status", pb.StatusResponse)
WATCH = Method("/etcdserverpb.Watch/Watch", pb.WatchResponse)


class OutOfRange(Exception):
    """etcd says that a revision is compacted or in the future; its words tell which."""


class EtcdConnection:
    """One channel per member. Raises ``StoreUnavailable`` where no answer is known, ``ValueError`` where etcd refuses.

    Certificates that have changed on disk are used from the next call on, over channels of their own; streams stay on the
    channels that they began on, which are closed with the last of them.
    """

    def __init__(self, config: EtcdConfig) -> None:
        self._config = config
        self._channels: list[grpc.aio.Channel] = []
        self._current = 0
        self._streams: dict[Any, grpc.aio.Channel] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._files: tuple[tuple[int, int], ...] = ()
        self._refused: tuple[tuple[int, int], ...] = ()
        self._calls: dict[tuple[int, str], Any] = {}

    def open(self) -> None:
        """Raises ``StoreUnavailable`` where a certificate cannot be read."""
        try:
            self._files = self._state()
            self._channels = self._opened()
        except OSError as error:
            raise StoreUnavailable(f"cannot read etcd's certificates: {error}") from error

    def _opened(self) -> list[grpc.aio.Channel]:
        credentials = self._credentials()
        channels: list[grpc.aio.Channel] = []
        for endpoint in self._config.endpoints:
            parts = urlsplit(endpoint)
            if parts.scheme == "https":
                channels.append(grpc.aio.secure_channel(parts.netloc, credentials, options=_OPTIONS))
            else:
                channels.append(grpc.aio.insecure_channel(parts.netloc, options=_OPTIONS))
        return channels

    def _renew(self) -> None:
        """Use what the files say now. Files that are missing or half written are looked at again with the next call."""
        files: tuple[tuple[int, int], ...] = ()
        try:
            files = self._state()
            if files in (self._files, self._refused):
                return
            if self._config.cert_file is not None:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(self._config.cert_file, self._config.key_file)
            opened = self._opened()
        except OSError as error:
            log.warning("etcd's certificates have changed and cannot be used: %s", error)
            self._refused = files
            return
        log.info("etcd's certificates have changed")
        retired, self._channels, self._files = self._channels, opened, files
        self._calls.clear()
        for channel in retired:
            self._close_unless_used(channel)

    def _close_unless_used(self, channel: grpc.aio.Channel) -> None:
        if channel in self._channels or channel in self._streams.values():
            return
        closing = asyncio.ensure_future(channel.close(CLOSE_GRACE_S))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _state(self) -> tuple[tuple[int, int], ...]:
        """Another value whenever a file may have changed. Raises ``OSError``."""
        config = self._config
        found = [os.stat(file) for file in (config.ca_file, config.cert_file, config.key_file) if file is not None]
        return tuple((entry.st_ino, entry.st_mtime_ns) for entry in found)

    async def close(self) -> None:
        """End streams, let calls under way finish."""
        channels, self._channels = self._channels, []
        self._calls.clear()
        retired = {channel for channel in self._streams.values() if channel not in channels}
        for stream in tuple(self._streams):
            stream.cancel()
        await asyncio.gather(*(channel.close(CLOSE_GRACE_S) for channel in (*channels, *retired)), *self._closing)

    async def call(self, method: Method[A], request: Message) -> A:
        """One answer. A failure is not repeated, for a write may have taken effect; the next call goes to the next member."""
        member = self._member()
        call = self._calls.get((member, method.path))
        if call is None:
            call = self._calls[member, method.path] = self._channels[member].unary_unary(
                method.path,
                request_serializer=type(request).SerializeToString,
                response_deserializer=method.answer.FromString,
            )
        try:
            answer: A = await call(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise self._translated(error, member) from error
        except asyncio.CancelledError:
            self._raise_if_closed()
            raise
        return answer

    async def read(self, method: Method[A], request: Message) -> A:
        """``call`` for what changes nothing: asks every member before it fails."""
        for _ in self._channels[1:]:
            try:
                return await self.call(method, request)
            except StoreUnavailable:
                continue
        return await self.call(method, request)

    async def stream(self, method: Method[A], request: Message) -> AsyncGenerator[A, None]:
        """The answers to one request on a stream of its own, until closed. Raises ``StoreUnavailable`` when it ends."""
        member = self._member()
        channel = self._channels[member]
        open_stream = channel.stream_stream(
            method.path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=method.answer.FromString,
        )
        stream: Any = open_stream(metadata=_REQUIRE_LEADER)
        self._streams[stream] = channel
        try:
            await stream.write(request)
            while (answer := await stream.read()) is not grpc.aio.EOF:
                yield answer
            raise StoreUnavailable("etcd ended the stream")
        except grpc.aio.AioRpcError as error:
            raise self._translated(error, member) from error
        except asyncio.CancelledError:
            self._raise_if_closed()
            raise
        finally:
            self._streams.pop(stream, None)
            stream.cancel()
            if self._channels:
                self._close_unless_used(channel)

    def _member(self) -> int:
        if not self._channels:
            raise StoreUnavailable("the store is not open")
        if self._files:
            self._renew()
        return self._current

    def _raise_if_closed(self) -> None:
        """A closed channel cancels its calls, which looks as if the caller's task were cancelled."""
        task = asyncio.current_task()
        if not self._channels and task is not None and not task.cancelling():
            raise StoreUnavailable("the store is closed") from None

    def _translated(self, error: grpc.aio.AioRpcError, member: int) -> Exception:
        code, details = error.code(), error.details() or error.code().name
        if code == grpc.StatusCode.OUT_OF_RANGE:
            return OutOfRange(details)
        if code == grpc.StatusCode.NOT_FOUND and "lease" in details:
            return LeaseNotFound(details)
        if code == grpc.StatusCode.INVALID_ARGUMENT:
            return ValueError(details)
        if code == grpc.StatusCode.CANCELLED and not self._channels:
            return StoreUnavailable("the store is closed")
        if self._current == member:
            self._current = (member + 1) % len(self._config.endpoints)
        return StoreUnavailable(f"etcd at {self._config.endpoints[member]}: {details}")

    def _credentials(self) -> grpc.ChannelCredentials:
        config = self._config
        return grpc.ssl_channel_credentials(
            root_certificates=config.ca_file.read_bytes() if config.ca_file else None,
            private_key=config.key_file.read_bytes() if config.key_file else None,
            certificate_chain=config.cert_file.read_bytes() if config.cert_file else None,
        )
