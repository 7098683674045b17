"""What the kubelet needs from a container runtime: CRI v1's RuntimeService and ImageService as a Protocol.

``cri.py`` speaks it to containerd and CRI-O over gRPC, ``simulated.py`` implements it without containers, and
``steersman.testing.runtime_suite`` is the conformance suite that both pass. The values are in ``sandboxes``,
``containers``, ``images`` and ``stats``; enumerations are string literals without CRI's prefixes; times are
nanoseconds since the Unix epoch (``…_ns``) and durations seconds (``…_s``). The one deliberate difference from CRI:
``exec``, ``attach`` and ``port_forward`` give the streams themselves rather than a URL to fetch them from.

Rules every runtime keeps:

- Stopping or removing what is already stopped or gone succeeds.
- ``stop_pod_sandbox`` stops the sandbox's containers and gives its network back; ``remove_pod_sandbox`` also removes
  the containers. A stopped sandbox is still listed, NOTREADY, until it is removed.
- A container starts once. A restart is a new container with a higher ``attempt``.
- Every call may raise ``RuntimeServiceError``; one that names something unknown raises ``NotFound``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal, Protocol

import msgspec
from msgspec import Struct, field

from steersman.kubelet.rpc_text import rpc_text
from steersman.kubelet.runtimes.containers import (
    Container,
    ContainerConfig,
    ContainerEvent,
    ContainerFilter,
    ContainerStatus,
    ExecResult,
)
from steersman.kubelet.runtimes.images import AuthConfig, Image, ImageFsInfo, ImageSpec
from steersman.kubelet.runtimes.sandboxes import (
    LinuxResources,
    PodSandbox,
    PodSandboxConfig,
    PodSandboxFilter,
    PodSandboxStatus,
)
from steersman.kubelet.runtimes.stats import ContainerStats, PodSandboxStats, StatsFilter

CgroupDriver = Literal["systemd", "cgroupfs"]

EVERY_SANDBOX = PodSandboxFilter()
EVERY_CONTAINER = ContainerFilter()
ALL_STATS = StatsFilter()


class RuntimeServiceError(Exception):
    """The runtime could not do what was asked. The message is the runtime's own."""

    code = "Unknown"
    """gRPC's, as Go spells it; that of the class where the error is no gRPC call's."""

    @property
    def with_code(self) -> str:
        """As upstream's events and statuses tell of failed calls, but those that make containers."""
        return rpc_text(self.code, str(self))


class NotFound(RuntimeServiceError):
    """No such sandbox, container or image."""

    code = "NotFound"


class AlreadyExists(RuntimeServiceError):
    """A sandbox or container with that metadata exists."""

    code = "AlreadyExists"


class InvalidArgument(RuntimeServiceError):
    """The runtime refuses the configuration."""

    code = "InvalidArgument"


class FailedPrecondition(RuntimeServiceError):
    """Not possible in the state that the sandbox or container is in."""

    code = "FailedPrecondition"


class Unimplemented(RuntimeServiceError):
    """The runtime does not have this call; the caller takes another way."""

    code = "Unimplemented"


class Unavailable(RuntimeServiceError):
    """The runtime does not answer or is still starting; try again."""

    code = "Unavailable"


class ExecTimeout(RuntimeServiceError):
    """``exec_sync`` took longer than its timeout; the command was killed."""


class ImagePullError(RuntimeServiceError):
    """An image could not be pulled. ``reason`` is what a container's waiting state shows."""

    def __init__(self, message: str, *, reason: str = "ErrImagePull") -> None:
        super().__init__(message)
        self.reason = reason
        """``ErrImagePull``, or one of CRI's ``RegistryUnavailable`` and ``SignatureValidationFailed``."""


class Version(Struct, frozen=True, kw_only=True):
    runtime_name: str
    runtime_version: str
    api_version: str = "v1"


class RuntimeCondition(Struct, frozen=True, kw_only=True):
    type: str
    """``RuntimeReady``, ``NetworkReady``, or one of the runtime's own."""
    status: bool
    reason: str = ""
    message: str = ""


