"""CRI messages as the kubelet's values: everything that a runtime reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from steersman.kubelet.runtimes.api import RuntimeCondition, RuntimeHandler, RuntimeStatus
from steersman.kubelet.runtimes.containers import (
    Container,
    ContainerEvent,
    ContainerEventType,
    ContainerMetadata,
    ContainerState,
    ContainerStatus,
    ContainerUser,
    Mount,
    MountPropagation,
)
from steersman.kubelet.runtimes.criv1 import cri_pb2 as pb
from steersman.kubelet.runtimes.images import FilesystemUsage, Image, ImageFsInfo, ImageSpec
from steersman.kubelet.runtimes.sandboxes import (
    HugepageLimit,
    IDMapping,
    LinuxResources,
    NamespaceMode,
    NamespaceOption,
    PodSandbox,
    PodSandboxMetadata,
    PodSandboxStatus,
    SandboxState,
    UserNamespace,
)
from steersman.kubelet.runtimes.stats import (
    ContainerStats,
    CPUUsage,
    InterfaceUsage,
    MemoryUsage,
    NetworkUsage,
    PodSandboxStats,
    SwapUsage,
)


def runtime_status(response: pb.StatusResponse) -> RuntimeStatus:
    return RuntimeStatus(
        conditions=tuple(
            RuntimeCondition(
                type=condition.type, status=condition.status, reason=condition.reason, message=condition.message
            )
            for condition in response.status.conditions
        ),
        handlers=tuple(
            RuntimeHandler(
                name=handler.name,
                recursive_read_only_mounts=handler.features.recursive_read_only_mounts,
                user_namespaces=handler.features.user_namespaces,
            )
            for handler in response.runtime_handlers
        ),
        supplemental_groups_policy=response.features.supplemental_groups_policy,
        info=dict(response.info),
    )


def sandbox(row: pb.PodSandbox) -> PodSandbox:
    return PodSandbox(
        id=row.id,
        metadata=_sandbox_metadata(row.metadata),
        state=_sandbox_state(row.state),
        created_at_ns=row.created_at,
        labels=dict(row.labels),
        annotations=dict(row.annotations),
        runtime_handler=row.runtime_handler,
    )


def sandbox_status(status: pb.SandboxStatus, info: Mapping[str, str]) -> PodSandboxStatus:
    ips = (status.network.ip, *(address.ip for address in status.network.additional_ips))
    return PodSandboxStatus(
        id=status.id,
        metadata=_sandbox_metadata(status.metadata),
        state=_sandbox_state(status.state),
        created_at_ns=status.created_at,
        ips=tuple(ip for ip in ips if ip),
        namespaces=_namespaces(status.linux.namespaces.options),
        labels=dict(status.labels),
        annotations=dict(status.annotations),
        runtime_handler=status.runtime_handler,
        info=dict(info),
    )


def container(row: pb.Container) -> Container:
    return Container(
        id=row.id,
        sandbox_id=row.pod_sandbox_id,
        metadata=_container_metadata(row.metadata),
        image=image_spec(row.image),
        image_ref=row.image_ref,
        state=_container_state(row.state),
        created_at_ns=row.created_at,
        labels=dict(row.labels),
        annotations=dict(row.annotations),
        image_id=row.image_id,
    )


def container_status(status: pb.ContainerStatus, info: Mapping[str, str]) -> ContainerStatus:
    user = status.user.linux if status.user.HasField("linux") else None
    return ContainerStatus(
        id=status.id,
        metadata=_container_metadata(status.metadata),
        state=_container_state(status.state),
        created_at_ns=status.created_at,
        started_at_ns=status.started_at,
        finished_at_ns=status.finished_at,
        exit_code=status.exit_code,
        image=image_spec(status.image),
        image_ref=status.image_ref,
        image_id=status.image_id,
        reason=status.reason,
        message=status.message,
        labels=dict(status.labels),
        annotations=dict(status.annotations),
        mounts=tuple(_mount(mount) for mount in status.mounts),
        log_path=status.log_path,
        resources=resources(status.resources.linux) if status.resources.HasField("linux") else None,
        user=ContainerUser(uid=user.uid, gid=user.gid, supplemental_groups=tuple(user.supplemental_groups))
        if user
        else None,
        stop_signal=_signal_name(status.stop_signal),
        info=dict(info),
    )


def container_event(event: pb.ContainerEvent) -> ContainerEvent:
    name = pb.ContainerEventType.Name(event.container_event_type)
    return ContainerEvent(
        container_id=event.container_id,
        type=cast(ContainerEventType, name.removeprefix("CONTAINER_").removesuffix("_EVENT")),
        created_at_ns=event.created_at,
        sandbox=sandbox_status(event.pod_sandbox_status, {}) if event.HasField("pod_sandbox_status") else None,
        containers=tuple(container_status(status, {}) for status in event.containers_statuses),
    )


def resources(message: pb.LinuxContainerResources) -> LinuxResources:
    return LinuxResources(
        cpu_period=message.cpu_period,
        cpu_quota=message.cpu_quota,
        cpu_shares=message.cpu_shares,
        memory_limit_bytes=message.memory_limit_in_bytes,
        memory_swap_limit_bytes=message.memory_swap_limit_in_bytes,
        oom_score_adj=message.oom_score_adj,
        cpuset_cpus=message.cpuset_cpus,
        cpuset_mems=message.cpuset_mems,
        hugepage_limits=tuple(
            HugepageLimit(page_size=limit.page_size, limit_bytes=limit.limit) for limit in message.hugepage_limits
        ),
        unified=dict(message.unified),
    )


def image_spec(spec: pb.ImageSpec) -> ImageSpec:
    return ImageSpec(
        image=spec.image,
        annotations=dict(spec.annotations),
        user_specified_image=spec.user_specified_image,
        runtime_handler=spec.runtime_handler,
        image_ref=spec.image_ref,
    )


def image(message: pb.Image) -> Image:
    return Image(
        id=message.id,
        repo_tags=tuple(message.repo_tags),
        repo_digests=tuple(message.repo_digests),
        size_bytes=message.size,
        uid=message.uid.value if message.HasField("uid") else None,
        username=message.username,
        spec=image_spec(message.spec) if message.HasField("spec") else None,
        pinned=message.pinned,
    )


def image_fs_info(response: pb.ImageFsInfoResponse) -> ImageFsInfo:
    return ImageFsInfo(
        image_filesystems=tuple(_filesystem(usage) for usage in response.image_filesystems),
        container_filesystems=tuple(_filesystem(usage) for usage in response.container_filesystems),
    )


def container_stats(stats: pb.ContainerStats) -> ContainerStats:
    attributes = stats.attributes
    return ContainerStats(
        id=attributes.id,
        metadata=_container_metadata(attributes.metadata),
        labels=dict(attributes.labels),
        annotations=dict(attributes.annotations),
        cpu=_cpu(stats.cpu) if stats.HasField("cpu") else None,
        memory=_memory(stats.memory) if stats.HasField("memory") else None,
        swap=SwapUsage(
            timestamp_ns=stats.swap.timestamp,
            available_bytes=_value(stats.swap, "swap_available_bytes"),
            usage_bytes=_value(stats.swap, "swap_usage_bytes"),
        )
        if stats.HasField("swap")
        else None,
        writable_layer=_filesystem(stats.writable_layer) if stats.HasField("writable_layer") else None,
    )


def sandbox_stats(stats: pb.PodSandboxStats) -> PodSandboxStats:
    attributes, linux = stats.attributes, stats.linux
    return PodSandboxStats(
        id=attributes.id,
        metadata=_sandbox_metadata(attributes.metadata),
        labels=dict(attributes.labels),
        annotations=dict(attributes.annotations),
        cpu=_cpu(linux.cpu) if linux.HasField("cpu") else None,
        memory=_memory(linux.memory) if linux.HasField("memory") else None,
        network=_network(linux.network) if linux.HasField("network") else None,
        process_count=_value(linux.process, "process_count") if linux.HasField("process") else None,
        containers=tuple(container_stats(entry) for entry in linux.containers),
    )


def _sandbox_metadata(metadata: pb.PodSandboxMetadata) -> PodSandboxMetadata:
    return PodSandboxMetadata(
        name=metadata.name, uid=metadata.uid, namespace=metadata.namespace, attempt=metadata.attempt
    )


def _container_metadata(metadata: pb.ContainerMetadata) -> ContainerMetadata:
    return ContainerMetadata(name=metadata.name, attempt=metadata.attempt)


def _sandbox_state(state: pb.PodSandboxState) -> SandboxState:
    return cast(SandboxState, pb.PodSandboxState.Name(state).removeprefix("SANDBOX_"))


def _container_state(state: pb.ContainerState) -> ContainerState:
    return cast(ContainerState, pb.ContainerState.Name(state).removeprefix("CONTAINER_"))


def _mode(mode: pb.NamespaceMode) -> NamespaceMode:
    return cast(NamespaceMode, pb.NamespaceMode.Name(mode))


def _namespaces(option: pb.NamespaceOption) -> NamespaceOption:
    user = option.userns_options if option.HasField("userns_options") else None
    return NamespaceOption(
        network=_mode(option.network),
        pid=_mode(option.pid),
        ipc=_mode(option.ipc),
        target_id=option.target_id,
        user=UserNamespace(mode=_mode(user.mode), uids=_mappings(user.uids), gids=_mappings(user.gids))
        if user
        else None,
    )


def _mount(mount: pb.Mount) -> Mount:
    propagation = pb.MountPropagation.Name(mount.propagation).removeprefix("PROPAGATION_")
    return Mount(
        container_path=mount.container_path,
        host_path=mount.host_path,
        readonly=mount.readonly,
        recursive_read_only=mount.recursive_read_only,
        selinux_relabel=mount.selinux_relabel,
        propagation=cast(MountPropagation, propagation),
        uid_mappings=_mappings(mount.uid_mappings),
        gid_mappings=_mappings(mount.gid_mappings),
        image=image_spec(mount.image) if mount.HasField("image") else None,
        image_sub_path=mount.image_sub_path,
    )


def _mappings(mappings: Iterable[pb.IDMapping]) -> tuple[IDMapping, ...]:
    return tuple(
        IDMapping(host_id=mapping.host_id, container_id=mapping.container_id, length=mapping.length)
        for mapping in mappings
    )


def _signal_name(signal: pb.Signal) -> str:
    name = pb.Signal.Name(signal)
    return "" if name == "RUNTIME_DEFAULT" else name.replace("PLUS", "+").replace("MINUS", "-")


def _filesystem(usage: pb.FilesystemUsage) -> FilesystemUsage:
    return FilesystemUsage(
        timestamp_ns=usage.timestamp,
        mountpoint=usage.fs_id.mountpoint,
        used_bytes=usage.used_bytes.value,
        inodes_used=usage.inodes_used.value,
    )


def _cpu(usage: pb.CpuUsage) -> CPUUsage:
    return CPUUsage(
        timestamp_ns=usage.timestamp,
        usage_core_nano_seconds=_value(usage, "usage_core_nano_seconds"),
        usage_nano_cores=_value(usage, "usage_nano_cores"),
    )


def _memory(usage: pb.MemoryUsage) -> MemoryUsage:
    return MemoryUsage(
        timestamp_ns=usage.timestamp,
        working_set_bytes=_value(usage, "working_set_bytes"),
        available_bytes=_value(usage, "available_bytes"),
        usage_bytes=_value(usage, "usage_bytes"),
        rss_bytes=_value(usage, "rss_bytes"),
        page_faults=_value(usage, "page_faults"),
        major_page_faults=_value(usage, "major_page_faults"),
    )


def _network(usage: pb.NetworkUsage) -> NetworkUsage:
    return NetworkUsage(
        timestamp_ns=usage.timestamp,
        default_interface=_interface(usage.default_interface) if usage.HasField("default_interface") else None,
        interfaces=tuple(_interface(interface) for interface in usage.interfaces),
    )


def _interface(usage: pb.NetworkInterfaceUsage) -> InterfaceUsage:
    return InterfaceUsage(
        name=usage.name,
        rx_bytes=_value(usage, "rx_bytes"),
        rx_errors=_value(usage, "rx_errors"),
        tx_bytes=_value(usage, "tx_bytes"),
        tx_errors=_value(usage, "tx_errors"),
    )


def _value(message: Any, field: str) -> int | None:
    """A wrapped number that may be absent."""
    return int(getattr(message, field).value) if message.HasField(field) else None
