"""The Node object of this kubelet, computed from facts: labels, addresses, capacity, conditions, system information.

Pure. Wordings and reasons are upstream's (``nodestatus/setters.go``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.machine_facts import MachineFacts
from steersman.kubelet.runtimes.api import RuntimeStatus, Version
from steersman.kubelet.runtimes.images import Image
from steersman.meta.objects import Object
from steersman.meta.quantities import format_decimal, quantity
from steersman.meta.times import format_time, parse_time

HARD_EVICTION_MEMORY = 100 * 1024 * 1024
MAX_IMAGES = 50
MAX_IMAGE_NAMES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHealth:
    """What the Ready condition is made of."""

    runtime: RuntimeStatus | None = None
    runtime_error: str = ""
    pleg_error: str = ""
    shutting_down: bool = False

    @property
    def problems(self) -> list[str]:
        problems = []
        if self.runtime_error:
            problems.append(f"container runtime is down: {self.runtime_error}")
        for kind, text in (
            ("RuntimeReady", "container runtime not ready"),
            ("NetworkReady", "container runtime network not ready"),
        ):
            condition = self.runtime.condition(kind) if self.runtime is not None else None
            if self.runtime is not None and (condition is None or not condition.status):
                reason, message = (condition.reason, condition.message) if condition is not None else ("", "")
                problems.append(f"{text}: {kind}=false reason:{reason} message:{message}")
        if self.pleg_error:
            problems.append(f"PLEG is not healthy: {self.pleg_error}")
        if self.shutting_down:
            problems.append("node is shutting down")
        return problems


def capacity(config: KubeletConfig, facts: MachineFacts) -> dict[str, str]:
    """What the node has, as quantities."""
    measured = {
        "cpu": str(facts.cpus),
        "memory": f"{facts.memory_bytes // 1024}Ki",
        "ephemeral-storage": f"{facts.disk_bytes // 1024}Ki",
        "pods": str(config.max_pods),
        **{name: f"{size // 1024}Ki" if size else "0" for name, size in facts.hugepages},
    }
    return {**measured, **config.capacity}


def allocatable(config: KubeletConfig, total: Mapping[str, str]) -> dict[str, str]:
    """What pods may use: capacity without what is reserved and without the hard eviction threshold of memory."""
    left = dict(total)
    held = {name: quantity(value) for name, value in config.reserved.items()}
    if "memory" not in config.capacity:
        held["memory"] = held.get("memory", Fraction(0)) + HARD_EVICTION_MEMORY
    for name, amount in held.items():
        if name in left and amount:
            rest = max(quantity(left[name]) - amount, Fraction(0))
            left[name] = f"{int(rest) // 1024}Ki" if name == "memory" else format_decimal(rest)
    return left


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
    if config.taints:
        spec["taints"] = [dict(taint) for taint in config.taints]
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
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": spec,
    }


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
) -> Object:
    """The whole status; times of conditions move only where their status does, heartbeats always."""
    total = capacity(config, facts)
    now = format_time(now_s)
    status: Object = {
        "addresses": [
            *({"type": "InternalIP", "address": address} for address in addresses),
            {"type": "Hostname", "address": config.node_name},
        ],
        "capacity": total,
        "allocatable": allocatable(config, total),
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
            "swap": {"capacity": facts.swap_bytes},
        },
        "images": _images(images),
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


def _conditions(health: NodeHealth, previous: Sequence[Mapping[str, Any]], now: str) -> list[Object]:
    problems = health.problems
    ready = not problems
    found = [
        ("MemoryPressure", False, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", False, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", False, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        (
            "Ready",
            ready,
            "KubeletReady" if ready else "KubeletNotReady",
            "kubelet is posting ready status" if ready else _joined(problems),
        ),
    ]
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


def _images(images: Sequence[Image]) -> list[Object]:
    largest = sorted(images, key=lambda image: (-image.size_bytes, image.id))[:MAX_IMAGES]
    return [
        {"names": [*image.repo_digests, *image.repo_tags][:MAX_IMAGE_NAMES], "sizeBytes": image.size_bytes}
        for image in largest
        if image.repo_digests or image.repo_tags
    ]


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
