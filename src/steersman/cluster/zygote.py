"""A process that has imported what Steersman's programs share and becomes them by forking (docs/decisions/0008).

    supervisor --socket--> zygote --fork--> apiserver, control, node-…

Imported modules are half of what a program keeps in memory, and half of the work of its start. Forked programs share them
until they write to them. The zygote is as plain as a process can be, so that forking it is safe: one thread, no event
loop, no file but the socket, and no library that starts threads or keeps connections when imported (numpy, grpc).

Messages are JSON, one a packet; at most one a program waits at either end. When the supervisor is gone, the zygote is killed and
its programs with it; when only the zygote is gone, its programs are too, and the supervisor starts them as new processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import logging
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct
from setproctitle import setproctitle, setthreadtitle

from steersman.cluster.launching import Launcher, ProgramSpec, RunningProgram, die_with_parent, steersman

CLONE_NEWNET = 0x40000000
PACKET_BYTES = 256 * 1024
"""Longer than any command line of ours."""
log = logging.getLogger(__name__)
NOT_FOR_THE_ZYGOTE = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
"""It ends with the supervisor, after the programs that it must still tell about. Blocked, so that a program which is told to
end before it is itself ends then."""


class Imported(Struct, frozen=True, kw_only=True):
    """The files that modules were read from. After an upgrade they are others, and a forked program would be half old, half new.

    Paths are one string of its own, as counting references to each module's would unshare the pages that it is in.
    """

    paths: str
    versions: Sequence[tuple[int, int] | None]

    @classmethod
    def now(cls) -> Imported:
        paths = sorted({path for module in [*sys.modules.values()] if (path := getattr(module, "__file__", None))})
        return cls(paths="\0".join(paths), versions=[_version(path) for path in paths])

    def is_current(self) -> bool:
        """Whether a new process would import the same."""
        return [_version(path) for path in self.paths.split("\0")] == self.versions


def _version(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


class Start(Struct, frozen=True, kw_only=True, tag=True):
    """To the zygote: become this program in a child."""

    number: int
    name: str
    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    network: str
    log: str


class Send(Struct, frozen=True, kw_only=True, tag=True):
    """To the zygote: send a signal to a program. It knows which pids are its children's still."""

    pid: int
    signal: int


class Started(Struct, frozen=True, kw_only=True, tag=True):
    number: int
    pid: int


class Declined(Struct, frozen=True, kw_only=True, tag=True):
    """The program is to be started otherwise: a file that was imported is another one now, or there are no processes left."""

    number: int


class Ended(Struct, frozen=True, kw_only=True, tag=True):
    pid: int
    code: int


_requests = msgspec.json.Decoder(Start | Send)
_answers = msgspec.json.Decoder(Started | Declined | Ended)


def spawn(title: str, modules: Sequence[str], become: Callable[[Sequence[str]], None]) -> tuple[int, socket.socket]:
    """Fork a zygote that has ``modules`` and that ``ps`` shows as ``title``; the answer is its pid and the socket for its
    ``ForkLauncher``.

    Only the caller returns, and is to wait for the zygote in the end. The programs leave through ``SystemExit`` after ``become``
    with their words. To be called before there is an event loop or a thread.
    """
    for module in modules:
        importlib.import_module(module)
    imported = Imported.now()
    gc.freeze()  # a collection would write to every object, and unshare its page
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    supervisor = os.getpid()
    if pid := os.fork():
        theirs.close()
        return pid, ours
    ours.close()
    _die_with(supervisor)
    _be_shown_as("zygote", title)
    start = serve(theirs, imported)
    if start is None:
        os._exit(0)
    become(start.argv[len(steersman()) :])
    sys.exit()


def serve(connection: socket.socket, imported: Imported) -> Start | None:
    """Fork what ``connection`` asks for. Returns None once its other end is closed, and in each child what it has to become."""
    signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_THE_ZYGOTE)
    zygote = os.getpid()
    with connection, contextlib.closing(_Children(connection)) as children:
        while (request := children.next_request()) is not None:
            if isinstance(request, Send):
                children.send(request)
                continue
            try:
                pid = os.fork() if imported.is_current() else None
            except OSError:
                pid = None
            if pid == 0:
                _leave_zygote(request, zygote)
                return request
            if pid is None:
                _answer(connection, Declined(number=request.number))
            else:
                children.add(pid)
                _answer(connection, Started(number=request.number, pid=pid))
    return None


class _Children:
    """The zygote's programs, each with a file descriptor that becomes readable when it has ended."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._fds: dict[int, int] = {}
        """By pid."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)

    def add(self, pid: int) -> None:
        self._fds[pid] = os.pidfd_open(pid)
        self._selector.register(self._fds[pid], selectors.EVENT_READ, pid)

    def send(self, request: Send) -> None:
        if request.pid in self._fds:
            os.kill(request.pid, request.signal)

    def next_request(self) -> Start | Send | None:
        """Tell of programs that end until there is a request; None when there will be no more."""
        while True:
            keys = [key for key, _ in self._selector.select()]
            for key in keys:
                if key.fileobj is not self._connection:
                    self._reap(key.data)
            if any(key.fileobj is self._connection for key in keys):
                packet = self._connection.recv(PACKET_BYTES)
                return _requests.decode(packet) if packet else None

    def close(self) -> None:
        """In a child: they are the zygote's."""
        self._selector.close()
        for fd in self._fds.values():
            os.close(fd)

    def _reap(self, pid: int) -> None:
        fd = self._fds.pop(pid)
        self._selector.unregister(fd)
        os.close(fd)
        _, status = os.waitpid(pid, 0)
        _answer(self._connection, Ended(pid=pid, code=os.waitstatus_to_exitcode(status)))


