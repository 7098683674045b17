"""Containers as CRI v1 has them: what a kubelet asks for and what a runtime reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from steersman.kubelet.runtimes.images import ImageSpec
from steersman.kubelet.runtimes.sandboxes import (
    IDMapping,
    LinuxResources,
    NamespaceOption,
    PodSandboxStatus,
    SecurityProfile,
    SELinuxOption,
    SupplementalGroupsPolicy,
)

ContainerState = Literal["CREATED", "RUNNING", "EXITED", "UNKNOWN"]
MountPropagation = Literal["PRIVATE", "HOST_TO_CONTAINER", "BIDIRECTIONAL"]
ContainerEventType = Literal["CREATED", "STARTED", "STOPPED", "DELETED"]


class ContainerMetadata(Struct, frozen=True, kw_only=True):
    """Unique in a sandbox; ``attempt`` counts restarts from 0."""

    name: str
    attempt: int = 0


class Mount(Struct, frozen=True, kw_only=True):
    """A path of the node, or of an image, inside the container."""

    container_path: str
    host_path: str = ""
    readonly: bool = False
    recursive_read_only: bool = False
    selinux_relabel: bool = False
    propagation: MountPropagation = "PRIVATE"
    uid_mappings: tuple[IDMapping, ...] = ()
    gid_mappings: tuple[IDMapping, ...] = ()
    image: ImageSpec | None = None
    """An image volume; ``host_path`` is then empty."""
    image_sub_path: str = ""


class Device(Struct, frozen=True, kw_only=True):
    container_path: str
    host_path: str
    permissions: str = "rwm"


class Capabilities(Struct, frozen=True, kw_only=True):
    """Names without ``CAP_``; ``ALL`` is understood."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    add_ambient: tuple[str, ...] = ()


class ContainerSecurityContext(Struct, frozen=True, kw_only=True):
    capabilities: Capabilities | None = None
    privileged: bool = False
    namespaces: NamespaceOption = field(default_factory=NamespaceOption)
    selinux: SELinuxOption | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_username: str = ""
    readonly_rootfs: bool = False
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: SupplementalGroupsPolicy = "Merge"
    no_new_privs: bool = False
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    seccomp: SecurityProfile | None = None
    apparmor: SecurityProfile | None = None


class ContainerConfig(Struct, frozen=True, kw_only=True):
    metadata: ContainerMetadata
    image: ImageSpec
    """``image`` is the id or reference that ``pull_image`` or ``image_status`` gave."""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    envs: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    cdi_devices: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    log_path: str = ""
    """Relative to the sandbox's ``log_directory``."""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    resources: LinuxResources | None = None
    security_context: ContainerSecurityContext = ContainerSecurityContext()
    stop_signal: str = ""
    """``SIGTERM``, ``SIGRTMIN+3`` …; empty: the image's, else the runtime's default."""


class Container(Struct, frozen=True, kw_only=True):
    """One row of a list."""

    id: str
    sandbox_id: str
    metadata: ContainerMetadata
    image: ImageSpec
    image_ref: str
    state: ContainerState
    created_at_ns: int
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    image_id: str = ""


class ContainerUser(Struct, frozen=True, kw_only=True):
    uid: int
    gid: int
    supplemental_groups: tuple[int, ...] = ()


class ContainerStatus(Struct, frozen=True, kw_only=True):
    id: str
    metadata: ContainerMetadata
    state: ContainerState
    created_at_ns: int
    started_at_ns: int = 0
    """0: not started yet."""
    finished_at_ns: int = 0
    """0: not finished yet."""
    exit_code: int = 0
    image: ImageSpec
    image_ref: str = ""
    """The image by digest where one is known."""
    image_id: str = ""
    reason: str = ""
    """``Completed``, ``Error``, ``OOMKilled``, ``ContainerCannotRun``, ``StartError`` as runtimes name it."""
    message: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    log_path: str = ""
    """Absolute."""
    resources: LinuxResources | None = None
    """What the runtime has set, where it says so."""
    user: ContainerUser | None = None
    stop_signal: str = ""
    info: Mapping[str, str] = field(default_factory=dict)
    """Verbose only."""


class ContainerFilter(Struct, frozen=True, kw_only=True):
    """Everything that is set has to match."""

    id: str = ""
    state: ContainerState | None = None
    sandbox_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


class ContainerEvent(Struct, frozen=True, kw_only=True):
    """Something happened to a container, with the state of its whole pod at that moment."""

    container_id: str
    type: ContainerEventType
    created_at_ns: int
    sandbox: PodSandboxStatus | None = None
    containers: tuple[ContainerStatus, ...] = ()


class ExecResult(Struct, frozen=True, kw_only=True):
    stdout: bytes
    stderr: bytes
    exit_code: int
