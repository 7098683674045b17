"""Security contexts: a container's own over its pod's, as the runtime takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from steersman.kubelet import apparmor
from steersman.kubelet.podspec import PodContainer, containers, full_name
from steersman.kubelet.runtimes.containers import Capabilities, ContainerSecurityContext
from steersman.kubelet.runtimes.images import Image
from steersman.kubelet.runtimes.sandboxes import (
    NamespaceMode,
    NamespaceOption,
    SandboxSecurityContext,
    SecurityProfile,
    SELinuxOption,
    UserNamespace,
)
from steersman.meta import objects

MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_INHERITED = ("runAsUser", "runAsGroup", "runAsNonRoot", "seLinuxOptions", "seccompProfile", "appArmorProfile")


class SecurityContextError(Exception):
    """The container must not or cannot run as its pod says; the message is upstream's where it has one."""


def effective(pod: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, Any]:
    """The container's security context with what it inherits from the pod's."""
    shared = pod["spec"].get("securityContext") or {}
    inherited = {name: shared[name] for name in _INHERITED if shared.get(name) is not None}
    own = container.get("securityContext") or {}
    annotated = objects.annotations(pod).get(f"{apparmor.ANNOTATION}{container.get('name')}")
    if annotated is not None:
        inherited["appArmorProfile"] = apparmor.profile_of_annotation(annotated)
    return {**inherited, **{name: value for name, value in own.items() if value is not None}}


def namespaces(pod: Mapping[str, Any], users: UserNamespace) -> NamespaceOption:
    """Whose network, process, IPC and user namespaces the pod's containers use."""
    spec = pod["spec"]
    pid: NamespaceMode = "NODE" if spec.get("hostPID") else "POD" if spec.get("shareProcessNamespace") else "CONTAINER"
    return NamespaceOption(
        network="NODE" if spec.get("hostNetwork") else "POD",
        pid=pid,
        ipc="NODE" if spec.get("hostIPC") else "POD",
        user=users,
    )


def supplemental_groups(pod: Mapping[str, Any]) -> tuple[int, ...]:
    """The pod's fsGroup and supplemental groups."""
    shared = pod["spec"].get("securityContext") or {}
    own = [shared["fsGroup"]] if shared.get("fsGroup") is not None else []
    return (*own, *(shared.get("supplementalGroups") or ()))


def has_privileged_container(pod: Mapping[str, Any]) -> bool:
    return any((item.spec.get("securityContext") or {}).get("privileged") for item in containers(pod))


def sandbox_security_context(pod: Mapping[str, Any], users: UserNamespace) -> SandboxSecurityContext:
    shared = pod["spec"].get("securityContext") or {}
    return SandboxSecurityContext(
        namespaces=namespaces(pod, users),
        selinux=_selinux(shared.get("seLinuxOptions")),
        run_as_user=shared.get("runAsUser"),
        run_as_group=shared.get("runAsGroup"),
        supplemental_groups=supplemental_groups(pod),
        supplemental_groups_policy=shared.get("supplementalGroupsPolicy") or "Merge",
        privileged=has_privileged_container(pod),
        seccomp=SecurityProfile(type="RuntimeDefault"),
    )


def container_security_context(
    pod: Mapping[str, Any],
    container: PodContainer,
    *,
    image: Image | None,
    users: UserNamespace,
    target_id: str = "",
    seccomp_root: str,
    seccomp_default: bool = False,
) -> ContainerSecurityContext:
    """What the container runs as. ``target_id``: the container whose process namespace an ephemeral one joins.

    Raises ``SecurityContextError`` when it would break ``runAsNonRoot`` or asks for what this kubelet does not have.
    """
    context = effective(pod, container.spec)
    _check_non_root(pod, container, context, image)
    shared = namespaces(pod, users)
    if target_id and shared.pid == "CONTAINER":
        shared = replace(shared, pid="TARGET", target_id=target_id)
    user = context.get("runAsUser")
    username = ""
    if user is None and image is not None:
        user = image.uid
        username = image.username if user is None else ""
    unmasked = context.get("procMount") == "Unmasked"
    pod_context = pod["spec"].get("securityContext") or {}
    return ContainerSecurityContext(
        capabilities=_capabilities(context.get("capabilities")),
        privileged=bool(context.get("privileged")),
        namespaces=shared,
        selinux=_selinux(context.get("seLinuxOptions")),
        run_as_user=user,
        run_as_group=context.get("runAsGroup"),
        run_as_username=username,
        readonly_rootfs=bool(context.get("readOnlyRootFilesystem")),
        supplemental_groups=supplemental_groups(pod),
        supplemental_groups_policy=pod_context.get("supplementalGroupsPolicy") or "Merge",
        no_new_privs=context.get("allowPrivilegeEscalation") is False,
        masked_paths=() if unmasked else MASKED_PATHS,
        readonly_paths=() if unmasked else READONLY_PATHS,
        seccomp=_seccomp(context, seccomp_root, seccomp_default),
        apparmor=_apparmor(context.get("appArmorProfile")),
    )


def _check_non_root(
    pod: Mapping[str, Any], container: PodContainer, context: Mapping[str, Any], image: Image | None
) -> None:
    if not context.get("runAsNonRoot"):
        return
    where = f'(pod: "{full_name(pod)}", container: {container.name})'
    user = context.get("runAsUser")
    if user is not None:
        if user == 0:
            raise SecurityContextError(f"container's runAsUser breaks non-root policy {where}")
        return
    if image is None:
        return
    if image.uid is None and image.username:
        raise SecurityContextError(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), cannot verify user is"
            f" non-root {where}"
        )
    if not image.uid:
        raise SecurityContextError(f"container has runAsNonRoot and image will run as root {where}")


def _capabilities(entry: Mapping[str, Any] | None) -> Capabilities | None:
    if entry is None:
        return None
    return Capabilities(add=tuple(entry.get("add") or ()), drop=tuple(entry.get("drop") or ()))


def _selinux(entry: Mapping[str, Any] | None) -> SELinuxOption | None:
    if entry is None:
        return None
    return SELinuxOption(
        user=entry.get("user") or "", role=entry.get("role") or "", type=entry.get("type") or "",
        level=entry.get("level") or "",
    )  # fmt: skip


def _seccomp(context: Mapping[str, Any], root: str, default: bool) -> SecurityProfile:
    profile = context.get("seccompProfile")
    if context.get("privileged"):
        return SecurityProfile(type="Unconfined")
    if profile is None:
        return SecurityProfile(type="RuntimeDefault" if default else "Unconfined")
    match profile["type"]:
        case "Localhost":
            return SecurityProfile(type="Localhost", localhost_ref=f"{root}/{profile.get('localhostProfile') or ''}")
        case "RuntimeDefault":
            return SecurityProfile(type="RuntimeDefault")
        case "Unconfined":
            return SecurityProfile(type="Unconfined")
        case other:
            raise SecurityContextError(f"unsupported seccompProfile type: {other}")


def _apparmor(profile: Mapping[str, Any] | None) -> SecurityProfile | None:
    if profile is None:
        return None
    match profile["type"]:
        case "Localhost":
            return SecurityProfile(type="Localhost", localhost_ref=profile.get("localhostProfile") or "")
        case "RuntimeDefault":
            return SecurityProfile(type="RuntimeDefault")
        case "Unconfined":
            return SecurityProfile(type="Unconfined")
        case other:
            raise SecurityContextError(f"unsupported appArmorProfile type: {other}")
