"""Connections to a pod's own ports, made from inside its network namespace: no helper program in the way."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import threading

from steersman.kubelet.runtimes.api import NotFound, PortConnection, RuntimeServiceError
from steersman.kubelet.runtimes.sandboxes import PodSandboxStatus

CLONE_NEWNET = 0x4000_0000
READ_BYTES = 64 * 1024


class SocketConnection:
    """A connected socket as ``PortConnection``."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    async def read(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self._socket, READ_BYTES)
        except ConnectionError:
            return b""

    async def write(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def write_eof(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return

    async def close(self) -> None:
        self._socket.close()


def network_namespace(status: PodSandboxStatus) -> str:
    """The path of the sandbox's network namespace; empty when it has the node's.

    CRI does not carry it; containerd and CRI-O tell in the verbose status: as the runtime specification's namespace
    path, or as the sandbox's process.
    """
    if status.namespaces.network == "NODE":
        return ""
    try:
        info = json.loads(status.info.get("info", "{}"))
    except ValueError as error:
        raise RuntimeServiceError(f"sandbox {status.id}: verbose status is not JSON") from error
    for namespace in info.get("runtimeSpec", {}).get("linux", {}).get("namespaces") or ():
        if namespace.get("type") == "network" and namespace.get("path"):
            return str(namespace["path"])
    if info.get("pid"):
        return f"/proc/{int(info['pid'])}/ns/net"
    raise RuntimeServiceError(f"the runtime does not tell the network namespace of sandbox {status.id}")


async def connect_to_pod(namespace: str, port: int) -> PortConnection:
    """A TCP connection to ``port`` on the namespace's loopback, IPv4 first. Raises ``ConnectionError``."""
    failure: OSError | None = None
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            connection = await _socket_in(namespace, family)
        except OSError as error:
            if family == socket.AF_INET6:
                break
            raise NotFound(f"network namespace {namespace}: {error}") from error
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
            return SocketConnection(connection)
        except OSError as error:
            connection.close()
            failure = failure or error
        except BaseException:
            connection.close()
            raise
    raise ConnectionError(f"failed to connect to localhost:{port} inside the pod: {failure}") from failure


async def _socket_in(namespace: str, family: int) -> socket.socket:
    """A socket belongs to the network namespace of the thread that makes it. That thread ends with it, so that no
    other work can ever run in the pod's namespace by mistake."""
    if not namespace:
        return socket.socket(family, socket.SOCK_STREAM)
    loop = asyncio.get_running_loop()
    made: asyncio.Future[socket.socket] = loop.create_future()

    def work() -> None:
        try:
            descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _setns(descriptor)
            finally:
                os.close(descriptor)
            result = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            loop.call_soon_threadsafe(_fail, made, error)
        else:
            loop.call_soon_threadsafe(_succeed, made, result)

    threading.Thread(target=work, name="pod-port", daemon=True).start()
    return await made


def _succeed(made: asyncio.Future[socket.socket], result: socket.socket) -> None:
    if made.done():
        result.close()
    else:
        made.set_result(result)


def _fail(made: asyncio.Future[socket.socket], error: OSError) -> None:
    if not made.done():
        made.set_exception(error)


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _conforms(connection: SocketConnection) -> PortConnection:
    return connection
