"""A container of a pod as the runtime is asked to create it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from steersman.kubelet import records
from steersman.kubelet.expansion import expand
from steersman.kubelet.linux_resources import ResourcePolicy, container_resources
from steersman.kubelet.own_resources import NOTHING_OWN, OwnResources
from steersman.kubelet.podspec import PodContainer, spec_hash
from steersman.kubelet.runtimes.containers import ContainerConfig, ContainerMetadata, Mount, MountPropagation
from steersman.kubelet.runtimes.images import Image, ImageSpec
from steersman.kubelet.runtimes.sandboxes import UserNamespace
from steersman.kubelet.security_context import container_security_context
from steersman.meta import objects

TERMINATION_MESSAGE_LIMIT_BYTES = 4096
PROPAGATION: Mapping[str, MountPropagation] = {
    "None": "PRIVATE",
    "HostToContainer": "HOST_TO_CONTAINER",
    "Bidirectional": "BIDIRECTIONAL",
}


class ContainerInputs(Struct, frozen=True, kw_only=True):
    """What goes into a container's configuration besides its spec."""

    pod: Mapping[str, Any]
    container: PodContainer
    restart_count: int
    image_ref: str
    image: Image | None
    environment: Mapping[str, str]
    mounts: Sequence[Mount]
    own: OwnResources = NOTHING_OWN
    termination_message_path: str = ""
    """On the node; empty where the container has none."""
    policy: ResourcePolicy
    seccomp_root: str
    seccomp_default: bool = False
    target_id: str = ""
    users: UserNamespace


def container_config(inputs: ContainerInputs) -> ContainerConfig:
    """Raises ``SecurityContextError`` when the container must not run so."""
    pod, container, users, own = inputs.pod, inputs.container, inputs.users, inputs.own
    spec = container.spec
    mounts = [*own.devices.mounts, *inputs.mounts]
    variables = {**own.devices.envs, **inputs.environment}
    if inputs.termination_message_path:
        mounts.append(
            Mount(
                container_path=spec.get("terminationMessagePath") or "/dev/termination-log",
                host_path=inputs.termination_message_path,
            )
        )
    return ContainerConfig(
        metadata=ContainerMetadata(name=container.name, attempt=inputs.restart_count),
        image=ImageSpec(image=inputs.image_ref, user_specified_image=spec["image"]),
        command=tuple(expand(word, variables) for word in spec.get("command") or ()),
        args=tuple(expand(word, variables) for word in spec.get("args") or ()),
        working_dir=spec.get("workingDir") or "",
        envs=tuple(variables.items()),
        mounts=tuple(replace(mount, uid_mappings=users.uids, gid_mappings=users.gids) for mount in mounts),
        devices=own.devices.devices,
        cdi_devices=own.devices.cdi_devices,
        labels={
            records.CONTAINER_NAME: container.name,
            records.POD_NAME: objects.name(pod),
            records.POD_NAMESPACE: objects.namespace(pod),
            records.POD_UID: objects.uid(pod),
        },
        annotations=_annotations(inputs),
        log_path=f"{container.name}/{inputs.restart_count}.log",
        stdin=bool(spec.get("stdin")),
        stdin_once=bool(spec.get("stdinOnce")),
        tty=bool(spec.get("tty")),
        resources=own.placed(container_resources(pod, container, inputs.policy)),
        security_context=container_security_context(
            pod, container, image=inputs.image, target_id=inputs.target_id, seccomp_root=inputs.seccomp_root,
            seccomp_default=inputs.seccomp_default, users=users,
        ),
        stop_signal=(spec.get("lifecycle") or {}).get("stopSignal") or "",
    )  # fmt: skip


def _annotations(inputs: ContainerInputs) -> dict[str, str]:
    """What a later kubelet needs to know of the container when the pod's spec is gone (upstream's names)."""
    spec = inputs.container.spec
    annotations = {
        **inputs.own.devices.annotations,
        records.CONTAINER_HASH: spec_hash(spec),
        records.RESTART_COUNT: str(inputs.restart_count),
        records.TERMINATION_MESSAGE_PATH: spec.get("terminationMessagePath") or "/dev/termination-log",
        records.TERMINATION_MESSAGE_POLICY: spec.get("terminationMessagePolicy") or "File",
    }
    deletion = objects.metadata(inputs.pod).get("deletionGracePeriodSeconds")
    if deletion is not None:
        annotations[records.POD_DELETION_GRACE] = str(deletion)
    grace = inputs.pod["spec"].get("terminationGracePeriodSeconds")
    if grace is not None:
        annotations[records.POD_GRACE] = str(grace)
    pre_stop = (spec.get("lifecycle") or {}).get("preStop")
    if pre_stop is not None:
        annotations["io.kubernetes.container.preStopHandler"] = msgspec.json.encode(pre_stop).decode()
    if spec.get("ports"):
        annotations["io.kubernetes.container.ports"] = msgspec.json.encode(spec["ports"]).decode()
    return annotations


def mount_of(
    volume_mount: Mapping[str, Any],
    host_path: str,
    *,
    volume_read_only: bool,
    recursive_read_only: bool,
    image: ImageSpec | None = None,
    image_sub_path: str = "",
) -> Mount:
    """One of the container's volumeMounts, whose volume (and subPath) is at ``host_path``, or is ``image``.

    ``recursive_read_only``: the runtime can. Raises ``ValueError`` where the mount demands it and it cannot.
    """
    wanted = volume_mount.get("recursiveReadOnly") or "Disabled"
    read_only = bool(volume_mount.get("readOnly"))
    if wanted == "Enabled" and not recursive_read_only:
        raise ValueError("failed to resolve recursive read-only mode: not supported by the runtime")
    path = volume_mount["mountPath"]
    return Mount(
        container_path=path if path.startswith("/") else f"/{path}",
        host_path=host_path,
        readonly=read_only or volume_read_only,
        recursive_read_only=read_only and wanted in ("Enabled", "IfPossible") and recursive_read_only,
        propagation=PROPAGATION[volume_mount.get("mountPropagation") or "None"],
        image=image,
        image_sub_path=image_sub_path,
    )


def wants_mount_at(container: Mapping[str, Any], path: str) -> bool:
    """One of the container's own volumeMounts covers ``path``."""
    mounts: Iterable[Mapping[str, Any]] = container.get("volumeMounts") or ()
    return any(mount["mountPath"] == path for mount in mounts)