def _leave_zygote(request: Start, zygote: int) -> None:
    """In the child: what ``ExecLauncher`` has the kernel do, and the name by which ``ps`` shows the program."""
    os.setsid()
    _die_with(zygote)
    with open(os.devnull, "rb") as nothing, open(request.log, "ab") as output:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    if request.network:
        _enter_network(request.network)
    os.environ.update(request.environment)
    sys.argv[1:] = request.argv[len(steersman()) :]
    _be_shown_as(request.name, " ".join(request.argv))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NOT_FOR_THE_ZYGOTE)


def _be_shown_as(name: str, title: str) -> None:
    """``top`` and ``ps`` show the name (its first 15 bytes), ``ps`` with arguments the title."""
    setproctitle(title)
    setthreadtitle(name)


def _enter_network(path: str) -> None:
    with open(path, "rb") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {path}")


def _die_with(parent: int) -> None:
    die_with_parent()
    if os.getppid() != parent:  # it died before the kernel was told
        os.kill(os.getpid(), signal.SIGKILL)


def _answer(connection: socket.socket, answer: Started | Declined | Ended) -> None:
    with contextlib.suppress(BrokenPipeError):
        connection.send(msgspec.json.encode(answer))


class ForkedProgram:
    """A program that the zygote told of."""

    def __init__(self, pid: int, send: Callable[[int, int], None]) -> None:
        self._pid = pid
        self._send = send
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def returncode(self) -> int | None:
        return self._code.result() if self._code.done() else None

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    def terminate(self) -> None:
        self._send(self._pid, signal.SIGTERM)

    def kill(self) -> None:
        self._send(self._pid, signal.SIGKILL)

    def ended(self, code: int) -> None:
        self._code.set_result(code)


class ForkLauncher:
    """Starts Steersman's own programs through the zygote at the socket's other end, and others (and all, when the zygote
    is gone or declines) through ``otherwise``."""

    def __init__(self, connection: socket.socket, *, otherwise: Launcher) -> None:
        self._connection = connection
        self._otherwise = otherwise
        self._waiting: dict[int, asyncio.Future[ForkedProgram | None]] = {}
        self._running: dict[int, ForkedProgram] = {}
        self._count = 0
        self._is_open = True
        connection.setblocking(False)
        asyncio.get_running_loop().add_reader(connection, self._read)

    async def start(self, spec: ProgramSpec) -> RunningProgram:
        is_ours = spec.argv[: len(steersman())] == steersman()
        program = await self._fork(spec) if is_ours and self._is_open else None
        return program or await self._otherwise.start(spec)

    def close(self) -> None:
        """The zygote ends, and its programs do."""
        if not self._is_open:
            return
        self._is_open = False
        asyncio.get_running_loop().remove_reader(self._connection)
        self._connection.close()
        for future in self._waiting.values():
            if not future.cancelled():
                future.set_result(None)
        for program in self._running.values():
            program.ended(-signal.SIGKILL)
        self._waiting.clear()
        self._running.clear()

    async def _fork(self, spec: ProgramSpec) -> ForkedProgram | None:
        self._count += 1
        future: asyncio.Future[ForkedProgram | None] = asyncio.get_running_loop().create_future()
        self._waiting[self._count] = future
        self._ask(
            Start(
                number=self._count,
                name=spec.name,
                argv=spec.argv,
                environment=spec.environment,
                network=spec.network,
                log=str(spec.log),
            )
        )
        return await future

    def _ask(self, request: Start | Send) -> None:
        try:
            self._connection.send(msgspec.json.encode(request))
        except OSError:
            self.close()

    def _send(self, pid: int, number: int) -> None:
        self._ask(Send(pid=pid, signal=number))

    def _read(self) -> None:
        try:
            packet = self._connection.recv(PACKET_BYTES)
        except OSError:
            packet = b""
        if not packet:
            log.error("the zygote ended, and its programs with it; they start as new processes from now on")
            self.close()
            return
        answer = _answers.decode(packet)
        match answer:
            case Started():
                self._running[answer.pid] = program = ForkedProgram(answer.pid, self._send)
                future = self._waiting.pop(answer.number)
                if future.cancelled():
                    program.kill()
                else:
                    future.set_result(program)
            case Declined():
                future = self._waiting.pop(answer.number)
                if not future.cancelled():
                    future.set_result(None)
            case Ended():
                self._running.pop(answer.pid).ended(answer.code)


_: type[Launcher] = ForkLauncher
