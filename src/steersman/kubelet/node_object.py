"""The Node object of this kubelet, computed from facts: labels, addresses, capacity, conditions, system information.

Pure. Wordings and reasons are upstream's (``nodestatus/setters.go``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from msgspec import Struct, field

from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.eviction.thresholds import reserved_by
from steersman.kubelet.machine_facts import MachineFacts
from steersman.kubelet.runtimes.api import RuntimeStatus, Version
from steersman.kubelet.runtimes.images import Image
from steersman.meta.objects import Object
from steersman.meta.quantities import format_binary, format_decimal, quantity, to_int
from steersman.meta.times import format_time, parse_time

MAX_IMAGE_NAMES = 5
PRESSURES: Mapping[str, tuple[str, str, str, str]] = {
    "MemoryPressure": (
        "KubeletHasInsufficientMemory", "kubelet has insufficient memory available",
        "KubeletHasSufficientMemory", "kubelet has sufficient memory available",
    ),
    "DiskPressure": (
        "KubeletHasDiskPressure", "kubelet has disk pressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"
    ),
    "PIDPressure": (
        "KubeletHasInsufficientPID", "kubelet has insufficient PID available",
        "KubeletHasSufficientPID", "kubelet has sufficient PID available",
    ),
}  # fmt: skip
"""Condition -> reason and message while it holds, and while it does not."""
DECLARED_FEATURES = (
    "ExtendWebSocketsToKubelet", "InPlacePodLevelResourcesVerticalScaling", "InPlacePodVerticalScalingInitContainers",
    "RestartAllContainersOnContainerExits",
)  # fmt: skip
"""Features that the scheduler and admission look for in ``status.declaredFeatures`` (KEP-5328)."""
CLOUD_TAINT = {"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}
PROVIDED_NODE_IP = "alpha.kubernetes.io/provided-node-ip"


class DeviceResources(Struct, frozen=True, kw_only=True):
    """What device plugins have, in units of their resources."""

    capacity: Mapping[str, int] = field(default_factory=dict)
    allocatable: Mapping[str, int] = field(default_factory=dict)
    """Healthy ones."""
    removed: tuple[str, ...] = ()
    """Their plugin was here before and is not now."""


NO_DEVICES = DeviceResources()


class NodeHealth(Struct, frozen=True, kw_only=True):
    """What the Ready condition is made of."""

    runtime: RuntimeStatus | None = None
    runtime_error: str = ""
    pleg_error: str = ""
    shutting_down: bool = False
    pressures: frozenset[str] = frozenset()
    """Types of the pressure conditions that hold."""
    warnings: tuple[str, ...] = ()
    """What does not keep the node from being ready and should be known."""

    @property
    def problems(self) -> list[str]:
        problems = []
        if self.runtime_error:
            problems.append(f"container runtime is down: {self.runtime_error}")
        for kind, text in (
            ("RuntimeReady", "container runtime not ready"),
            ("NetworkReady", "container runtime network not ready"),
        ):
            complaint = self.runtime.complaint(kind) if self.runtime is not None else ""
            if complaint:
                problems.append(f"{text}: {complaint}")
        if self.pleg_error:
            problems.append(f"PLEG is not healthy: {self.pleg_error}")
        if self.shutting_down:
            problems.append("node is shutting down")
        return problems


def capacity(config: KubeletConfig, facts: MachineFacts, devices: DeviceResources = NO_DEVICES) -> dict[str, str]:
    """What the node has, as quantities."""
    pods = min(config.max_pods, config.pods_per_core * facts.cpus) if config.pods_per_core else config.max_pods
    measured = {
        "cpu": str(facts.cpus),
        "memory": format_binary(facts.memory_bytes),
        "ephemeral-storage": format_binary(facts.disk_bytes),
        "pods": str(pods),
        **{name: format_binary(size) for name, size in facts.hugepages},
        **{name: str(amount) for name, amount in devices.capacity.items()},
        **dict.fromkeys(devices.removed, "0"),
    }
    if not config.eviction.local_storage_isolation:
        del measured["ephemeral-storage"]
    return {**measured, **config.capacity}


def reserved(config: KubeletConfig, total: Mapping[str, str]) -> dict[str, Fraction]:
    """What pods cannot have: what is reserved, and what hard eviction thresholds keep free of what was measured."""
    held = {name: quantity(value) for name, value in config.reservations.total.items()}
    if not config.allocatable_ignores_eviction:
        measured = {name: to_int(value) for name, value in total.items() if name not in config.capacity}
        for name, amount in reserved_by(config.eviction.thresholds, measured).items():
            held[name] = held.get(name, Fraction(0)) + amount
    return held


def allocatable(
    config: KubeletConfig, total: Mapping[str, str], devices: DeviceResources = NO_DEVICES
) -> dict[str, str]:
    """What pods may use: capacity without what is reserved; of devices the healthy ones."""
    held = reserved(config, total)
    left = {}
    for name, value in total.items():
        rest = quantity(value) - held[name] if held.get(name) else None
        left[name] = value if rest is None else _formatted(name, max(rest, Fraction(0)))
    left.update({name: str(amount) for name, amount in devices.allocatable.items()})
    pages = sum(to_int(value) for name, value in total.items() if name.startswith("hugepages-"))
    if pages and "memory" in left:
        left["memory"] = format_binary(max(to_int(left["memory"]) - pages, 0))
    return left


def _formatted(name: str, value: Fraction) -> str:
    if name in ("memory", "ephemeral-storage") or name.startswith("hugepages-"):
        return format_binary(int(value))
    return format_decimal(value)


def labels(config: KubeletConfig, facts: MachineFacts) -> dict[str, str]:
    """Those that every node has, and those it was given."""
    return {
        "beta.kubernetes.io/arch": facts.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": facts.architecture,
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": "linux",
        **config.node_labels,
    }


def initial_node(config: KubeletConfig, facts: MachineFacts) -> Object:
    """To register with."""
    spec: Object = {}
    taints = [dict(taint) for taint in config.taints]
    if config.cloud_provider == "external":
        taints.append(dict(CLOUD_TAINT))
    if taints:
        spec["taints"] = taints
    if config.provider_id:
        spec["providerID"] = config.provider_id
    if config.pod_cidr:
        spec["podCIDR"] = config.pod_cidr
        spec["podCIDRs"] = [config.pod_cidr]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": config.node_name,
            "labels": labels(config, facts),
            "annotations": _annotations(config),
        },
        "spec": spec,
    }


def _annotations(config: KubeletConfig) -> dict[str, str]:
    annotations = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    if config.cloud_provider == "external" and config.node_ips:
        annotations[PROVIDED_NODE_IP] = ",".join(config.node_ips)
    return annotations


def node_status(
    config: KubeletConfig,
    facts: MachineFacts,
    *,
    addresses: Sequence[str],
    version: Version | None,
    health: NodeHealth,
    images: Sequence[Image],
    previous: Mapping[str, Any],
    port: int,
    now_s: float,
    devices: DeviceResources = NO_DEVICES,
) -> Object:
    """The whole status; times of conditions move only where their status does, heartbeats always.

    Resources that others wrote into the capacity are kept, and are allocatable as they are.
    """
    total = {**_foreign(previous.get("capacity") or {}), **capacity(config, facts, devices)}
    now = format_time(now_s)
    status: Object = {
        "addresses": _addresses(config, addresses, previous.get("addresses") or ()),
        "capacity": total,
        "allocatable": allocatable(config, total, devices),
        "conditions": _conditions(health, previous.get("conditions") or (), now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "machineID": facts.machine_id,
            "systemUUID": facts.system_uuid,
            "bootID": facts.boot_id,
            "kernelVersion": facts.kernel,
            "osImage": facts.os_image,
            "containerRuntimeVersion": f"{version.runtime_name}://{version.runtime_version}" if version else "",
            "kubeletVersion": config.version,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": facts.architecture,
            **({"swap": {"capacity": facts.swap_bytes}} if facts.swap_bytes else {}),
        },
        "images": _images(images, config.max_status_images),
        "declaredFeatures": list(DECLARED_FEATURES),
    }
    if health.runtime is not None:
        status["runtimeHandlers"] = [
            {
                "name": handler.name,
                "features": {
                    "recursiveReadOnlyMounts": handler.recursive_read_only_mounts,
                    "userNamespaces": handler.user_namespaces,
                },
            }
            for handler in health.runtime.handlers
        ]
        status["features"] = {"supplementalGroupsPolicy": health.runtime.supplemental_groups_policy}
    return status


def _foreign(total: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in total.items() if "/" in name and "kubernetes.io/" not in name}


def _addresses(config: KubeletConfig, own: Sequence[str], previous: Iterable[Object]) -> list[Object]:
    """A cloud provider's word counts once it has been said."""
    said = [dict(entry) for entry in previous]
    if config.cloud_provider == "external" and said:
        return said
    hostname = {"type": "Hostname", "address": config.node_name}
    if config.cloud_provider == "external" and not config.node_ips:
        return [hostname]
    return [*({"type": "InternalIP", "address": address} for address in own), hostname]


