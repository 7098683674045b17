"""The D-Bus side: a real dbus-daemon, on which a login manager and a systemd of this test answer."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.constants import NameFlag

from steersman.kubelet.shutdown.bus import ShutdownBusError
from steersman.kubelet.shutdown.logind import LOGIN, LOGIN_MANAGER, LOGIN_PATH, SYSTEMD, Logind, system_logind

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""

pytestmark = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="needs dbus-daemon")


class Machine:
    """systemd and its logind on one connection."""

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self.delay_us = 5_000_000
        self.inhibited: list[list[str]] = []
        self.killed: list[list[object]] = []
        self.held: list[int] = []
        """Our ends of the locks' pipes."""
        self.given: list[int] = []
        """The others, which are copied when they are sent."""
        bus.add_message_handler(self._answer)

    def _answer(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        if message.member == "Get":
            return Message.new_method_return(message, "v", [Variant("t", self.delay_us)])
        if message.member == "Inhibit":
            self.inhibited.append(message.body)
            ours, theirs = os.pipe()
            self.held.append(ours)
            self.given.append(theirs)
            os.set_blocking(ours, False)
            return Message.new_method_return(message, "h", [0], [theirs])
        if message.member == "KillUnit":
            self.killed.append(message.body)
            return Message.new_method_return(message)
        return None

    async def announce(self, *, shutdown: bool) -> None:
        await self.bus.send(
            Message(
                message_type=MessageType.SIGNAL, path=LOGIN_PATH, interface=LOGIN_MANAGER,
                member="PrepareForShutdown", signature="b", body=[shutdown],
            )
        )  # fmt: skip

    def is_released(self, number: int) -> bool:
        """A pipe whose other end is closed reads as ended, not as empty."""
        while self.given:
            os.close(self.given.pop())
        try:
            return os.read(self.held[number], 1) == b""
        except BlockingIOError:
            return False


@asynccontextmanager
async def daemon(directory: Path) -> AsyncIterator[str]:
    socket = directory / "bus"
    config = directory / "bus.conf"
    config.write_text(CONFIG.format(socket=socket))
    process = await asyncio.create_subprocess_exec(
        "dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readline(), 10)
        yield f"unix:path={socket}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    async with daemon(tmp_path) as found:
        yield found


@pytest.fixture
async def machine(address: str) -> AsyncIterator[Machine]:
    bus = await MessageBus(bus_address=address, negotiate_unix_fd=True).connect()
    for name in (LOGIN, SYSTEMD):
        await bus.request_name(name, NameFlag.DO_NOT_QUEUE)
    found = Machine(bus)
    yield found
    bus.disconnect()
    for descriptor in found.held:
        os.close(descriptor)


@pytest.fixture
async def logind(address: str, machine: Machine, tmp_path: Path) -> AsyncIterator[Logind]:
    async with system_logind(address=address, settings=tmp_path / "logind.conf.d" / "99-kubelet.conf") as found:
        yield found


async def test_the_longest_delay_is_read(logind: Logind) -> None:
    assert await logind.longest_delay_s() == 5.0


async def test_a_longer_delay_is_written_down_and_logind_told_to_read_it(
    logind: Logind, machine: Machine, tmp_path: Path
) -> None:
    await logind.ask_for_delay(30)
    text = (tmp_path / "logind.conf.d" / "99-kubelet.conf").read_text()
    assert text == "# Kubelet logind override\n[Login]\nInhibitDelayMaxSec=30\n"
    assert machine.killed == [["systemd-logind.service", "all", 1]]


async def test_a_lock_delays_shutdowns_until_it_is_released(logind: Logind, machine: Machine) -> None:
    lock = await logind.inhibit()
    assert machine.inhibited == [["shutdown", "kubelet", "Kubelet needs time to handle node shutdown", "delay"]]
    assert not machine.is_released(0)
    lock.release()
    assert machine.is_released(0)
    lock.release()


async def test_announcements_come_in_order(logind: Logind, machine: Machine) -> None:
    await machine.announce(shutdown=True)
    await machine.announce(shutdown=False)
    async with asyncio.timeout(5):
        assert [await logind.next(), await logind.next()] == [True, False]


async def test_a_call_that_nobody_answers_fails_by_name(address: str) -> None:
    async with system_logind(address=address) as logind:
        with pytest.raises(ShutdownBusError, match=r"org.freedesktop.login1 Inhibit: .*ServiceUnknown"):
            await logind.inhibit()


async def test_a_machine_without_a_bus_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ShutdownBusError, match="no system bus"):
        async with system_logind(address=f"unix:path={tmp_path}/none"):
            pass


async def test_a_bus_that_ends_is_noticed(tmp_path: Path) -> None:
    bus = AsyncExitStack()
    address = await bus.enter_async_context(daemon(tmp_path))
    async with system_logind(address=address) as logind:
        waiting = asyncio.ensure_future(logind.next())
        await bus.aclose()
        with pytest.raises(ShutdownBusError, match="the bus is gone"):
            await asyncio.wait_for(waiting, 5)
