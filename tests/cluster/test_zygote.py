"""The zygote: what it forks is as good as what is started anew. Programs are words of Python."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from steersman.cli.supervise import SHARED
from steersman.cluster.launching import ExecLauncher, ProgramSpec, RunningProgram, steersman
from steersman.cluster.processes import read, start_ticks, words
from steersman.cluster.zygote import ForkLauncher

ZYGOTE = """
import socket, sys
from steersman.cluster import zygote
start = zygote.serve(socket.socket(fileno=int(sys.argv[1])), zygote.Imported.now())
if start is not None:
    exec(start.argv[-1])
"""
SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from steersman.cluster import zygote
from steersman.cluster.launching import ExecLauncher, ProgramSpec, steersman

async def supervise(connection):
    launcher = zygote.ForkLauncher(connection, otherwise=ExecLauncher())
    spec = ProgramSpec(name="a", argv=(*steersman(), "import time; time.sleep(60)"), log=Path(sys.argv[1], "log"))
    program = await launcher.start(spec)
    print(program.pid, flush=True)
    await program.wait()

_, connection = zygote.spawn("zygote of a test", ["json"], lambda words: exec(words[-1]))
asyncio.run(supervise(connection))
"""
WHILE_ALIVE = "import time\nwhile True: time.sleep(0.02)"


