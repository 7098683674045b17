"""A pod as the sandbox that the runtime makes for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from steersman.kubelet.linux_resources import ResourcePolicy, pod_resources
from steersman.kubelet.pod_hostname import PodHostname
from steersman.kubelet.pod_paths import PodPaths
from steersman.kubelet.podspec import app_containers, init_containers, is_host_network
from steersman.kubelet.records import POD_NAME, POD_NAMESPACE, POD_UID
from steersman.kubelet.runtimes.sandboxes import (
    DNSConfig,
    PodSandboxConfig,
    PodSandboxMetadata,
    PortMapping,
    UserNamespace,
)
from steersman.kubelet.security_context import sandbox_security_context
from steersman.meta import objects

SAFE_SYSCTLS = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
})  # fmt: skip
"""Namespaced and harmless: allowed without ``--allowed-unsafe-sysctls``."""


def sandbox_config(
    pod: Mapping[str, Any],
    *,
    attempt: int,
    hostname: PodHostname,
    dns: DNSConfig,
    cgroup_parent: str,
    paths: PodPaths,
    policy: ResourcePolicy,
    users: UserNamespace,
) -> PodSandboxConfig:
    """Raises ``SecurityContextError`` or ``ValueError`` for what cannot be granted."""
    return PodSandboxConfig(
        metadata=PodSandboxMetadata(
            name=objects.name(pod), uid=objects.uid(pod), namespace=objects.namespace(pod), attempt=attempt
        ),
        hostname="" if is_host_network(pod) else hostname.kernel_name,
        log_directory=str(paths.pod_logs(pod)),
        dns=dns,
        port_mappings=tuple(_port_mappings(pod)),
        labels=pod_labels(pod),
        annotations=dict(objects.annotations(pod)),
        cgroup_parent=cgroup_parent,
        security_context=sandbox_security_context(pod, users),
        sysctls=_sysctls(pod),
        resources=pod_resources(pod, policy),
    )


def pod_labels(pod: Mapping[str, Any]) -> dict[str, str]:
    """By which sandboxes are found again."""
    return {
        **objects.labels(pod),
        POD_NAME: objects.name(pod),
        POD_NAMESPACE: objects.namespace(pod),
        POD_UID: objects.uid(pod),
    }


def _port_mappings(pod: Mapping[str, Any]) -> Iterable[PortMapping]:
    if is_host_network(pod):
        return
    for container in (*init_containers(pod), *app_containers(pod)):
        if not container.stays:
            continue
        for port in container.spec.get("ports") or ():
            yield PortMapping(
                protocol=port.get("protocol") or "TCP",
                container_port=port["containerPort"],
                host_port=port.get("hostPort") or 0,
                host_ip=port.get("hostIP") or "",
            )


def _sysctls(pod: Mapping[str, Any]) -> dict[str, str]:
    """With dots throughout, as runtimes check them."""
    entries = (pod["spec"].get("securityContext") or {}).get("sysctls") or ()
    return {entry["name"].replace("/", "."): entry["value"] for entry in entries}


def forbidden_sysctls(pod: Mapping[str, Any], allowed: Iterable[str]) -> list[str]:
    """Sysctls of the pod that are neither safe nor ``allowed`` (patterns may end in ``*``)."""
    patterns = [pattern.replace("/", ".") for pattern in allowed]

    def is_allowed(name: str) -> bool:
        return name in SAFE_SYSCTLS or any(
            name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns
        )

    return [name for name in _sysctls(pod) if not is_allowed(name)]
