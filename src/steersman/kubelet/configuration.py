"""The kubelet's configuration: what the component takes, and the KubeletConfiguration v1beta1 file it may come from.

A field of the file that this kubelet does not have is an error that names it, unless its value is upstream's default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from steersman.meta.quantities import format_decimal, quantity, to_int

API_VERSION = "kubelet.config.k8s.io/v1beta1"
VERSION = "v1.36.0"


class ConfigurationError(ValueError):
    """The configuration cannot be used; the message names the option."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletConfig:
    """Everything a kubelet is told."""

    node_name: str
    node_ips: tuple[str, ...] = ()
    root_dir: Path = Path("/var/lib/kubelet")
    pod_logs_dir: Path = Path("/var/log/pods")
    container_logs_dir: Path = Path("/var/log/containers")
    port: int = 10250
    register_node: bool = True
    node_labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    provider_id: str = ""
    capacity: Mapping[str, str] = field(default_factory=dict)
    """Overrides and extends what is measured; a simulated node has no other."""
    reserved: Mapping[str, str] = field(default_factory=dict)
    """kubeReserved, systemReserved and hard eviction thresholds: capacity minus this is allocatable."""
    max_pods: int = 110
    pod_cidr: str = ""
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: Path | None = Path("/etc/resolv.conf")
    static_pod_path: Path | None = None
    static_pod_check_s: float = 20.0
    status_update_s: float = 10.0
    status_report_s: float = 300.0
    lease_duration_s: int = 40
    sync_s: float = 60.0
    cgroup_root: str = "/"
    cpu_cfs_quota: bool = True
    single_process_oom_kill: bool | None = None
    seccomp_default: bool = False
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    max_parallel_image_pulls: int = 1
    max_container_restart_s: float = 300.0
    log_max_bytes: int = 10 * 1024 * 1024
    log_max_files: int = 5
    log_check_s: float = 10.0
    runtime_name: str = ""
    """Prefix of container ids in statuses; empty: what the runtime calls itself."""
    version: str = VERSION


def parse_duration(text: str) -> float:
    """A Go duration (``1m30s``, ``500ms``) in seconds. Raises ``ValueError``."""
    if text in ("0", ""):
        return 0.0
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)", text)
    if "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"invalid duration {text!r}")
    return float(sum(float(number) * units[unit] for number, unit in parts))


Setter = Callable[[Any], Mapping[str, Any]]

_FIELDS: Mapping[str, Setter] = {
    "staticPodPath": lambda value: {"static_pod_path": Path(value) if value else None},
    "fileCheckFrequency": lambda value: {"static_pod_check_s": parse_duration(value) or 20.0},
    "syncFrequency": lambda value: {"sync_s": parse_duration(value) or 60.0},
    "port": lambda value: {"port": int(value)},
    "registerNode": lambda value: {"register_node": bool(value)},
    "registerWithTaints": lambda value: {"taints": tuple(value or ())},
    "providerID": lambda value: {"provider_id": value},
    "clusterDomain": lambda value: {"cluster_domain": value},
    "clusterDNS": lambda value: {"cluster_dns": tuple(value or ())},
    "resolvConf": lambda value: {"resolv_conf": Path(value) if value else None},
    "maxPods": lambda value: {"max_pods": int(value)},
    "podCIDR": lambda value: {"pod_cidr": value},
    "nodeStatusUpdateFrequency": lambda value: {"status_update_s": parse_duration(value) or 10.0},
    "nodeStatusReportFrequency": lambda value: {"status_report_s": parse_duration(value) or 300.0},
    "nodeLeaseDurationSeconds": lambda value: {"lease_duration_s": int(value)},
    "cgroupRoot": lambda value: {"cgroup_root": value or "/"},
    "cpuCFSQuota": lambda value: {"cpu_cfs_quota": bool(value)},
    "singleProcessOOMKill": lambda value: {"single_process_oom_kill": value},
    "seccompDefault": lambda value: {"seccomp_default": bool(value)},
    "allowedUnsafeSysctls": lambda value: {"allowed_unsafe_sysctls": tuple(value or ())},
    "serializeImagePulls": lambda value: {"max_parallel_image_pulls": 1 if value else 5},
    "maxParallelImagePulls": lambda value: {"max_parallel_image_pulls": int(value)} if value else {},
    "containerLogMaxSize": lambda value: {"log_max_bytes": to_int(value)},
    "containerLogMaxFiles": lambda value: {"log_max_files": int(value)},
    "containerLogMonitorInterval": lambda value: {"log_check_s": parse_duration(value) or 10.0},
    "podLogsDir": lambda value: {"pod_logs_dir": Path(value)},
    "kubeReserved": lambda value: {"kube_reserved": value or {}},
    "systemReserved": lambda value: {"system_reserved": value or {}},
}
"""Fields of the file that this component takes, and what they set."""

SERVER_FIELDS = (
    "address", "tlsCertFile", "tlsPrivateKeyFile", "authentication", "authorization", "containerRuntimeEndpoint",
    "readOnlyPort", "healthzPort", "healthzBindAddress", "tlsCipherSuites", "tlsMinVersion",
)  # fmt: skip
"""Fields that the command and the HTTPS server take."""

_SAME_AS_DEFAULT: Mapping[str, tuple[Any, ...]] = {
    "cgroupDriver": ("cgroupfs", ""),
    "cgroupsPerQOS": (True,),
    "enableServer": (True,),
    "enableControllerAttachDetach": (True,),
    "enableDebuggingHandlers": (True,),
    "failSwapOn": (False,),
    "hairpinMode": ("promiscuous-bridge", "hairpin-veth"),
    "featureGates": ({}, None),
    "makeIPTablesUtilChains": (True, False),
    "rotateCertificates": (False,),
    "serverTLSBootstrap": (False,),
    "logging": ({}, None),
    "memorySwap": ({}, None),
    "enforceNodeAllocatable": (["pods"], ["none"], [], None),
    "cpuManagerPolicy": ("none", ""),
    "memoryManagerPolicy": ("None", ""),
    "topologyManagerPolicy": ("none", ""),
}
"""Fields whose only supported values are these."""


def load_configuration(path: Path) -> Mapping[str, Any]:
    """The KubeletConfiguration document at ``path``. Raises ``ConfigurationError``."""
    try:
        document = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} holds no object")
    if document.get("kind") != "KubeletConfiguration" or document.get("apiVersion") != API_VERSION:
        raise ConfigurationError(f"{path} is not a KubeletConfiguration of {API_VERSION}")
    return {key: value for key, value in document.items() if key not in ("kind", "apiVersion")}


def settings_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of ``KubeletConfig`` from a document. Raises ``ConfigurationError`` naming what is not supported."""
    settings: dict[str, Any] = {}
    unsupported = []
    for name, value in document.items():
        if name in _FIELDS:
            try:
                settings.update(_FIELDS[name](value))
            except (TypeError, ValueError) as error:
                raise ConfigurationError(f"{name}: {error}") from error
        elif name in SERVER_FIELDS:
            continue
        elif name not in _SAME_AS_DEFAULT or value not in _SAME_AS_DEFAULT[name]:
            unsupported.append(name)
    if unsupported:
        raise ConfigurationError(f"unsupported options: {', '.join(sorted(unsupported))}")
    reserved = _sum_reserved(settings.pop("kube_reserved", {}), settings.pop("system_reserved", {}))
    if reserved:
        settings["reserved"] = reserved
    return settings


def _sum_reserved(*parts: Mapping[str, str]) -> dict[str, str]:
    total: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0) + quantity(value)
    return {name: format_decimal(value) for name, value in total.items()}
