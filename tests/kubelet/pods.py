"""Builders of pods and of what a runtime reports of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.kubelet import podspec
from steersman.kubelet.records import (
    CONTAINER_HASH,
    CONTAINER_NAME,
    RESTART_COUNT,
    ContainerRecord,
    PodRecord,
    pod_record,
)
from steersman.kubelet.runtimes.containers import ContainerMetadata, ContainerState, ContainerStatus
from steersman.kubelet.runtimes.images import ImageSpec
from steersman.kubelet.runtimes.sandboxes import NamespaceOption, PodSandboxMetadata, PodSandboxStatus, SandboxState
from steersman.meta.objects import Object

NOW_S = 1_767_225_600.0
UID = "6e1f1a4e-0000-4000-8000-000000000001"


def container(name: str = "main", image: str = "busybox:1", **fields: Any) -> Object:
    return {"name": name, "image": image, **fields}


def pod(
    *containers: Object,
    name: str = "web",
    namespace: str = "default",
    uid: str = UID,
    init: Sequence[Object] = (),
    metadata: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Object:
    fields: Object = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "nodeName": "node-1", **spec}
    if init:
        fields["initContainers"] = list(init)
    fields["containers"] = list(containers) or [container()]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "uid": uid, "generation": 1, **(metadata or {})},
        "spec": fields,
        "status": dict(status or {"phase": "Pending"}),
    }


def deleted(obj: Object, grace_s: int = 30) -> Object:
    metadata = {
        **obj["metadata"], "deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": grace_s
    }  # fmt: skip
    return {**obj, "metadata": metadata}


def sandbox(
    id: str = "box-0", *, attempt: int = 0, state: SandboxState = "READY", ips: Sequence[str] = ("10.1.0.2",),
    host_network: bool = False, uid: str = UID,
) -> PodSandboxStatus:  # fmt: skip
    return PodSandboxStatus(
        id=id,
        metadata=PodSandboxMetadata(name="web", uid=uid, namespace="default", attempt=attempt),
        state=state,
        created_at_ns=int((NOW_S - 3600 + attempt) * 1e9),
        ips=tuple(ips),
        namespaces=NamespaceOption(network="NODE" if host_network else "POD"),
    )


def ran(
    spec: Object,
    state: ContainerState = "RUNNING",
    *,
    id: str = "",
    attempt: int = 0,
    exit_code: int = 0,
    age_s: float = 60.0,
    ended_s: float = 0.0,
    sandbox_id: str = "box-0",
    hash: str | None = None,
) -> ContainerRecord:
    """A container made from ``spec`` that started ``age_s`` ago and, if it has exited, did so ``ended_s`` ago."""
    name = spec["name"]
    return ContainerRecord(
        sandbox_id=sandbox_id,
        status=ContainerStatus(
            id=id or f"{name}-{attempt}",
            metadata=ContainerMetadata(name=name, attempt=attempt),
            state=state,
            created_at_ns=int((NOW_S - age_s) * 1e9),
            started_at_ns=0 if state == "CREATED" else int((NOW_S - age_s) * 1e9),
            finished_at_ns=int((NOW_S - ended_s) * 1e9) if state == "EXITED" else 0,
            exit_code=exit_code,
            image=ImageSpec(image=spec["image"]),
            image_ref="sha256:abc",
            labels={CONTAINER_NAME: name},
            annotations={
                RESTART_COUNT: str(attempt),
                CONTAINER_HASH: podspec.spec_hash(spec) if hash is None else hash,
            },
        ),
    )


def record(*containers: ContainerRecord, sandboxes: Sequence[PodSandboxStatus] | None = None) -> PodRecord:
    return pod_record(UID, [sandbox()] if sandboxes is None else sandboxes, containers)