def _conditions(health: NodeHealth, previous: Sequence[Mapping[str, Any]], now: str) -> list[Object]:
    """Ready is the last, as old controllers want it."""
    problems = health.problems
    found: list[tuple[str, bool, str, str]] = []
    for kind, (bad, bad_message, good, good_message) in PRESSURES.items():
        holds = kind in health.pressures
        found.append((kind, holds, bad if holds else good, bad_message if holds else good_message))
    message = _joined(problems) if problems else "kubelet is posting ready status"
    if health.warnings:
        message = f"{message}. WARNING: {_joined(health.warnings)}"
    found.append(("Ready", not problems, "KubeletNotReady" if problems else "KubeletReady", message))
    before = {entry["type"]: entry for entry in previous}
    conditions = []
    for kind, is_true, reason, message in found:
        status = "True" if is_true else "False"
        old = before.get(kind)
        moved = old is None or old.get("status") != status
        conditions.append(
            {
                "type": kind,
                "status": status,
                "lastHeartbeatTime": now,
                "lastTransitionTime": now if moved or old is None else old.get("lastTransitionTime"),
                "reason": reason,
                "message": message,
            }
        )
    return conditions


def _joined(problems: Sequence[str]) -> str:
    return problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"


def _images(images: Sequence[Image], limit: int) -> list[Object]:
    """The largest ``limit``; -1: all."""
    largest = sorted(images, key=lambda image: (-image.size_bytes, image.id))
    if limit >= 0:
        largest = largest[:limit]
    return [
        {"names": [*image.repo_digests, *image.repo_tags][:MAX_IMAGE_NAMES], "sizeBytes": image.size_bytes}
        for image in largest
        if image.repo_digests or image.repo_tags
    ]


