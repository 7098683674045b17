"""The kubelet's flags that stand for fields of KubeletConfiguration: upstream's names, each with its field.

A flag wins over the configuration file. Flags that are no configuration are in ``kubelet``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from steersman.kubelet.configuration_file import merge

Parser = Callable[[str], Any]


def boolean(text: str) -> bool:
    values = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
    if text.lower() not in values:
        raise ValueError(f"{text!r} is not true or false")
    return values[text.lower()]


def strings(text: str) -> list[str]:
    return [entry for entry in text.split(",") if entry]


def pairs(text: str, separator: str = "=") -> dict[str, str]:
    """``a=1,b=2``."""
    found = {}
    for entry in filter(None, text.split(",")):
        key, equals, value = entry.partition(separator)
        if not equals:
            raise ValueError(f"{entry!r} is not key{separator}value")
        found[key.strip()] = value.strip()
    return found


def thresholds(text: str) -> dict[str, str]:
    """``memory.available<1Gi,nodefs.available<10%``."""
    return pairs(text, "<")


def booleans(text: str) -> dict[str, bool]:
    return {key: boolean(value) for key, value in pairs(text).items()}


def headers(text: str) -> dict[str, list[str]]:
    """``a:hello,b:again,a:world``: several values of one name are kept in order."""
    found: dict[str, list[str]] = {}
    for entry in filter(None, text.split(",")):
        key, colon, value = entry.partition(":")
        if not colon:
            raise ValueError(f"{entry!r} is not name:value")
        found.setdefault(key, []).append(value)
    return found


def taints(text: str) -> list[dict[str, str]]:
    found = []
    for entry in filter(None, text.split(",")):
        rest, colon, effect = entry.rpartition(":")
        if not colon or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            raise ValueError(f"{entry!r} is not key=value:effect")
        key, _, value = rest.partition("=")
        found.append({"key": key, "value": value, "effect": effect} if value else {"key": key, "effect": effect})
    return found


def reserved_memory(text: str) -> list[dict[str, Any]]:
    """``0:memory=1Gi,hugepages-2Mi=2Gi;1:memory=2Gi``."""
    found = []
    for entry in filter(None, text.split(";")):
        node, colon, limits = entry.partition(":")
        if not colon or not node.isdecimal():
            raise ValueError(f"the reserved memory has incorrect format: {entry!r} is not numaNode:resource=quantity")
        found.append({"numaNode": int(node), "limits": pairs(limits)})
    return found


FLAGS: Final[Mapping[str, tuple[str, Parser]]] = {
    "address": ("address", str),
    "allowed-unsafe-sysctls": ("allowedUnsafeSysctls", strings),
    "anonymous-auth": ("authentication.anonymous.enabled", boolean),
    "authentication-token-webhook": ("authentication.webhook.enabled", boolean),
    "authentication-token-webhook-cache-ttl": ("authentication.webhook.cacheTTL", str),
    "authorization-mode": ("authorization.mode", str),
    "authorization-webhook-cache-authorized-ttl": ("authorization.webhook.cacheAuthorizedTTL", str),
    "authorization-webhook-cache-unauthorized-ttl": ("authorization.webhook.cacheUnauthorizedTTL", str),
    "cgroup-driver": ("cgroupDriver", str),
    "cgroup-root": ("cgroupRoot", str),
    "cgroups-per-qos": ("cgroupsPerQOS", boolean),
    "client-ca-file": ("authentication.x509.clientCAFile", str),
    "cluster-dns": ("clusterDNS", strings),
    "cluster-domain": ("clusterDomain", str),
    "container-log-max-files": ("containerLogMaxFiles", int),
    "container-log-max-size": ("containerLogMaxSize", str),
    "container-runtime-endpoint": ("containerRuntimeEndpoint", str),
    "contention-profiling": ("enableContentionProfiling", boolean),
    "cpu-cfs-quota": ("cpuCFSQuota", boolean),
    "cpu-cfs-quota-period": ("cpuCFSQuotaPeriod", str),
    "cpu-manager-policy": ("cpuManagerPolicy", str),
    "cpu-manager-policy-options": ("cpuManagerPolicyOptions", pairs),
    "cpu-manager-reconcile-period": ("cpuManagerReconcilePeriod", str),
    "enable-controller-attach-detach": ("enableControllerAttachDetach", boolean),
    "enable-debugging-handlers": ("enableDebuggingHandlers", boolean),
    "enable-server": ("enableServer", boolean),
    "enforce-node-allocatable": ("enforceNodeAllocatable", strings),
    "event-burst": ("eventBurst", int),
    "event-qps": ("eventRecordQPS", int),
    "eviction-hard": ("evictionHard", thresholds),
    "eviction-max-pod-grace-period": ("evictionMaxPodGracePeriod", int),
    "eviction-minimum-reclaim": ("evictionMinimumReclaim", pairs),
    "eviction-pressure-transition-period": ("evictionPressureTransitionPeriod", str),
    "eviction-soft": ("evictionSoft", thresholds),
    "eviction-soft-grace-period": ("evictionSoftGracePeriod", pairs),
    "fail-cgroupv1": ("failCgroupV1", boolean),
    "fail-swap-on": ("failSwapOn", boolean),
    "feature-gates": ("featureGates", booleans),
    "file-check-frequency": ("fileCheckFrequency", str),
    "hairpin-mode": ("hairpinMode", str),
    "healthz-bind-address": ("healthzBindAddress", str),
    "healthz-port": ("healthzPort", int),
    "http-check-frequency": ("httpCheckFrequency", str),
    "image-gc-high-threshold": ("imageGCHighThresholdPercent", int),
    "image-gc-low-threshold": ("imageGCLowThresholdPercent", int),
    "image-service-endpoint": ("imageServiceEndpoint", str),
    "kernel-memcg-notification": ("kernelMemcgNotification", boolean),
    "kube-api-burst": ("kubeAPIBurst", int),
    "kube-api-content-type": ("contentType", str),
    "kube-api-qps": ("kubeAPIQPS", int),
    "kube-reserved": ("kubeReserved", pairs),
    "kube-reserved-cgroup": ("kubeReservedCgroup", str),
    "kubelet-cgroups": ("kubeletCgroups", str),
    "local-storage-capacity-isolation": ("localStorageCapacityIsolation", boolean),
    "log-flush-frequency": ("logging.flushFrequency", str),
    "logging-format": ("logging.format", str),
    "make-iptables-util-chains": ("makeIPTablesUtilChains", boolean),
    "manifest-url": ("staticPodURL", str),
    "manifest-url-header": ("staticPodURLHeader", headers),
    "max-open-files": ("maxOpenFiles", int),
    "max-parallel-image-pulls": ("maxParallelImagePulls", int),
    "max-pods": ("maxPods", int),
    "memory-manager-policy": ("memoryManagerPolicy", str),
    "minimum-image-ttl-duration": ("imageMinimumGCAge", str),
    "node-status-max-images": ("nodeStatusMaxImages", int),
    "node-status-update-frequency": ("nodeStatusUpdateFrequency", str),
    "oom-score-adj": ("oomScoreAdj", int),
    "pod-cidr": ("podCIDR", str),
    "pod-log-dir": ("podLogsDir", str),
    "pod-manifest-path": ("staticPodPath", str),
    "pod-max-pids": ("podPidsLimit", int),
    "pods-per-core": ("podsPerCore", int),
    "port": ("port", int),
    "protect-kernel-defaults": ("protectKernelDefaults", boolean),
    "provider-id": ("providerID", str),
    "qos-reserved": ("qosReserved", pairs),
    "read-only-port": ("readOnlyPort", int),
    "register-node": ("registerNode", boolean),
    "register-with-taints": ("registerWithTaints", taints),
    "registry-burst": ("registryBurst", int),
    "registry-qps": ("registryPullQPS", int),
    "reserved-cpus": ("reservedSystemCPUs", str),
    "reserved-memory": ("reservedMemory", reserved_memory),
    "resolv-conf": ("resolvConf", str),
    "rotate-certificates": ("rotateCertificates", boolean),
    "rotate-server-certificates": ("serverTLSBootstrap", boolean),
    "runonce": ("runOnce", boolean),
    "runtime-request-timeout": ("runtimeRequestTimeout", str),
    "seccomp-default": ("seccompDefault", boolean),
    "serialize-image-pulls": ("serializeImagePulls", boolean),
    "streaming-connection-idle-timeout": ("streamingConnectionIdleTimeout", str),
    "sync-frequency": ("syncFrequency", str),
    "system-cgroups": ("systemCgroups", str),
    "system-reserved": ("systemReserved", pairs),
    "system-reserved-cgroup": ("systemReservedCgroup", str),
    "tls-cert-file": ("tlsCertFile", str),
    "tls-cipher-suites": ("tlsCipherSuites", strings),
    "tls-min-version": ("tlsMinVersion", str),
    "tls-private-key-file": ("tlsPrivateKeyFile", str),
    "topology-manager-policy": ("topologyManagerPolicy", str),
    "topology-manager-policy-options": ("topologyManagerPolicyOptions", pairs),
    "topology-manager-scope": ("topologyManagerScope", str),
    "volume-plugin-dir": ("volumePluginDir", str),
    "volume-stats-agg-period": ("volumeStatsAggPeriod", str),
}
"""``pod-log-dir`` and ``max-parallel-image-pulls`` are ours: upstream has these fields in the file only."""

_REPEATABLE: Final = {"reserved-memory": ";", "manifest-url-header": ","}


def options(command: click.Command) -> click.Command:
    """``command`` with all of ``FLAGS``; their values arrive as one text each, or None."""
    for name, (field, parser) in FLAGS.items():
        more: dict[str, Any] = {"is_flag": False, "flag_value": "true"} if parser is boolean else {}
        command.params.append(
            click.Option(
                [f"--{name}", name.replace("-", "_")],
                help=f"{field} of the configuration.",
                multiple=name in _REPEATABLE,
                **more,
            )
        )
    return command


def document_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that flags set. ``given``: by flag name with underscores. Raises ``click.BadParameter``."""
    document: dict[str, Any] = {}
    for name, (field, parser) in FLAGS.items():
        value = given.get(name.replace("-", "_"))
        if value is None or value == ():
            continue
        text = value if isinstance(value, str) else _REPEATABLE[name].join(value)
        try:
            parsed = parser(text)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint=f"--{name}") from error
        for part in reversed(field.split(".")):
            parsed = {part: parsed}
        document = merge(document, parsed)
    return document


def over(document: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Flags win; a map given as a flag replaces the file's, feature gates and nested sections are merged."""
    sections = ("authentication", "authorization", "logging", "featureGates")
    result = dict(document)
    for name, value in flags.items():
        before = result.get(name)
        result[name] = merge(before, value) if name in sections and isinstance(before, Mapping) else value
    return result
