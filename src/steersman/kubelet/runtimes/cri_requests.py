"""The kubelet's values as CRI messages: everything that is sent to a runtime."""

from __future__ import annotations

from collections.abc import Iterable

from steersman.kubelet.runtimes.containers import (
    ContainerConfig,
    ContainerFilter,
    ContainerSecurityContext,
    Mount,
)
from steersman.kubelet.runtimes.criv1 import cri_pb2 as pb
from steersman.kubelet.runtimes.images import AuthConfig, ImageSpec
from steersman.kubelet.runtimes.sandboxes import (
    IDMapping,
    LinuxResources,
    NamespaceOption,
    PodSandboxConfig,
    PodSandboxFilter,
    PodSandboxMetadata,
    SandboxSecurityContext,
    SecurityProfile,
    SELinuxOption,
)
from steersman.kubelet.runtimes.stats import StatsFilter


def sandbox_config(config: PodSandboxConfig) -> pb.PodSandboxConfig:
    dns = config.dns
    return pb.PodSandboxConfig(
        metadata=_sandbox_metadata(config.metadata),
        hostname=config.hostname,
        log_directory=config.log_directory,
        dns_config=pb.DNSConfig(servers=dns.servers, searches=dns.searches, options=dns.options) if dns else None,
        port_mappings=[
            pb.PortMapping(
                protocol=port.protocol,
                container_port=port.container_port,
                host_port=port.host_port,
                host_ip=port.host_ip,
            )
            for port in config.port_mappings
        ],
        labels=config.labels,
        annotations=config.annotations,
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent=config.cgroup_parent,
            security_context=_sandbox_security(config.security_context),
            sysctls=config.sysctls,
            overhead=resources(config.overhead) if config.overhead else None,
            resources=resources(config.resources) if config.resources else None,
        ),
    )


def container_config(config: ContainerConfig) -> pb.ContainerConfig:
    return pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=config.metadata.name, attempt=config.metadata.attempt),
        image=image_spec(config.image),
        command=config.command,
        args=config.args,
        working_dir=config.working_dir,
        envs=[pb.KeyValue(key=name, value=value) for name, value in config.envs],
        mounts=[_mount(mount) for mount in config.mounts],
        devices=[
            pb.Device(container_path=device.container_path, host_path=device.host_path, permissions=device.permissions)
            for device in config.devices
        ],
        cdi_devices=[pb.CDIDevice(name=name) for name in config.cdi_devices],
        labels=config.labels,
        annotations=config.annotations,
        log_path=config.log_path,
        stdin=config.stdin,
        stdin_once=config.stdin_once,
        tty=config.tty,
        linux=pb.LinuxContainerConfig(
            resources=resources(config.resources) if config.resources else None,
            security_context=_container_security(config.security_context),
        ),
        stop_signal=_signal_name(config.stop_signal),
    )


def resources(values: LinuxResources) -> pb.LinuxContainerResources:
    return pb.LinuxContainerResources(
        cpu_period=values.cpu_period,
        cpu_quota=values.cpu_quota,
        cpu_shares=values.cpu_shares,
        memory_limit_in_bytes=values.memory_limit_bytes,
        memory_swap_limit_in_bytes=values.memory_swap_limit_bytes,
        oom_score_adj=values.oom_score_adj,
        cpuset_cpus=values.cpuset_cpus,
        cpuset_mems=values.cpuset_mems,
        hugepage_limits=[
            pb.HugepageLimit(page_size=limit.page_size, limit=limit.limit_bytes) for limit in values.hugepage_limits
        ],
        unified=values.unified,
    )


def image_spec(spec: ImageSpec) -> pb.ImageSpec:
    return pb.ImageSpec(
        image=spec.image,
        annotations=spec.annotations,
        user_specified_image=spec.user_specified_image,
        runtime_handler=spec.runtime_handler,
        image_ref=spec.image_ref,
    )


def auth_config(auth: AuthConfig) -> pb.AuthConfig:
    return pb.AuthConfig(
        username=auth.username,
        password=auth.password,
        auth=auth.auth,
        server_address=auth.server_address,
        identity_token=auth.identity_token,
        registry_token=auth.registry_token,
    )


def sandbox_filter(filter: PodSandboxFilter) -> pb.PodSandboxFilter:
    state = None
    if filter.state is not None:
        state = pb.PodSandboxStateValue(state=f"SANDBOX_{filter.state}")
    return pb.PodSandboxFilter(id=filter.id, state=state, label_selector=filter.labels)


