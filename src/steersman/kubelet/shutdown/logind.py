"""What systemd-logind knows of a coming shutdown, over the system's D-Bus.

Whoever holds a "delay" inhibitor of logind is given up to ``InhibitDelayMaxSec`` between the announcement of a shutdown
and the shutdown itself. See org.freedesktop.login1(5), logind.conf(5) and systemd's "Inhibitor Locks".
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.constants import BusType
from dbus_fast.errors import AuthError, InvalidAddressError

from steersman.kubelet.shutdown.bus import Lock, ShutdownBus, ShutdownBusError

LOGIN: Final = "org.freedesktop.login1"
LOGIN_PATH: Final = "/org/freedesktop/login1"
LOGIN_MANAGER: Final = f"{LOGIN}.Manager"
SYSTEMD: Final = "org.freedesktop.systemd1"
SYSTEMD_PATH: Final = "/org/freedesktop/systemd1"
SETTINGS: Final = Path("/etc/systemd/logind.conf.d/99-kubelet.conf")
ANSWER_S: Final = 25.0
"""How long a call may take, as libdbus has it."""
SIGHUP: Final = 1
_MATCH: Final = f"type='signal',interface='{LOGIN_MANAGER}',member='PrepareForShutdown',path='{LOGIN_PATH}'"


class DescriptorLock:
    """logind's lock lasts as long as its file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Logind:
    """A connected bus."""

    def __init__(self, bus: MessageBus, *, gone: asyncio.Future[None], settings: Path = SETTINGS) -> None:
        """``gone`` is done when the bus is."""
        self._bus = bus
        self._gone = gone
        self._settings = settings
        self._news: asyncio.Queue[bool] = asyncio.Queue()
        """Bounded by how often an administrator changes his mind."""
        bus.add_message_handler(self._on_message)

    async def follow(self) -> None:
        """Have the bus send what ``next`` waits for."""
        await self._call(
            destination="org.freedesktop.DBus", path="/org/freedesktop/DBus", interface="org.freedesktop.DBus",
            member="AddMatch", signature="s", body=[_MATCH],
        )  # fmt: skip

    async def longest_delay_s(self) -> float:
        reply = await self._call(
            destination=LOGIN, path=LOGIN_PATH, interface="org.freedesktop.DBus.Properties", member="Get",
            signature="ss", body=[LOGIN_MANAGER, "InhibitDelayMaxUSec"],
        )  # fmt: skip
        value = reply.body[0].value
        if not isinstance(value, int):
            raise ShutdownBusError("InhibitDelayMaxUSec from logind is not a uint64 as expected")
        return value / 1e6

    async def ask_for_delay(self, delay_s: float) -> None:
        text = f"# Kubelet logind override\n[Login]\nInhibitDelayMaxSec={delay_s:.0f}\n"
        try:
            self._settings.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._settings.write_text(text)
        except OSError as error:
            raise ShutdownBusError(f"failed writing {self._settings}: {error}") from error
        await self._call(
            destination=SYSTEMD, path=SYSTEMD_PATH, interface=f"{SYSTEMD}.Manager", member="KillUnit",
            signature="ssi", body=["systemd-logind.service", "all", SIGHUP],
        )  # fmt: skip

    async def inhibit(self) -> Lock:
        reply = await self._call(
            destination=LOGIN, path=LOGIN_PATH, interface=LOGIN_MANAGER, member="Inhibit", signature="ssss",
            body=["shutdown", "kubelet", "Kubelet needs time to handle node shutdown", "delay"],
        )  # fmt: skip
        if not reply.unix_fds:
            raise ShutdownBusError("failed creating systemd inhibitor: logind answered without a file descriptor")
        return DescriptorLock(reply.unix_fds[reply.body[0]])

    async def next(self) -> bool:
        news = asyncio.ensure_future(self._news.get())
        try:
            await asyncio.wait((news, self._gone), return_when=asyncio.FIRST_COMPLETED)
            if news.done():
                return news.result()
            raise ShutdownBusError(f"the bus is gone: {self._gone.exception() or 'closed'}")
        finally:
            news.cancel()

    def _on_message(self, message: Message) -> None:
        if (message.message_type, message.interface, message.member) == (
            MessageType.SIGNAL, LOGIN_MANAGER, "PrepareForShutdown"
        ) and message.signature == "b":  # fmt: skip
            self._news.put_nowait(message.body[0])

    async def _call(self, **parts: Any) -> Message:
        what = f"{parts['destination']} {parts['member']}"
        try:
            reply = await asyncio.wait_for(self._bus.call(Message(**parts)), ANSWER_S)
        except (OSError, EOFError, TimeoutError) as error:
            raise ShutdownBusError(f"{what}: {error!r}") from error
        if reply is None or reply.message_type is MessageType.ERROR:
            raise ShutdownBusError(
                f"{what}: {reply.error_name if reply else 'no answer'} {reply.body if reply else ''}"
            )
        return reply


@asynccontextmanager
async def system_logind(*, address: str | None = None, settings: Path = SETTINGS) -> AsyncIterator[Logind]:
    """Connected to the machine's bus (or the one at ``address``). Raises ``ShutdownBusError``."""
    bus = MessageBus(bus_address=address, bus_type=BusType.SYSTEM, negotiate_unix_fd=True, auth_timeout=ANSWER_S)
    try:
        await bus.connect()
    except (OSError, EOFError, AuthError, InvalidAddressError) as error:
        raise ShutdownBusError(f"no system bus: {error}") from error
    gone = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
    try:
        logind = Logind(bus, gone=gone, settings=settings)
        await logind.follow()
        yield logind
    finally:
        bus.disconnect()
        gone.cancel()


def _conforms(logind: Logind, lock: DescriptorLock) -> tuple[ShutdownBus, Lock]:
    return logind, lock