class World:
    """A zygote in a process of its own, and a launcher that asks it."""

    def __init__(self, directory: Path, zygote: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self.log = directory / "log"
        self.zygote = zygote
        self.launcher = ForkLauncher(connection, otherwise=ExecLauncher())

    async def start(self, *argv: str, network: str = "") -> RunningProgram:
        spec = ProgramSpec(name="program", argv=argv, log=self.log, environment=(("COLOUR", "red"),), network=network)
        return await self.launcher.start(spec)

    async def fork(self, code: str, *, network: str = "") -> RunningProgram:
        return await self.start(*steersman(), code, network=network)

    def children(self) -> list[str]:
        return Path(f"/proc/{self.zygote.pid}/task/{self.zygote.pid}/children").read_text().split()


@asynccontextmanager
async def running(directory: Path, prelude: str = "") -> AsyncIterator[World]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        zygote = python(prelude + ZYGOTE, str(theirs.fileno()), pass_fds=[theirs.fileno()])
    with zygote:
        world = World(directory, zygote, ours)
        try:
            yield world
        finally:
            world.launcher.close()
            assert await asyncio.to_thread(zygote.wait, 10) in (0, -signal.SIGKILL)


@asynccontextmanager
async def network_namespace() -> AsyncIterator[str]:
    """The file of a namespace that a process has for as long as it lives."""
    owner = await asyncio.create_subprocess_exec(
        "unshare", "--net", "sh", "-c", "echo; read _", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    assert await owner.stdout.readline() == b"\n"
    try:
        yield f"/proc/{owner.pid}/ns/net"
    finally:
        await owner.communicate(b"\n")


def python(code: str, *words: str, pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", code, *words]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=pass_fds)


def command_line(pid: int) -> str:
    return " ".join(words(pid))


def parent(pid: int) -> int:
    return int(read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[1])


async def until(holds: Callable[[], object], within_s: float = 10) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not come to hold"
        await asyncio.sleep(0.01)


async def test_a_program_has_a_session_a_log_an_environment_and_nothing_of_the_zygote(tmp_path: Path) -> None:
    code = (
        "import gc, os, signal, sys; sys.stdin.read(); print(os.getsid(0), os.environ['COLOUR'], sys.argv[-1][:9],"
        " sorted(os.listdir('/proc/self/fd'))[:-1], signal.pthread_sigmask(signal.SIG_BLOCK, []), gc.isenabled());"
        "print('as said', file=sys.stderr); sys.exit(3)"
    )
    async with running(tmp_path) as world:
        other = await world.fork(WHILE_ALIVE)
        program = await world.fork(code)
        assert await program.wait() == program.returncode == 3
        assert other.returncode is None
    said = f"{program.pid} red import gc ['0', '1', '2'] set() True"
    assert sorted(world.log.read_text().splitlines()) == sorted([said, "as said"])


async def test_ps_shows_a_program_by_its_name_and_its_words(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        program = await world.fork(WHILE_ALIVE)
        await until(lambda: read(Path(f"/proc/{program.pid}/comm")) == "program\n")
        assert "-m steersman.cli import time" in command_line(program.pid)


async def test_a_program_ends_as_it_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        programs = [await world.fork(WHILE_ALIVE) for _ in range(2)]
        programs[0].terminate()
        assert await programs[0].wait() == -signal.SIGTERM
        programs[1].kill()
        assert await programs[1].wait() == -signal.SIGKILL
        programs[1].kill()  # it may have ended meanwhile


async def test_what_is_not_our_own_command_is_started_anew(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        program = await world.start("sh", "-c", "exit 5")
        assert await program.wait() == 5
        assert world.children() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
async def test_a_program_runs_in_its_network_namespace_forked_or_not(tmp_path: Path) -> None:
    links = "import socket; print([name for _, name in socket.if_nameindex()])"
    async with network_namespace() as path, running(tmp_path) as world:
        assert await (await world.fork(links, network=path)).wait() == 0
        assert await (await world.start(sys.executable, "-c", links, network=path)).wait() == 0
        assert await (await world.fork(links, network="/nowhere")).wait() == 1
    first, second, *failure = world.log.read_text().splitlines()
    assert first == second == "['lo']"
    assert "No such file" in failure[-1]


async def test_after_an_upgrade_programs_are_started_anew(tmp_path: Path) -> None:
    module = tmp_path / "ours.py"
    module.write_text("VERSION = 1")
    async with running(tmp_path, f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import ours\n") as world:
        before = await world.fork("import ours; print('version', ours.VERSION)")
        assert await before.wait() == 0
        module.write_text("VERSION = 2")
        after = await world.start(*steersman(), "version")
        assert await after.wait() == 0
    first, second, *_ = world.log.read_text().splitlines()
    assert first == "version 1"
    assert "v1.36" in second


async def test_programs_end_with_the_zygote_and_are_started_anew_then(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        program = await world.fork(WHILE_ALIVE)
        world.zygote.kill()
        assert await program.wait() == -signal.SIGKILL
        await until(lambda: not start_ticks(program.pid))
        anew = await world.start(*steersman(), "version")
        assert await anew.wait() == 0


async def test_a_start_that_is_given_up_leaves_no_program(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        starting = asyncio.ensure_future(world.fork(WHILE_ALIVE))
        await asyncio.sleep(0)
        starting.cancel()
        kept = await world.fork(WHILE_ALIVE)  # answered after the other one
        await until(lambda: world.children() == [str(kept.pid)])


async def test_zygote_and_programs_end_when_the_launcher_closes(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        program = await world.fork(WHILE_ALIVE)
    await until(lambda: not start_ticks(program.pid))


async def test_zygote_and_programs_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    with python(SUPERVISOR, str(tmp_path)) as supervisor:
        assert supervisor.stdout is not None
        program = int(await asyncio.to_thread(supervisor.stdout.readline))
        zygote = parent(program)
        assert "zygote of a test" in command_line(zygote)
        assert parent(zygote) == supervisor.pid
        supervisor.kill()
    await until(lambda: not start_ticks(zygote) and not start_ticks(program))


def test_what_is_shared_starts_nothing_when_imported() -> None:
    code = f"import os, {', '.join(SHARED)}; print(os.listdir('/proc/self/task'), sorted(os.listdir('/proc/self/fd'))[:-1])"
    with python(code) as process:
        said, _ = process.communicate(timeout=60)
    assert said.decode() == f"['{process.pid}'] ['0', '1', '2']\n"


def test_only_the_supervisor_needs_a_zygote() -> None:
    code = "import sys, steersman.cli.apiserver, steersman.cli.run; print('steersman.cluster.zygote' in sys.modules)"
    with python(code) as process:
        said, _ = process.communicate(timeout=60)
    assert said == b"False\n"