class RuntimeHandler(Struct, frozen=True, kw_only=True):
    """A way to run pods that a RuntimeClass can name; the default's name is empty."""

    name: str
    recursive_read_only_mounts: bool = False
    user_namespaces: bool = False


class _RuntimeConfig(Struct, frozen=True, kw_only=True):
    """Of all that containerd's status says of its configuration."""

    sandboxImage: str = ""


class RuntimeStatus(Struct, frozen=True, kw_only=True):
    conditions: tuple[RuntimeCondition, ...]
    handlers: tuple[RuntimeHandler, ...] = ()
    supplemental_groups_policy: bool = False
    """The runtime understands the field of that name."""
    info: Mapping[str, str] = field(default_factory=dict)
    """Verbose only."""

    @property
    def sandbox_image(self) -> str:
        """What sandboxes are made of, where the runtime tells: verbose only, of containerd 1.x."""
        try:
            config = msgspec.json.decode(self.info.get("config") or "{}", type=_RuntimeConfig)
        except msgspec.DecodeError:
            return ""
        return config.sandboxImage

    def condition(self, type: str) -> RuntimeCondition | None:
        return next((condition for condition in self.conditions if condition.type == type), None)

    def complaint(self, type: str) -> str:
        """Empty where the condition holds, else what there is to say, as upstream prints it."""
        condition = self.condition(type)
        if condition is not None and condition.status:
            return ""
        reason, message = (condition.reason, condition.message) if condition is not None else ("", "")
        return f"{type}=false reason:{reason} message:{message}"

    @property
    def runtime_ready(self) -> bool:
        condition = self.condition("RuntimeReady")
        return condition is not None and condition.status

    @property
    def network_ready(self) -> bool:
        condition = self.condition("NetworkReady")
        return condition is not None and condition.status


class ExecRequest(Struct, frozen=True, kw_only=True):
    """What ``exec`` runs and which of its streams are wanted. With ``tty`` everything comes as stdout."""

    container_id: str
    command: tuple[str, ...]
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False


class AttachRequest(Struct, frozen=True, kw_only=True):
    """Which streams of a running container's first process are wanted. ``tty`` has to be as it was created."""

    container_id: str
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False


class Output(Struct, frozen=True, kw_only=True):
    stream: Literal["stdout", "stderr"]
    data: bytes


class Session(Protocol):
    """The caller's side of an exec or attach. Output that nobody reads holds the process back; close it always."""

    async def read(self) -> Output | None:
        """The next output, at least one byte; None when all streams have ended."""

    async def write_stdin(self, data: bytes) -> None:
        """Send ``data``, waiting while the process is slow. Input after the process's end is dropped."""

    async def close_stdin(self) -> None:
        """End of input."""

    async def resize(self, *, width: int, height: int) -> None:
        """Set the terminal's size in characters; without a terminal nothing happens."""

    async def wait(self) -> int:
        """The exit code (attach: 0 when the streams ended). Raises ``RuntimeServiceError`` when it could not run."""

    async def close(self) -> None:
        """Let go. An exec'd process that still runs gets a hang-up of its streams; an attached container goes on."""


