"""What the kernel says when it kills for want of memory, and what the node says of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from steersman.kubelet.oom_watcher import OOMKill, OOMMessages, OOMWatcher

BEGIN = "dd invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=1000"
SYSTEM = (
    BEGIN,
    "CPU: 1 PID: 812 Comm: dd Not tainted 6.1.0-56-cloud-amd64 #1",
    "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
    "task_memcg=/kubepods/besteffort/podx/y,task=dd,pid=812,uid=0",
    "Out of memory: Killed process 812 (dd) total-vm:206196kB, anon-rss:1kB, file-rss:0kB, oom_score_adj:1000",
)
LIMITED = (
    BEGIN,
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=y,mems_allowed=0,oom_memcg=/kubepods/burstable/podx/y,"
    "task_memcg=/kubepods/burstable/podx/y,task=dd,pid=7,uid=0",
    "Memory cgroup out of memory: Killed process 7 (dd) total-vm:206196kB, anon-rss:40960kB",
)
OLD = (
    BEGIN,
    "Task in /kubepods/podx/y killed as a result of limit of /kubepods/podx",
    "Killed process 9 (old one) total-vm:460016kB",
)


@pytest.mark.parametrize(
    ("lines", "kills"),
    [
        (SYSTEM, [OOMKill(process="dd", pid=812)]),
        (LIMITED, [OOMKill(process="dd", pid=7, cgroup="/kubepods/burstable/podx/y")]),
        (OLD, [OOMKill(process="old one", pid=9, cgroup="/kubepods/podx")]),
        ((*LIMITED, *SYSTEM), [OOMKill(process="dd", pid=7, cgroup="/kubepods/burstable/podx/y"), OOMKill(process="dd", pid=812)]),
        (SYSTEM[1:], []),
        (("usb 1-1: new device", "Killed process 3 (of a message that talks of it)"), []),
    ],
)  # fmt: skip
def test_each_kill_is_found_once(lines: Sequence[str], kills: list[OOMKill]) -> None:
    messages = OOMMessages()
    assert [found for line in lines if (found := messages.feed(line))] == kills


@asynccontextmanager
async def watched() -> AsyncIterator[tuple[socket.socket, asyncio.Queue[tuple[str, str]]]]:
    """The kernel's side of a log, and what a watcher says of it."""
    said: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    watcher = OOMWatcher(ours.detach, lambda reason, message: said.put_nowait((reason, message)))
    with kernel:
        running = asyncio.create_task(watcher.run())
        try:
            yield kernel, said
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def write(kernel: socket.socket, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines):
        kernel.send(f"6,{number},5140900,-;{line}\n SUBSYSTEM=memory\n".encode())


async def test_the_node_tells_of_the_machines_kills_only() -> None:
    async with watched() as (kernel, said):
        write(kernel, LIMITED)
        write(kernel, SYSTEM)
        assert await asyncio.wait_for(said.get(), 10) == (
            "SystemOOM", "System OOM encountered, victim process: dd, pid: 812"
        )  # fmt: skip
        assert said.empty()


async def test_a_kernel_that_may_not_be_asked_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> int:
        raise PermissionError(1, "Operation not permitted")

    running = asyncio.create_task(OOMWatcher(refuse, lambda *_: None).run())
    await asyncio.sleep(0)
    assert not running.done()
    assert "Operation not permitted" in caplog.text
    running.cancel()


async def test_a_log_that_ends_is_a_failure() -> None:
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kernel.close()
    ours.setblocking(False)
    with pytest.raises(EOFError):
        await asyncio.wait_for(OOMWatcher(ours.detach, lambda *_: None).run(), 10)
