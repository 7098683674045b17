"""From a completed KubeletConfiguration document to the arguments of ``KubeletConfig``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steersman.kubelet import configuration_validation, feature_gates, reservations
from steersman.kubelet.api_clients import DEFAULT_QPS, RateLimit
from steersman.kubelet.configuration import ConfigurationError
from steersman.kubelet.configuration_file import Document, complete
from steersman.kubelet.cpusets import parse_cpus
from steersman.kubelet.eviction.thresholds import EvictionConfig, ThresholdError, parse_thresholds
from steersman.kubelet.image_gc import ImageGCConfig
from steersman.kubelet.node_resources.policies import (
    CPUManagerConfig,
    MemoryManagerConfig,
    PolicyError,
    TopologyManagerConfig,
    cpu_options,
    reserved_memory,
    topology_options,
)
from steersman.kubelet.reservations import Reservations
from steersman.kubelet.shutdown.periods import shutdown_periods
from steersman.meta.durations import parse_duration
from steersman.meta.quantities import to_int


def completed(document: Mapping[str, Any]) -> Document:
    """``document`` with its defaults, found to be valid. Raises ``ConfigurationError`` with everything that is wrong."""
    result = complete(document)
    problems = configuration_validation.problems(result)
    problems += reservations.problems("kubeReserved", result.get("kubeReserved") or {})
    problems += reservations.problems("systemReserved", result.get("systemReserved") or {})
    if problems:
        raise ConfigurationError("; ".join(problems))
    return result


def settings_of(document: Document) -> dict[str, Any]:
    """``document`` as ``completed`` returns it. Raises ``ConfigurationError``."""
    try:
        return {
            **_node(document),
            **_runtime(document),
            "reservations": _reservations(document),
            "eviction": _eviction(document),
            "image_gc": _image_gc(document),
            "shutdown": _shutdown(document),
            **_managers(document),
        }
    except (ThresholdError, PolicyError) as error:
        raise ConfigurationError(str(error)) from error


def _node(document: Document) -> dict[str, Any]:
    return {
        "port": document["port"],
        "register_node": document["registerNode"],
        "api_limit": RateLimit(qps=document["kubeAPIQPS"] or DEFAULT_QPS, burst=document["kubeAPIBurst"]),
        "event_limit": RateLimit(qps=document["eventRecordQPS"] or DEFAULT_QPS, burst=document["eventBurst"]),
        "taints": tuple(document.get("registerWithTaints") or ()),
        "provider_id": document["providerID"],
        "pod_cidr": document["podCIDR"],
        "cluster_dns": tuple(document.get("clusterDNS") or ()),
        "cluster_domain": document["clusterDomain"],
        "resolv_conf": _path(document["resolvConf"]),
        "static_pod_path": _path(document["staticPodPath"]),
        "static_pod_check_s": _seconds(document, "fileCheckFrequency"),
        "static_pod_url": document["staticPodURL"],
        "static_pod_url_headers": _headers(document.get("staticPodURLHeader") or {}),
        "static_pod_url_check_s": _seconds(document, "httpCheckFrequency"),
        "status_update_s": _seconds(document, "nodeStatusUpdateFrequency"),
        "status_report_s": _seconds(document, "nodeStatusReportFrequency"),
        "lease_duration_s": document["nodeLeaseDurationSeconds"],
        "max_status_images": document["nodeStatusMaxImages"],
        "max_pods": document["maxPods"],
        "pods_per_core": document["podsPerCore"],
        "sync_s": _seconds(document, "syncFrequency"),
        "pod_logs_dir": Path(document["podLogsDir"]),
        "log_max_bytes": to_int(document["containerLogMaxSize"]),
        "log_max_files": document["containerLogMaxFiles"],
        "log_workers": document["containerLogMaxWorkers"],
        "log_check_s": _seconds(document, "containerLogMonitorInterval"),
        "volume_stats_s": _seconds(document, "volumeStatsAggPeriod"),
    }


def _runtime(document: Document) -> dict[str, Any]:
    gates = document.get("featureGates") or {}
    verifies = feature_gates.enabled("KubeletEnsureSecretPulledImages", gates)
    return {
        "cgroup_root": document["cgroupRoot"] or "/",
        "kubelet_cgroup": document["kubeletCgroups"],
        "cpu_cfs_quota": document["cpuCFSQuota"],
        "cpu_cfs_period_us": round(_seconds(document, "cpuCFSQuotaPeriod") * 1_000_000),
        "single_process_oom_kill": document.get("singleProcessOOMKill"),
        "pod_pids_limit": document["podPidsLimit"],
        "seccomp_default": document["seccompDefault"],
        "allowed_unsafe_sysctls": tuple(document.get("allowedUnsafeSysctls") or ()),
        "max_parallel_image_pulls": 1 if document["serializeImagePulls"] else document.get("maxParallelImagePulls"),
        "registry_pull_qps": document["registryPullQPS"],
        "registry_burst": document["registryBurst"],
        "image_verification": document["imagePullCredentialsVerificationPolicy"] if verifies else "",
        "image_verification_allowlist": tuple(document.get("preloadedImagesVerificationAllowlist") or ()),
        "max_container_restart_s": parse_duration(document["crashLoopBackOff"]["maxContainerRestartPeriod"]),
        "swap_behavior": document["memorySwap"].get("swapBehavior") or "",
        "user_namespace_ids": (document.get("userNamespaces") or {}).get("idsPerPod") or 65536,
    }


def _reservations(document: Document) -> Reservations:
    kube, system = dict(document.get("kubeReserved") or {}), dict(document.get("systemReserved") or {})
    if document["reservedSystemCPUs"]:
        kube.pop("cpu", None)
        system["cpu"] = str(len(parse_cpus(document["reservedSystemCPUs"])))
    return Reservations(
        kube=kube,
        system=system,
        kube_cgroup=document["kubeReservedCgroup"],
        system_cgroup=document["systemReservedCgroup"],
        enforce=frozenset(document["enforceNodeAllocatable"]) - {"none"},
    )


def _eviction(document: Document) -> EvictionConfig:
    return EvictionConfig(
        thresholds=parse_thresholds(
            document.get("evictionHard") or {},
            document.get("evictionSoft"),
            document.get("evictionSoftGracePeriod"),
            document.get("evictionMinimumReclaim"),
            allocatable="pods" in document["enforceNodeAllocatable"],
        ),
        pressure_transition_s=_seconds(document, "evictionPressureTransitionPeriod"),
        max_pod_grace_s=document["evictionMaxPodGracePeriod"],
        local_storage_isolation=document["localStorageCapacityIsolation"],
    )


def _image_gc(document: Document) -> ImageGCConfig:
    return ImageGCConfig(
        high_percent=document["imageGCHighThresholdPercent"],
        low_percent=document["imageGCLowThresholdPercent"],
        min_age_s=_seconds(document, "imageMinimumGCAge"),
        max_age_s=_seconds(document, "imageMaximumGCAge"),
    )


def _shutdown(document: Document) -> Any:
    gates = document.get("featureGates") or {}
    if not feature_gates.enabled("GracefulNodeShutdown", gates):
        return ()
    return shutdown_periods(
        _seconds(document, "shutdownGracePeriod"),
        _seconds(document, "shutdownGracePeriodCriticalPods"),
        document.get("shutdownGracePeriodByPodPriority") or (),
    )


def _managers(document: Document) -> dict[str, Any]:
    gates = document.get("featureGates") or {}
    closest, most = topology_options(document.get("topologyManagerPolicyOptions") or {})
    options = document.get("cpuManagerPolicyOptions") or {}
    return {
        "cpu_manager": CPUManagerConfig(
            policy=document["cpuManagerPolicy"],
            options=cpu_options(options, policy=document["cpuManagerPolicy"], enabled=gates),
            reserved=parse_cpus(document["reservedSystemCPUs"]),
            reconcile_s=_seconds(document, "cpuManagerReconcilePeriod"),
            lifts_quota=feature_gates.enabled("DisableCPUQuotaWithExclusiveCPUs", gates),
        ),
        "memory_manager": MemoryManagerConfig(
            policy=document["memoryManagerPolicy"], reserved=reserved_memory(document.get("reservedMemory"))
        ),
        "topology_manager": TopologyManagerConfig(
            policy=document["topologyManagerPolicy"],
            scope=document["topologyManagerScope"],
            prefer_closest=closest,
            max_numa_nodes=most,
        ),
    }


def _seconds(document: Document, name: str) -> float:
    return parse_duration(document[name] or "0")


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _headers(given: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    for name, values in given.items():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ConfigurationError(f"staticPodURLHeader.{name}: {values!r} is not a list of strings")
    return {name: tuple(values) for name, values in given.items()}