class PortConnection(Protocol):
    """A TCP connection to a port of a pod."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""

    async def write(self, data: bytes) -> None:
        """Raises ``ConnectionError`` when the other side is gone."""

    async def write_eof(self) -> None:
        """Nothing more will be written; reading goes on."""

    async def close(self) -> None: ...


class RuntimeService(Protocol):
    """Sandboxes and containers."""

    async def version(self) -> Version: ...

    async def status(self, *, verbose: bool = False) -> RuntimeStatus: ...

    async def runtime_config(self) -> CgroupDriver | None:
        """Which cgroup driver the runtime uses; None where it cannot say (containerd before 2.0)."""

    async def update_runtime_config(self, *, pod_cidr: str) -> None: ...

    async def run_pod_sandbox(self, config: PodSandboxConfig, *, runtime_handler: str = "") -> str:
        """Make and start a sandbox with its network; its id. On failure nothing of it is left."""

    async def stop_pod_sandbox(self, sandbox_id: str) -> None: ...

    async def remove_pod_sandbox(self, sandbox_id: str) -> None: ...

    async def pod_sandbox_status(self, sandbox_id: str, *, verbose: bool = False) -> PodSandboxStatus: ...

    async def list_pod_sandboxes(self, filter: PodSandboxFilter = EVERY_SANDBOX) -> Sequence[PodSandbox]: ...

    async def update_pod_sandbox_resources(
        self, sandbox_id: str, *, overhead: LinuxResources | None = None, resources: LinuxResources | None = None
    ) -> None:
        """Raises ``Unimplemented`` where the runtime has no such call."""

    async def create_container(
        self, sandbox_id: str, config: ContainerConfig, sandbox_config: PodSandboxConfig
    ) -> str: ...

    async def start_container(self, container_id: str) -> None: ...

    async def stop_container(self, container_id: str, *, timeout_s: float) -> None:
        """Send the stop signal, and SIGKILL after ``timeout_s`` (at once for 0). Returns when it has stopped."""

    async def remove_container(self, container_id: str) -> None:
        """Remove it, killing it where it runs."""

    async def container_status(self, container_id: str, *, verbose: bool = False) -> ContainerStatus: ...

    async def list_containers(self, filter: ContainerFilter = EVERY_CONTAINER) -> Sequence[Container]: ...

    async def update_container_resources(
        self, container_id: str, resources: LinuxResources, *, annotations: Mapping[str, str] | None = None
    ) -> None: ...

    async def reopen_container_log(self, container_id: str) -> None:
        """The log file was moved away: create it anew and write there."""

    async def checkpoint_container(self, container_id: str, *, location: str, timeout_s: float) -> None:
        """Raises ``Unimplemented`` where the runtime cannot."""

    async def exec_sync(self, container_id: str, command: Sequence[str], *, timeout_s: float = 0) -> ExecResult:
        """Run to the end, without a terminal and input. Raises ``ExecTimeout`` after ``timeout_s`` (0: no limit)."""

    async def exec(self, request: ExecRequest) -> Session: ...

    async def attach(self, request: AttachRequest) -> Session: ...

    async def port_forward(self, sandbox_id: str, port: int) -> PortConnection:
        """Connect to ``localhost:port`` as seen by the pod. Raises ``ConnectionError`` when nothing listens."""

    async def container_stats(self, container_id: str) -> ContainerStats: ...

    async def list_container_stats(self, filter: StatsFilter = ALL_STATS) -> Sequence[ContainerStats]: ...

    async def pod_sandbox_stats(self, sandbox_id: str) -> PodSandboxStats: ...

    async def list_pod_sandbox_stats(self, filter: StatsFilter = ALL_STATS) -> Sequence[PodSandboxStats]: ...

    def container_events(self) -> AsyncIterator[ContainerEvent]:
        """Events from now on. Raises ``Unimplemented`` on first use where the runtime has none: list instead."""


class ImageService(Protocol):
    """Images on the node."""

    async def list_images(self, image: str = "") -> Sequence[Image]:
        """All, or those that ``image`` names."""

    async def image_status(self, image: ImageSpec) -> Image | None:
        """None when it is not here."""

    async def pull_image(
        self, image: ImageSpec, *, auth: AuthConfig | None = None, sandbox_config: PodSandboxConfig | None = None
    ) -> str:
        """Fetch it; the reference to create containers with. Raises ``ImagePullError``."""

    async def remove_image(self, image: ImageSpec) -> None: ...

    async def image_fs_info(self) -> ImageFsInfo: ...


class Runtime(RuntimeService, ImageService, Protocol):
    """A container runtime, whole."""

    async def close(self) -> None:
        """Let go of connections; sandboxes and containers go on."""