def status_events(new: Mapping[str, Any], old: Mapping[str, Any], *, name: str) -> list[tuple[str, str, str]]:
    """(type, reason, message) of what changed between two statuses of the node ``name``."""
    reasons = {
        "MemoryPressure": ("NodeHasInsufficientMemory", "NodeHasSufficientMemory"),
        "DiskPressure": ("NodeHasDiskPressure", "NodeHasNoDiskPressure"),
        "PIDPressure": ("NodeHasInsufficientPID", "NodeHasSufficientPID"),
        "Ready": ("NodeReady", "NodeNotReady"),
    }
    before = {entry["type"]: entry.get("status") for entry in old.get("conditions") or ()}
    events = []
    for entry in new["conditions"]:
        kind = entry["type"]
        if entry["status"] != before.get(kind) and not (kind == "Ready" and kind not in before):
            reason = reasons[kind][entry["status"] != "True"]
            events.append(("Normal", reason, f"Node {name} status is now: {reason}"))
    boot = (old.get("nodeInfo") or {}).get("bootID")
    if boot and boot != new["nodeInfo"]["bootID"]:
        message = f"Node {name} has been rebooted, boot id: {new['nodeInfo']['bootID']}"
        events.append(("Warning", "Rebooted", message))
    return events


def differs(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Something changed besides heartbeats."""

    def essence(status: Mapping[str, Any]) -> Object:
        conditions = {
            entry["type"]: (entry.get("status"), entry.get("reason"), entry.get("message"))
            for entry in status.get("conditions") or ()
            if entry["type"] in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
        }
        return {**{key: status.get(key) for key in new}, "conditions": conditions}

    return essence(new) != essence(old)


def heartbeat_age_s(status: Mapping[str, Any], now_s: float) -> float:
    """Since the Ready condition was last written; infinite when it never was."""
    for entry in status.get("conditions") or ():
        if entry["type"] == "Ready" and entry.get("lastHeartbeatTime"):
            return now_s - parse_time(entry["lastHeartbeatTime"])
    return float("inf")
