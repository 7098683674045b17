"""Every field of KubeletConfiguration v1beta1: its type, its default, and which of its values this kubelet has.

A field that is not here is unknown and an error; a value that is not had is an error that names the field. Source: the
reference page "Kubelet Configuration (v1beta1)".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from steersman.meta.durations import parse_duration

Kind = Literal["bool", "int", "float", "str", "duration", "strings", "map", "object", "objects", "flags", "any"]
"""``map``: string to string; ``flags``: string to bool; ``objects``: a list of objects."""

_IS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "any": lambda value: True,
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "duration": lambda value: isinstance(value, str),
    "strings": lambda value: isinstance(value, list) and all(isinstance(entry, str) for entry in value),
    "map": lambda value: isinstance(value, dict) and all(isinstance(entry, str) for entry in value.values()),
    "flags": lambda value: isinstance(value, dict) and all(isinstance(entry, bool) for entry in value.values()),
    "object": lambda value: isinstance(value, dict),
    "objects": lambda value: isinstance(value, list) and all(isinstance(entry, dict) for entry in value),
}
_NAMES: Final = {
    "any": "anything", "bool": "a boolean", "int": "an integer", "float": "a number", "str": "a string", "duration": "a duration",
    "strings": "a list of strings", "map": "an object of strings", "flags": "an object of booleans",
    "object": "an object", "objects": "a list of objects",
}  # fmt: skip


class Field(Struct, frozen=True, kw_only=True):
    """One field. ``only``: the values that are supported, where that is not every valid one."""

    kind: Kind
    default: Any = None
    only: tuple[Any, ...] | None = None
    why: str = ""
    """Said where a value is refused."""

    def problem(self, name: str, value: Any) -> str:
        """What is wrong with ``value``; empty when nothing is."""
        if value is None:
            return ""
        if not _IS[self.kind](value):
            return f"{name}: {value!r} is not {_NAMES[self.kind]}"
        if self.kind == "duration":
            try:
                parse_duration(value or "0")
            except ValueError as error:
                return f"{name}: {error}"
        if self.only is not None and value not in self.only:
            return f"unsupported value of {name}: {value!r}; {self.why or f'supported: {self._choices()}'}"
        return ""

    def _choices(self) -> str:
        return ", ".join(repr(value) for value in self.only or ())


def _of(kind: Kind, default: Any = None) -> Field:
    return Field(kind=kind, default=default)


def _only(kind: Kind, *values: Any, why: str = "") -> Field:
    """The first value is the default."""
    return Field(kind=kind, default=values[0], only=values, why=why)


_GO_RUNTIME: Final = "it is about Go's runtime"
_NO_CODE: Final = "this kubelet does not have it"

FIELDS: Final[Mapping[str, Field]] = {
    # the server
    "enableServer": _of("bool", True),
    "address": _of("str", "0.0.0.0"),
    "port": _of("int", 10250),
    "readOnlyPort": _of("int", 0),
    "tlsCertFile": _of("str", ""),
    "tlsPrivateKeyFile": _of("str", ""),
    "tlsCipherSuites": _of("strings"),
    "tlsCurvePreferences": Field(kind="object", only=(), why="Python's TLS has no list of curves"),
    "tlsMinVersion": _of("str", ""),
    "rotateCertificates": _of("bool", False),
    "serverTLSBootstrap": _of("bool", False),
    "authentication": _of("object"),
    "authorization": _of("object"),
    "enableDebuggingHandlers": _of("bool", True),
    "enableContentionProfiling": _only("bool", False, why=_GO_RUNTIME),
    "enableProfilingHandler": _only("bool", False, why=_GO_RUNTIME),
    "enableDebugFlagsHandler": _of("bool", True),
    "enableSystemLogHandler": _of("bool", True),
    "enableSystemLogQuery": _of("bool", False),
    "healthzPort": _of("int", 10248),
    "healthzBindAddress": _of("str", "127.0.0.1"),
    "streamingConnectionIdleTimeout": _of("duration", "4h0m0s"),
    # static pods
    "staticPodPath": _of("str", ""),
    "staticPodURL": _of("str", ""),
    "staticPodURLHeader": _of("object"),
    "fileCheckFrequency": _of("duration", "20s"),
    "httpCheckFrequency": _of("duration", "20s"),
    "runOnce": _of("bool", False),
    # the node
    "registerNode": _of("bool", True),
    "registerWithTaints": _of("objects"),
    "providerID": _of("str", ""),
    "podCIDR": _of("str", ""),
    "clusterDomain": _of("str", ""),
    "clusterDNS": _of("strings"),
    "resolvConf": _of("str", "/etc/resolv.conf"),
    "nodeStatusUpdateFrequency": _of("duration", "10s"),
    "nodeStatusReportFrequency": _of("duration", "5m0s"),
    "nodeLeaseDurationSeconds": _of("int", 40),
    "nodeStatusMaxImages": _of("int", 50),
    "maxPods": _of("int", 110),
    "podsPerCore": _of("int", 0),
    "enableControllerAttachDetach": _only("bool", True, why="volumes are attached by the controller only"),
    "shutdownGracePeriod": _of("duration", "0s"),
    "shutdownGracePeriodCriticalPods": _of("duration", "0s"),
    "shutdownGracePeriodByPodPriority": _of("objects"),
    "kubeAPIQPS": _of("int", 50),
    "kubeAPIBurst": _of("int", 100),
    "contentType": _only("str", "application/json", why="requests are JSON"),
    "eventRecordQPS": _of("int", 50),
    "eventBurst": _of("int", 100),
    # the kubelet itself
    "syncFrequency": _of("duration", "1m0s"),
    "featureGates": _of("flags"),
    "logging": _of("object"),
    "tracing": Field(kind="object", only=(), why=_NO_CODE),
    "showHiddenMetricsForVersion": _only("str", "", why="no metric is hidden"),
    "oomScoreAdj": _of("int", -999),
    "maxOpenFiles": _of("int", 1_000_000),
    "kubeletCgroups": _of("str", ""),
    "systemCgroups": _only("str", "", why=_NO_CODE),
    "failSwapOn": _of("bool", True),
    "failCgroupV1": _of("bool", True),
    "protectKernelDefaults": _of("bool", False),
    "makeIPTablesUtilChains": _of("bool", True),
    "iptablesMasqueradeBit": _of("int", 14),
    "iptablesDropBit": _of("int", 15),
    "hairpinMode": _of("str", "promiscuous-bridge"),
    # the runtime and its images
    "containerRuntimeEndpoint": _of("str", "unix:///run/containerd/containerd.sock"),
    "imageServiceEndpoint": _of("str", ""),
    "runtimeRequestTimeout": _of("duration", "2m0s"),
    "registryPullQPS": _of("int", 5),
    "registryBurst": _of("int", 10),
    "serializeImagePulls": _of("bool"),
    "maxParallelImagePulls": _of("int"),
    "imagePullCredentialsVerificationPolicy": _of("str", "NeverVerifyPreloadedImages"),
    "preloadedImagesVerificationAllowlist": _of("strings"),
    "imageMinimumGCAge": _of("duration", "2m0s"),
    "imageMaximumGCAge": _of("duration", "0s"),
    "imageGCHighThresholdPercent": _of("int", 85),
    "imageGCLowThresholdPercent": _of("int", 80),
    # pods
    "cgroupRoot": _of("str", ""),
    "cgroupsPerQOS": _only("bool", True, why="pods always have cgroups of their own"),
    "cgroupDriver": _only("str", "cgroupfs", why="cgroupfs is the only driver"),
    "cpuCFSQuota": _of("bool", True),
    "cpuCFSQuotaPeriod": _of("duration", "100ms"),
    "singleProcessOOMKill": _of("bool"),
    "podPidsLimit": _of("int", -1),
    "seccompDefault": _of("bool", False),
    "allowedUnsafeSysctls": _of("strings"),
    "memorySwap": _of("object"),
    "memoryThrottlingFactor": _of("float", 0.9),
    "memoryReservationPolicy": _only("str", "None", why="it needs the feature gate MemoryQoS"),
    "qosReserved": Field(kind="map", only=({},), why="it needs the feature gate QOSReserved"),
    "userNamespaces": _of("object"),
    "crashLoopBackOff": _of("object"),
    "configMapAndSecretChangeDetectionStrategy": _only("str", "Watch", why="objects are always watched"),
    "volumeStatsAggPeriod": _of("duration", "1m0s"),
    "volumePluginDir": _of("str", "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/"),
    "localStorageCapacityIsolation": _of("bool", True),
    "podLogsDir": _of("str", "/var/log/pods"),
    "containerLogMaxSize": _of("str", "10Mi"),
    "containerLogMaxFiles": _of("int", 5),
    "containerLogMaxWorkers": _of("int", 1),
    "containerLogMonitorInterval": _of("duration", "10s"),
    # what the node's pods may use
    "evictionHard": _of("map"),
    "evictionSoft": _of("map"),
    "evictionSoftGracePeriod": _of("map"),
    "evictionPressureTransitionPeriod": _of("duration", "5m0s"),
    "evictionMaxPodGracePeriod": _of("int", 0),
    "evictionMinimumReclaim": _of("map"),
    "mergeDefaultEvictionSettings": _of("bool", False),
    "kernelMemcgNotification": _only("bool", False, why="memory is looked at every ten seconds"),
    "systemReserved": _of("map"),
    "kubeReserved": _of("map"),
    "reservedSystemCPUs": _of("str", ""),
    "systemReservedCgroup": _of("str", ""),
    "kubeReservedCgroup": _of("str", ""),
    "enforceNodeAllocatable": _of("strings", ["pods"]),
    "cpuManagerPolicy": _of("str", "none"),
    "cpuManagerPolicyOptions": _of("map"),
    "cpuManagerReconcilePeriod": _of("duration", "10s"),
    "memoryManagerPolicy": _of("str", "None"),
    "reservedMemory": _of("objects"),
    "topologyManagerPolicy": _of("str", "none"),
    "topologyManagerScope": _of("str", "container"),
    "topologyManagerPolicyOptions": _of("map"),
}

ZERO_MEANS_DEFAULT: Final = frozenset(
    name
    for name, field in FIELDS.items()
    if (field.kind == "duration" and name not in ("shutdownGracePeriod", "shutdownGracePeriodCriticalPods", "cpuCFSQuotaPeriod"))
    or name in ("port", "address", "nodeLeaseDurationSeconds", "maxPods", "kubeAPIBurst", "eventBurst", "registryBurst",
                "maxOpenFiles", "cgroupDriver", "cpuManagerPolicy", "memoryManagerPolicy", "topologyManagerPolicy",
                "topologyManagerScope", "hairpinMode", "contentType", "healthzBindAddress", "containerRuntimeEndpoint",
                "volumePluginDir", "podLogsDir", "containerLogMaxSize", "memoryReservationPolicy",
                "configMapAndSecretChangeDetectionStrategy", "imagePullCredentialsVerificationPolicy")
)  # fmt: skip
"""Fields whose zero value stands for the default: upstream cannot tell the two apart."""

AUTHENTICATION: Final[Mapping[str, Mapping[str, Field]]] = {
    "x509": {"clientCAFile": _of("str", "")},
    "webhook": {"enabled": _of("bool", True), "cacheTTL": _of("duration", "2m0s")},
    "anonymous": {"enabled": _of("bool", False)},
}
AUTHORIZATION: Final[Mapping[str, Field]] = {
    "mode": Field(kind="str", default="Webhook", only=("Webhook", "AlwaysAllow")),
    "webhook": _of("object"),
}
AUTHORIZATION_WEBHOOK: Final[Mapping[str, Field]] = {
    "cacheAuthorizedTTL": _of("duration", "5m0s"),
    "cacheUnauthorizedTTL": _of("duration", "30s"),
}
LOGGING: Final[Mapping[str, Field]] = {
    "format": Field(kind="str", default="text", only=("text", ""), why="logs are text"),
    "flushFrequency": _of("any"),
    "verbosity": _of("int", 0),
    "vmodule": Field(kind="objects", only=([],), why=_NO_CODE),
    "options": Field(kind="object"),
}
SWAP_BEHAVIORS: Final = ("", "NoSwap", "LimitedSwap")