def container_filter(filter: ContainerFilter) -> pb.ContainerFilter:
    state = None
    if filter.state is not None:
        state = pb.ContainerStateValue(state=f"CONTAINER_{filter.state}")
    return pb.ContainerFilter(id=filter.id, state=state, pod_sandbox_id=filter.sandbox_id, label_selector=filter.labels)


def container_stats_filter(filter: StatsFilter) -> pb.ContainerStatsFilter:
    return pb.ContainerStatsFilter(id=filter.id, pod_sandbox_id=filter.sandbox_id, label_selector=filter.labels)


def sandbox_stats_filter(filter: StatsFilter) -> pb.PodSandboxStatsFilter:
    return pb.PodSandboxStatsFilter(id=filter.id, label_selector=filter.labels)


def _sandbox_metadata(metadata: PodSandboxMetadata) -> pb.PodSandboxMetadata:
    return pb.PodSandboxMetadata(
        name=metadata.name, uid=metadata.uid, namespace=metadata.namespace, attempt=metadata.attempt
    )


def _sandbox_security(context: SandboxSecurityContext) -> pb.LinuxSandboxSecurityContext:
    return pb.LinuxSandboxSecurityContext(
        namespace_options=_namespaces(context.namespaces),
        selinux_options=_selinux(context.selinux),
        run_as_user=_int64(context.run_as_user),
        run_as_group=_int64(context.run_as_group),
        readonly_rootfs=context.readonly_rootfs,
        supplemental_groups=context.supplemental_groups,
        supplemental_groups_policy=context.supplemental_groups_policy,
        privileged=context.privileged,
        seccomp=_profile(context.seccomp),
        apparmor=_profile(context.apparmor),
    )


def _container_security(context: ContainerSecurityContext) -> pb.LinuxContainerSecurityContext:
    capabilities = context.capabilities
    return pb.LinuxContainerSecurityContext(
        capabilities=pb.Capability(
            add_capabilities=capabilities.add,
            drop_capabilities=capabilities.drop,
            add_ambient_capabilities=capabilities.add_ambient,
        )
        if capabilities
        else None,
        privileged=context.privileged,
        namespace_options=_namespaces(context.namespaces),
        selinux_options=_selinux(context.selinux),
        run_as_user=_int64(context.run_as_user),
        run_as_group=_int64(context.run_as_group),
        run_as_username=context.run_as_username,
        readonly_rootfs=context.readonly_rootfs,
        supplemental_groups=context.supplemental_groups,
        supplemental_groups_policy=context.supplemental_groups_policy,
        no_new_privs=context.no_new_privs,
        masked_paths=context.masked_paths,
        readonly_paths=context.readonly_paths,
        seccomp=_profile(context.seccomp),
        apparmor=_profile(context.apparmor),
    )


def _namespaces(option: NamespaceOption) -> pb.NamespaceOption:
    user = option.user
    return pb.NamespaceOption(
        network=option.network,
        pid=option.pid,
        ipc=option.ipc,
        target_id=option.target_id,
        userns_options=pb.UserNamespace(mode=user.mode, uids=_mappings(user.uids), gids=_mappings(user.gids))
        if user
        else None,
    )


def _mount(mount: Mount) -> pb.Mount:
    return pb.Mount(
        container_path=mount.container_path,
        host_path=mount.host_path,
        readonly=mount.readonly,
        recursive_read_only=mount.recursive_read_only,
        selinux_relabel=mount.selinux_relabel,
        propagation=f"PROPAGATION_{mount.propagation}",
        uid_mappings=_mappings(mount.uid_mappings),
        gid_mappings=_mappings(mount.gid_mappings),
        image=image_spec(mount.image) if mount.image else None,
        image_sub_path=mount.image_sub_path,
    )


def _mappings(mappings: Iterable[IDMapping]) -> list[pb.IDMapping]:
    return [
        pb.IDMapping(host_id=mapping.host_id, container_id=mapping.container_id, length=mapping.length)
        for mapping in mappings
    ]


def _selinux(option: SELinuxOption | None) -> pb.SELinuxOption | None:
    if option is None:
        return None
    return pb.SELinuxOption(user=option.user, role=option.role, type=option.type, level=option.level)


def _profile(profile: SecurityProfile | None) -> pb.SecurityProfile | None:
    if profile is None:
        return None
    return pb.SecurityProfile(profile_type=profile.type, localhost_ref=profile.localhost_ref)


def _int64(value: int | None) -> pb.Int64Value | None:
    return None if value is None else pb.Int64Value(value=value)


def _signal_name(signal: str) -> str:
    """``SIGRTMIN+3`` is ``SIGRTMINPLUS3`` in CRI."""
    return signal.replace("+", "PLUS").replace("-", "MINUS") or "RUNTIME_DEFAULT"
