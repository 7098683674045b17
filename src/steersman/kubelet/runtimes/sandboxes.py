"""Pod sandboxes as CRI v1 has them: what a kubelet asks for and what a runtime reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

NamespaceMode = Literal["POD", "CONTAINER", "NODE", "TARGET"]
"""Whose namespace: shared in the pod, the container's own, the node's, or that of ``target_id``'s container."""
SandboxState = Literal["READY", "NOTREADY"]
PortProtocol = Literal["TCP", "UDP", "SCTP"]
SupplementalGroupsPolicy = Literal["Merge", "Strict"]


class DNSConfig(Struct, frozen=True, kw_only=True):
    """The sandbox's resolv.conf. As a whole None means: the node's own."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class PortMapping(Struct, frozen=True, kw_only=True):
    """A container port that the runtime's network plugin makes reachable on the node (``hostPort``)."""

    protocol: PortProtocol = "TCP"
    container_port: int
    host_port: int = 0
    host_ip: str = ""


class IDMapping(Struct, frozen=True, kw_only=True):
    host_id: int
    container_id: int
    length: int


class UserNamespace(Struct, frozen=True, kw_only=True):
    mode: NamespaceMode = "NODE"
    uids: tuple[IDMapping, ...] = ()
    gids: tuple[IDMapping, ...] = ()


class NamespaceOption(Struct, frozen=True, kw_only=True):
    """Which namespaces are whose. CRI's zero values: everything shared in the pod."""

    network: NamespaceMode = "POD"
    pid: NamespaceMode = "POD"
    ipc: NamespaceMode = "POD"
    target_id: str = ""
    """With ``pid="TARGET"``: the container whose process namespace is joined (ephemeral containers)."""
    user: UserNamespace | None = None


class SELinuxOption(Struct, frozen=True, kw_only=True):
    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class SecurityProfile(Struct, frozen=True, kw_only=True):
    """A seccomp or AppArmor profile; ``localhost_ref`` names it for ``Localhost``."""

    type: Literal["RuntimeDefault", "Unconfined", "Localhost"] = "RuntimeDefault"
    localhost_ref: str = ""


class HugepageLimit(Struct, frozen=True, kw_only=True):
    page_size: str
    """As in the cgroup's file name: ``2MB``, ``1GB``."""
    limit_bytes: int


class LinuxResources(Struct, frozen=True, kw_only=True):
    """What a container's or sandbox's cgroup is set to. Zero and empty mean: not set."""

    cpu_period: int = 0
    """Microseconds."""
    cpu_quota: int = 0
    """Microseconds a period; -1 for no limit."""
    cpu_shares: int = 0
    memory_limit_bytes: int = 0
    memory_swap_limit_bytes: int = 0
    oom_score_adj: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    unified: Mapping[str, str] = field(default_factory=dict)
    """cgroup v2 files and their values."""


class SandboxSecurityContext(Struct, frozen=True, kw_only=True):
    namespaces: NamespaceOption = NamespaceOption()
    selinux: SELinuxOption | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    readonly_rootfs: bool = False
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: SupplementalGroupsPolicy = "Merge"
    privileged: bool = False
    seccomp: SecurityProfile | None = None
    apparmor: SecurityProfile | None = None


class PodSandboxMetadata(Struct, frozen=True, kw_only=True):
    """Together unique in a runtime."""

    name: str
    uid: str
    namespace: str
    attempt: int = 0


class PodSandboxConfig(Struct, frozen=True, kw_only=True):
    metadata: PodSandboxMetadata
    hostname: str = ""
    """Empty with the node's network."""
    log_directory: str = ""
    dns: DNSConfig | None = None
    port_mappings: tuple[PortMapping, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    cgroup_parent: str = ""
    security_context: SandboxSecurityContext = SandboxSecurityContext()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    overhead: LinuxResources | None = None
    resources: LinuxResources | None = None
    """The sum over the pod's containers."""


class PodSandbox(Struct, frozen=True, kw_only=True):
    """One row of a list."""

    id: str
    metadata: PodSandboxMetadata
    state: SandboxState
    created_at_ns: int
    """Since the Unix epoch."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    runtime_handler: str = ""


class PodSandboxStatus(Struct, frozen=True, kw_only=True):
    id: str
    metadata: PodSandboxMetadata
    state: SandboxState
    created_at_ns: int
    ips: tuple[str, ...] = ()
    """The pod's addresses, the primary first; empty with the node's network and when the sandbox is not ready."""
    namespaces: NamespaceOption = NamespaceOption()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    runtime_handler: str = ""
    info: Mapping[str, str] = field(default_factory=dict)
    """Verbose only: what the runtime says beyond CRI, JSON by topic."""


class PodSandboxFilter(Struct, frozen=True, kw_only=True):
    """Everything that is set has to match."""

    id: str = ""
    state: SandboxState | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
