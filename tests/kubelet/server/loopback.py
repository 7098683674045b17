"""What a kubelet server needs around it, without containers: a runtime whose commands are played back, one pod, and an
API server that knows two tokens."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steersman.aio.clock import SystemClock
from steersman.aio.timers import Timers
from steersman.kubelet.runtimes.api import (
    AttachRequest,
    ExecRequest,
    Output,
    PortConnection,
    Runtime,
    RuntimeServiceError,
    Session,
)
from steersman.kubelet.runtimes.simulated import SimulatedRuntime
from steersman.kubelet.server_api import ContainerLocation, PodLookup
from steersman.meta.errors import BadRequest, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import PODS
from steersman.meta.wire import Request, Response

GOOD_TOKEN = "good"
WEAK_TOKEN = "weak"
POD: Object = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "web", "namespace": "default", "uid": "u1"},
    "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "i"}]},
    "status": {"phase": "Running"},
}


class LoopbackSession:
    """Sends input back, in the manner of its command:

    ``cat``: what comes in goes out; ``exit N``: ends at once; ``both``: writes to both outputs; ``size``: each new size
    of the terminal; ``fail``: cannot be run.
    """

    def __init__(self, command: Sequence[str], *, stdin: bool) -> None:
        self._command = tuple(command)
        self._outputs: asyncio.Queue[Output | None] = asyncio.Queue()
        self._code = 0
        self.closed = asyncio.Event()
        match self._command:
            case ("exit", code):
                self._code = int(code)
                self._outputs.put_nowait(None)
            case ("both",):
                self._outputs.put_nowait(Output(stream="stdout", data=b"to stdout"))
                self._outputs.put_nowait(Output(stream="stderr", data=b"to stderr"))
                self._outputs.put_nowait(None)
            case ("fail",):
                self._outputs.put_nowait(None)
            case _ if not stdin and self._command != ("size",):
                self._outputs.put_nowait(None)

    async def read(self) -> Output | None:
        return await self._outputs.get()

    async def write_stdin(self, data: bytes) -> None:
        self._outputs.put_nowait(Output(stream="stdout", data=data))

    async def close_stdin(self) -> None:
        self._outputs.put_nowait(None)

    async def resize(self, *, width: int, height: int) -> None:
        self._outputs.put_nowait(Output(stream="stdout", data=f"{width}x{height} ".encode()))
        if width == 0:
            self._outputs.put_nowait(None)

    async def wait(self) -> int:
        if self._command == ("fail",):
            raise RuntimeServiceError("no such command")
        return self._code

    async def close(self) -> None:
        self.closed.set()


class LoopbackPort:
    """Sends back what it gets, in capitals."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes:
        return await self._pieces.get()

    async def write(self, data: bytes) -> None:
        self._pieces.put_nowait(data.upper())

    async def write_eof(self) -> None:
        self._pieces.put_nowait(b"")

    async def close(self) -> None:
        return


class LoopbackRuntime(SimulatedRuntime):
    """A simulated runtime with streams."""

    def __init__(self) -> None:
        clock = SystemClock()
        super().__init__(clock=clock, timers=Timers(clock), rng=random.Random(1), images_present=True)
        self.sessions: list[LoopbackSession] = []
        self.begun = asyncio.Event()
        self.checkpoints: list[tuple[str, str, float]] | None = None
        """Container, file and seconds of each; None: this runtime makes none."""

    async def exec(self, request: ExecRequest) -> Session:
        session = LoopbackSession(request.command, stdin=request.stdin)
        self.sessions.append(session)
        self.begun.set()
        return session

    async def checkpoint_container(self, container_id: str, *, location: str, timeout_s: float) -> None:
        if self.checkpoints is None:
            await super().checkpoint_container(container_id, location=location, timeout_s=timeout_s)
        else:
            self.checkpoints.append((container_id, location, timeout_s))

    async def attach(self, request: AttachRequest) -> Session:
        session = LoopbackSession(("cat",), stdin=request.stdin)
        self.sessions.append(session)
        return session

    async def port_forward(self, sandbox_id: str, port: int) -> PortConnection:
        if port == 9:
            raise ConnectionError("failed to connect to localhost:9 inside the pod: refused")
        return LoopbackPort()


class OnePod:
    """The kubelet as the server sees it: ``POD`` with its container ``main``, and ``waiting``, which has not started."""

    def __init__(self, container_id: str, sandbox_id: str, log: Path) -> None:
        self._container_id = container_id
        self._sandbox_id = sandbox_id
        self._log = log

    def pods(self) -> Sequence[Object]:
        return [POD]

    def find_pod(self, namespace: str, name: str, uid: str = "") -> Object | None:
        return POD if (namespace, name) == ("default", "web") and uid in ("", "u1") else None

    async def find_container(
        self, namespace: str, name: str, container: str, *, uid: str = "", previous: bool = False
    ) -> ContainerLocation:
        if self.find_pod(namespace, name, uid) is None:
            raise NotFound.of(PODS, name)
        if container != "main":
            raise BadRequest(f'container "{container}" in pod "{name}" is waiting to start: ContainerCreating')
        return ContainerLocation(
            container_id=self._container_id,
            sandbox_id=self._sandbox_id,
            state="EXITED" if previous else "RUNNING",
            restart_count=0,
            log_path=str(self._log),
        )

    async def find_sandbox(self, namespace: str, name: str, *, uid: str = "") -> str:
        if self.find_pod(namespace, name, uid) is None:
            raise NotFound.of(PODS, name)
        return self._sandbox_id

    def node_name(self) -> str:
        return "node-1"


class Reviews:
    """The API server's answers to TokenReview and SubjectAccessReview. ``good`` may everything, ``weak`` only stats."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    async def __call__(self, request: Request) -> Response:
        review = request.content if request.content is not None else json.loads(request.body)
        spec = review["spec"]
        if request.path.endswith("/tokenreviews"):
            self.asked.append(("token", spec["token"]))
            known = spec["token"] in (GOOD_TOKEN, WEAK_TOKEN)
            user = {"username": spec["token"], "groups": ["system:authenticated"], "extra": {"a": ["b"]}}
            status: dict[str, Any] = {"authenticated": True, "user": user} if known else {"authenticated": False}
        else:
            attributes = spec["resourceAttributes"]
            self.asked.append((spec["user"], (attributes["verb"], attributes["subresource"])))
            assert (attributes["resource"], attributes["name"]) == ("nodes", "node-1")
            allowed = spec["user"] == GOOD_TOKEN or "system:masters" in spec["groups"]
            allowed = allowed or (spec["user"] == WEAK_TOKEN and attributes["subresource"] in ("stats", "pods"))
            status = {"allowed": allowed}
        answer = {**review, "status": status}
        return Response(status=201, body=json.dumps(answer).encode(), content=answer)


def _conforms(runtime: LoopbackRuntime, pod: OnePod) -> tuple[Runtime, PodLookup]:
    return runtime, pod
