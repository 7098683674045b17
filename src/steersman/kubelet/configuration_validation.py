"""What upstream's kubelet refuses in a configuration that is well-formed, in its words (``ValidateKubeletConfiguration``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from steersman.kubelet import feature_gates
from steersman.kubelet.configuration_fields import SWAP_BEHAVIORS
from steersman.kubelet.cpusets import parse_cpus
from steersman.kubelet.registry_credentials.verification import check_pattern
from steersman.meta.durations import parse_duration
from steersman.meta.quantities import quantity, to_int

MIN_MONITOR_S: Final = 3.0
USER_NAMESPACE_UNIT: Final = 65536
ENFORCEMENTS: Final = (
    "pods", "system-reserved", "system-reserved-compressible", "kube-reserved", "kube-reserved-compressible", "none"
)  # fmt: skip
_NOT_NEGATIVE: Final = (
    ("eventBurst", "event-burst"), ("eventRecordQPS", "event-qps"), ("kubeAPIBurst", "kube-api-burst"),
    ("kubeAPIQPS", "kube-api-qps"), ("maxOpenFiles", "max-open-files"), ("maxPods", "max-pods"),
    ("podsPerCore", "pods-per-core"), ("registryBurst", "registry-burst"), ("registryPullQPS", "registry-qps"),
)  # fmt: skip
_RANGES: Final = (
    ("imageGCHighThresholdPercent", "image-gc-high-threshold", 0, 100),
    ("imageGCLowThresholdPercent", "image-gc-low-threshold", 0, 100),
    ("iptablesDropBit", "iptables-drop-bit", 0, 31),
    ("iptablesMasqueradeBit", "iptables-masquerade-bit", 0, 31),
    ("oomScoreAdj", "oom-score-adj", -1000, 1000),
)
_CHOICES: Final = (
    ("hairpinMode", ("none", "hairpin-veth", "promiscuous-bridge")),
    ("cpuManagerPolicy", ("none", "static")),
    ("memoryManagerPolicy", ("None", "Static")),
    ("topologyManagerPolicy", ("none", "best-effort", "restricted", "single-numa-node")),
    ("topologyManagerScope", ("container", "pod")),
    ("imagePullCredentialsVerificationPolicy",
     ("NeverVerify", "NeverVerifyPreloadedImages", "NeverVerifyAllowlistedImages", "AlwaysVerify")),
)  # fmt: skip


def problems(document: Mapping[str, Any]) -> list[str]:
    """Of a completed document; nothing where it can be used."""
    found = [*_numbers(document), *_images(document), *_shutdown(document), *_allocatable(document), *_pods(document)]
    return [f"invalid configuration: {text}" for text in found]


def _numbers(document: Mapping[str, Any]) -> Iterator[str]:
    if document["nodeLeaseDurationSeconds"] <= 0:
        yield "nodeLeaseDurationSeconds must be greater than 0"
    for name, flag in _NOT_NEGATIVE:
        if document[name] < 0:
            yield f"{name} (--{flag}) {document[name]} must not be a negative number"
    for name, flag, low, high in _RANGES:
        if not low <= document[name] <= high:
            yield f"{name} (--{flag}) {document[name]} must be between {low} and {high}, inclusive"
    for name, flag, low in (
        ("port", "port", 1),
        ("healthzPort", "healthz-port", 0),
        ("readOnlyPort", "read-only-port", 0),
    ):
        if not low <= document[name] <= 65535:
            yield f"{name} (--{flag}) {document[name]} must be between {low} and 65535, inclusive"
    for name, choices in _CHOICES:
        if document[name] not in choices:
            yield f"{name} {document[name]!r} must be one of: {', '.join(choices)}"
    if document["nodeStatusMaxImages"] < -1:
        yield f"nodeStatusMaxImages (--node-status-max-images) {document['nodeStatusMaxImages']} must be -1 or greater"
    if document["runOnce"]:
        yield "runOnce (--runOnce) true, Runonce mode has been deprecated and should not be set"
    if not 0.001 <= parse_duration(document["cpuCFSQuotaPeriod"]) <= 1:
        yield (
            f"cpuCFSQuotaPeriod (--cpu-cfs-quota-period) {document['cpuCFSQuotaPeriod']} must be between 1ms and"
            " 1sec, inclusive"
        )
    if not 0 < document["memoryThrottlingFactor"] <= 1:
        yield (
            f"memoryThrottlingFactor {document['memoryThrottlingFactor']} must be greater than 0 and less than or"
            " equal to 1.0"
        )


def _images(document: Mapping[str, Any]) -> Iterator[str]:
    high, low = document["imageGCHighThresholdPercent"], document["imageGCLowThresholdPercent"]
    if low >= high:
        yield (
            f"imageGCLowThresholdPercent (--image-gc-low-threshold) {low} must be less than imageGCHighThresholdPercent"
            f" (--image-gc-high-threshold) {high}"
        )
    minimum, maximum = (parse_duration(document[name]) for name in ("imageMinimumGCAge", "imageMaximumGCAge"))
    for name, value in (("imageMinimumGCAge", minimum), ("imageMaximumGCAge", maximum)):
        if value < 0:
            yield f"{name} {document[name]} must not be negative"
    if 0 < maximum <= minimum:
        yield (
            f"imageMaximumGCAge {document['imageMaximumGCAge']} must be greater than imageMinimumGCAge"
            f" {document['imageMinimumGCAge']}"
        )
    parallel = document.get("maxParallelImagePulls")
    if parallel is not None and parallel < 1:
        yield f"maxParallelImagePulls {parallel} must be a positive number"
    if document["serializeImagePulls"] and (parallel or 0) > 1:
        yield (
            "maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls (--serialize-image-pulls) is set"
            " to false"
        )
    allowed = document.get("preloadedImagesVerificationAllowlist")
    for pattern in allowed or ():
        try:
            check_pattern(str(pattern))
        except ValueError as error:
            yield f"invalid image pattern in `preloadedImagesVerificationAllowlist`: {error}"
    if allowed and document["imagePullCredentialsVerificationPolicy"] != "NeverVerifyAllowlistedImages":
        yield (
            "can't set `preloadedImagesVerificationAllowlist` if `imagePullCredentialsVertificationPolicy` is not"
            ' "NeverVerifyAllowlistedImages"'
        )


def _shutdown(document: Mapping[str, Any]) -> Iterator[str]:
    names = ("shutdownGracePeriod", "shutdownGracePeriodCriticalPods")
    total, critical = (parse_duration(document[name] or "0") for name in names)
    gates = document.get("featureGates") or {}
    if not feature_gates.enabled("GracefulNodeShutdown", gates) and (total > 0 or critical > 0):
        yield (
            "specifying shutdownGracePeriod or shutdownGracePeriodCriticalPods requires feature gate"
            " GracefulNodeShutdown"
        )
    if critical > total:
        yield f"shutdownGracePeriodCriticalPods {document[names[1]]} must be <= shutdownGracePeriod {document[names[0]]}"
    for name, value in zip(names, (total, critical), strict=True):
        if value < 0 or 0 < value < 1:
            yield f"{name} {document[name]} must be either zero or otherwise >= 1 sec"
    by_priority = document.get("shutdownGracePeriodByPodPriority")
    if by_priority and (total > 0 or critical > 0):
        yield "Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same time"
    if by_priority and not feature_gates.enabled("GracefulNodeShutdownBasedOnPodPriority", gates):
        yield (
            "Specifying shutdownGracePeriodByPodPriority requires feature gate GracefulNodeShutdownBasedOnPodPriority"
        )


def _allocatable(document: Mapping[str, Any]) -> Iterator[str]:
    levels = document["enforceNodeAllocatable"]
    field = "enforceNodeAllocatable (--enforce-node-allocatable)"
    for kind, cgroup, flag in (
        ("system", "systemReservedCgroup", "system-reserved-cgroup"),
        ("kube", "kubeReservedCgroup", "kube-reserved-cgroup"),
    ):
        whole, compressible = f"{kind}-reserved", f"{kind}-reserved-compressible"
        if whole in levels and compressible in levels:
            yield f'both "{compressible}" and "{whole}" cannot be specified together in {field}'
        if (whole in levels or compressible in levels) and not document[cgroup]:
            yield f'{cgroup} (--{flag}) must be specified when "{whole}" or "{compressible}" included in {field}'
    for level in sorted({level for level in levels if levels.count(level) > 1}):
        yield f'duplicated enforcements "{level}" in {field}'
    for level in levels:
        if level not in ENFORCEMENTS:
            yield f'option "{level}" specified for {field}. Valid options are {", ".join(ENFORCEMENTS)}'
    if "none" in levels and len(levels) > 1:
        yield f'{field} may not contain additional enforcements when "none" is specified'
    if document["reservedSystemCPUs"]:
        if document["systemReservedCgroup"] or document["kubeReservedCgroup"]:
            yield (
                "can't use reservedSystemCPUs (--reserved-cpus) with systemReservedCgroup (--system-reserved-cgroup) or"
                " kubeReservedCgroup (--kube-reserved-cgroup)"
            )
        try:
            parse_cpus(document["reservedSystemCPUs"])
        except ValueError as error:
            yield f"unable to parse reservedSystemCPUs (--reserved-cpus) {document['reservedSystemCPUs']}, error: {error}"
    yield from _reserved_memory(document.get("reservedMemory") or ())


def _reserved_memory(entries: Any) -> Iterator[str]:
    seen = set()
    for entry in entries:
        node = entry.get("numaNode", 0)
        for name, value in (entry.get("limits") or {}).items():
            if name != "memory" and not name.startswith("hugepages-"):
                yield (
                    f'the limit type "{name}" for NUMA node {node} is not supported, only [memory'
                    " hugepages-<HugePageSize>] is accepted"
                )
            if quantity(value) == 0:
                yield f'reserved memory may not be zero for NUMA node {node} and resource "{name}"'
            if (node, name) in seen:
                yield f'the reserved memory has a duplicate value for NUMA node {node} and resource "{name}"'
            seen.add((node, name))


def _pods(document: Mapping[str, Any]) -> Iterator[str]:
    swap = document["memorySwap"].get("swapBehavior") or ""
    if swap not in SWAP_BEHAVIORS:
        yield f'memorySwap.swapBehavior "{swap}" must be one of: "", "LimitedSwap" or "NoSwap"'
    restart = document["crashLoopBackOff"]["maxContainerRestartPeriod"]
    if not 1 <= parse_duration(restart) <= 300:
        yield (
            f"CrashLoopBackOff.MaxContainerRestartPeriod (got: {parse_duration(restart):g} seconds) must be set between"
            " 1s and 300s"
        )
    if document["containerLogMaxWorkers"] < 1:
        yield "containerLogMaxWorkers must be greater than or equal to 1"
    if parse_duration(document["containerLogMonitorInterval"]) < MIN_MONITOR_S:
        yield "containerLogMonitorInterval must be a positive time duration greater than or equal to 3s"
    if document["containerLogMaxFiles"] <= 1:
        yield "containerLogMaxFiles must be greater than 1"
    try:
        if to_int(document["containerLogMaxSize"]) < 0:
            yield f"containerLogMaxSize {document['containerLogMaxSize']} must not be negative"
    except ValueError as error:
        yield f"containerLogMaxSize: {error}"
    folder = document["podLogsDir"]
    if not folder.startswith("/"):
        yield f'pod logs path "{folder}" must be absolute path'
    elif str(PurePosixPath(folder)) != folder or ".." in folder.split("/"):
        yield f'pod logs path "{folder}" must be normalized'
    if not folder.isascii():
        yield f'pod logs path "{folder}" mut contains ASCII characters only'
    ids = (document.get("userNamespaces") or {}).get("idsPerPod")
    if ids is not None:
        if ids < USER_NAMESPACE_UNIT:
            yield f"userNamespaces.idsPerPod must not be less than {USER_NAMESPACE_UNIT}"
        elif ids % USER_NAMESPACE_UNIT:
            yield f"userNamespaces.idsPerPod must be a multiple of {USER_NAMESPACE_UNIT}"
        elif ids > 2**32 - 1:
            yield f"userNamespaces.idsPerPod must not be more than {2**32 - 1}"
    if document["enableSystemLogQuery"] and not document["enableSystemLogHandler"]:
        yield "enableSystemLogHandler is required for enableSystemLogQuery"
    if document["serverTLSBootstrap"] and not feature_gates.enabled(
        "RotateKubeletServerCertificate", document.get("featureGates") or {}
    ):
        yield "serverTLSBootstrap true requires feature gate RotateKubeletServerCertificate"
    for taint in document.get("registerWithTaints") or ():
        if taint.get("timeAdded") is not None:
            yield "taint.TimeAdded is not nil"
        if not taint.get("key") or taint.get("effect") not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            yield f"invalid taint: {taint}"
    for name, value in _leaves(document["logging"].get("options") or {}, "logging.options"):
        if value not in (0, "0", False, None):
            yield f"{name}={value!r} needs the feature gate LoggingAlphaOptions, which this kubelet does not have"


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}")
    else:
        yield path, value
