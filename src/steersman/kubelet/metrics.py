"""The kubelet's own metrics, with upstream's names: what ``GET /metrics`` shows besides those of the server.

Counters and histograms are moved where things happen; ``pod_counts`` has what is a state of the moment.
"""

from __future__ import annotations

from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from steersman.kubelet.metric_families import MetricFamilies

RUNTIME_BUCKETS: Final = tuple(0.005 * 2.5**power for power in range(14))
START_BUCKETS: Final = (
    0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600
)  # fmt: skip
PULL_BUCKETS: Final = (1, 5, 10, 20, 30, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600)
SYNC_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 45, 60)
STORAGE_BUCKETS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600)
RESIZE_BUCKETS: Final = (10, 50, 100, 500, 1000, 2000, 5000, 10000, 20000, 30000, 60000, 120000, 300000, 600000)
"""Milliseconds."""
ADMISSION_BUCKETS: Final = tuple(0.05 * 2**power for power in range(15))


MIB: Final = 1024 * 1024
_SIZES: Final = (
    (102400 * MIB, "GT100GB"), (61440 * MIB, "60GB-100GB"), (40960 * MIB, "40GB-60GB"), (30720 * MIB, "30GB-40GB"),
    (20480 * MIB, "20GB-30GB"), (10240 * MIB, "10GB-20GB"), (5120 * MIB, "5GB-10GB"), (1024 * MIB, "1GB-5GB"),
    (500 * MIB, "500MB-1GB"), (100 * MIB, "100MB-500MB"), (10 * MIB, "10MB-100MB"), (0, "0-10MB"),
)  # fmt: skip


def image_size_bucket(size_bytes: int) -> str:
    """The label of ``kubelet_image_pull_duration_seconds`` for an image of that size."""
    return next((label for least, label in _SIZES if size_bytes > least), "N/A")


Scope = Literal["container", "pod"]
Boundary = Literal["physical_cpu", "numa_node", "uncore_cache"]
POD_RESOURCES_METHODS: Final = {"List": "list", "GetAllocatableResources": "get_allocatable", "Get": "get"}
"""And how upstream's metrics name them."""


class KubeletMetrics:
    """One for a process; a fleet's kubelets share it."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        make = MetricFamilies(self.registry)
        self._add_node(make)
        self._add_pods(make)
        self._add_pod_starts(make)
        self._add_resizes(make)
        self._add_files(make)
        self._add_admission(make)
        self._add_runtime(make)
        self._add_images(make)
        self._add_credential_providers(make)
        self._add_devices(make)
        self._add_pod_resources(make)
        self._add_pinning(make)

    def observe_runtime(self, operation: str, seconds: float, failed: bool) -> None:
        """One call of the container runtime has ended."""
        known = self._runtime.get(operation)
        if known is None:
            known = self._runtime[operation] = (
                self.runtime_operations.labels(operation), self.runtime_durations.labels(operation)
            )  # fmt: skip
        known[0].inc()
        known[1].observe(seconds)
        if failed:
            self.runtime_errors.labels(operation).inc()

    def observe_credential_plugin(self, name: str, seconds: float, failed: bool) -> None:
        """A credential provider plugin has run."""
        self.credential_durations.labels(name).observe(seconds)
        if failed:
            self.credential_errors.labels(name).inc()

    def image_ensured(self, policy: str, *, present: bool | None, pulled: bool | None) -> None:
        """A container asked for an image."""
        said = ["unknown" if fact is None else str(fact).lower() for fact in (present, pulled)]
        self.image_requests.labels(policy.lower(), *said).inc()

    def image_pulled(self, size_bytes: int, seconds: float) -> None:
        """An image came, in ``seconds`` with the wait for others."""
        self.image_pulls.labels(image_size_bucket(size_bytes)).observe(seconds)

    def aligned(self, scope: Scope, boundary: Boundary, *, succeeded: bool, times: int = 1) -> None:
        """Something was to be given from within one ``boundary``; no ``times`` show that it may be."""
        (self._aligned if succeeded else self._not_aligned).labels(scope, boundary).inc(times)

    def _add_node(self, make: MetricFamilies) -> None:
        self.node_name = make.gauge("node_name", "The node's name. The count is always 1.", "node")
        self.shutdown_start = make.gauge(
            "graceful_shutdown_start_time_seconds", "Last graceful shutdown start time since unix epoch in seconds"
        )
        self.shutdown_end = make.gauge(
            "graceful_shutdown_end_time_seconds", "Last graceful shutdown end time since unix epoch in seconds"
        )
        self.cgroup_version = make.gauge("cgroup_version", "cgroup version on the hosts.")
        self.build = Gauge(
            "kubernetes_build_info",
            "A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build"
            " date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
            ("major", "minor", "git_version", "platform"),
            registry=self.registry,
        )

    def _add_pod_starts(self, make: MetricFamilies) -> None:
        self.pod_start = make.histogram(
            "pod_start_duration_seconds",
            "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
            buckets=START_BUCKETS,
        )
        self.pod_start_total = make.histogram(
            "pod_start_total_duration_seconds",
            "Duration in seconds to start a pod since creation, including time to pull images and run init containers,"
            " measured from pod creation timestamp to when all its containers are reported as started and observed via"
            " watch",
            buckets=START_BUCKETS,
        )
        sli = (
            "excluding time to pull images and run init containers, measured from pod creation timestamp to when all its"
            " containers are reported as started and observed via watch"
        )
        self.pod_start_sli = make.histogram(
            "pod_start_sli_duration_seconds", f"Duration in seconds to start a pod, {sli}", buckets=START_BUCKETS
        )
        self.first_network_pod_start_sli = make.gauge(
            "first_network_pod_start_sli_duration_seconds",
            f"Duration in seconds to start the first network pod, {sli}",
        )
        self.pod_worker_start = make.histogram(
            "pod_worker_start_duration_seconds", "Duration in seconds from kubelet seeing a pod to starting a worker."
        )
        self.pod_status_sync = make.histogram(
            "pod_status_sync_duration_seconds",
            "Duration in seconds to sync a pod status update. Measures time from detection of a change to pod status until"
            " the API is successfully updated for that pod, even if multiple intevening changes to pod status occur.",
            buckets=SYNC_BUCKETS,
        )
        self.sandbox_durations = make.histogram(
            "run_podsandbox_duration_seconds",
            "Duration in seconds of the run_podsandbox operations. Broken down by RuntimeClass.Handler.",
            "runtime_handler",
        )
        self.sandbox_errors = make.counter(
            "run_podsandbox_errors",
            "Cumulative number of the run_podsandbox operation errors by RuntimeClass.Handler.",
            "runtime_handler",
        )

    def _add_resizes(self, make: MetricFamilies) -> None:
        self.requested_resizes = make.counter(
            "container_requested_resizes",
            "Number of requested resizes, counted at the container level. Different resources on the same container are"
            " counted separately. The 'requirement' label refers to 'memory' or 'limits'; the 'operation' label can be one"
            " of 'add', 'remove', 'increase' or 'decrease'.",
            "resource",
            "requirement",
            "operation",
        )
        self.resize_durations = make.histogram(
            "pod_resize_duration_milliseconds", "Duration in milliseconds to actuate a pod resize", "success",
            buckets=RESIZE_BUCKETS,
        )  # fmt: skip
        self.deferred_accepted_resizes = make.counter(
            "pod_deferred_accepted_resizes",
            "Cumulative number of resizes that were accepted after being deferred.",
            "retry_trigger",
        )

    def _add_files(self, make: MetricFamilies) -> None:
        self.cgroup_durations = make.histogram(
            "cgroup_manager_duration_seconds",
            "Duration in seconds for cgroup manager operations. Broken down by method.",
            "operation_type",
        )
        self.storage_durations = Histogram(
            "storage_operation_duration_seconds",
            "Storage operation duration",
            ("volume_plugin", "operation_name", "status", "migrated"),
            registry=self.registry,
            buckets=STORAGE_BUCKETS,
        )
        self.image_volumes_requested = make.counter("image_volume_requested", "Number of requested image volumes.")
        self.image_volumes_mounted = make.counter(
            "image_volume_mounted_succeed", "Number of successful image volume mounts."
        )
        self.image_volume_errors = make.counter("image_volume_mounted_errors", "Number of failed image volume mounts.")

    def _add_pods(self, make: MetricFamilies) -> None:
        self.pod_worker = make.histogram(
            "pod_worker_duration_seconds",
            "Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync",
            "operation_type",
        )
        self.started_pods = make.counter("started_pods", "Cumulative number of pods started")
        self.started_pods_errors = make.counter("started_pods_errors", "Cumulative number of errors when starting pods")
        self.started_containers = make.counter(
            "started_containers", "Cumulative number of containers started", "container_type"
        )
        self.started_containers_errors = make.counter(
            "started_containers_errors", "Cumulative number of errors when starting containers", "container_type",
            "code",
        )  # fmt: skip
        self.terminated_containers = make.counter(
            "terminated_containers", "Cumulative number of container terminations.", "container_type", "exit_code",
            "reason",
        )  # fmt: skip
        self.user_namespaced_pods = make.counter(
            "started_user_namespaced_pods", "Cumulative number of pods with user namespaces started"
        )
        self.user_namespaced_pods_errors = make.counter(
            "started_user_namespaced_pods_errors", "Cumulative number of errors when starting pods with user namespaces"
        )
        self.restarted_pods = make.counter(
            "restarted_pods",
            "Number of pods that have been restarted because they were deleted and recreated with the same UID while the"
            " kubelet was watching them (common for static pods, extremely uncommon for API pods)",
            "static",
        )
        self.orphaned_pods = make.counter(
            "orphaned_runtime_pods",
            "Number of pods that have been detected in the container runtime without being already known to the pod"
            " worker. This typically indicates the kubelet was restarted while a pod was force deleted in the API or in"
            " the local configuration, which is unusual.",
        )

    def _add_admission(self, make: MetricFamilies) -> None:
        self.evictions = make.bare_counter(
            "evictions", "Cumulative number of pod evictions by eviction signal", "eviction_signal"
        )
        self.preemptions = make.bare_counter(
            "preemptions", "Cumulative number of pod preemptions by preemption resource", "preemption_signal"
        )
        self.admission_rejections = make.counter(
            "admission_rejections", "Cumulative number pod admission rejections by the Kubelet.", "reason"
        )

    def _add_runtime(self, make: MetricFamilies) -> None:
        self.relist = make.histogram("pleg_relist_duration_seconds", "Duration in seconds for relisting pods in PLEG.")
        self.relist_interval = make.histogram(
            "pleg_relist_interval_seconds", "Interval in seconds between relisting in PLEG."
        )
        self.pleg_last_seen = make.gauge(
            "pleg_last_seen_seconds", "Timestamp in seconds when PLEG was last seen active."
        )
        self.runtime_operations = make.counter(
            "runtime_operations", "Cumulative number of runtime operations by operation type.", "operation_type"
        )
        self.runtime_durations = make.histogram(
            "runtime_operations_duration_seconds",
            "Duration in seconds of runtime operations. Broken down by operation type.",
            "operation_type",
            buckets=RUNTIME_BUCKETS,
        )
        self.runtime_errors = make.counter(
            "runtime_operations_errors", "Cumulative number of runtime operation errors by operation type.",
            "operation_type",
        )  # fmt: skip
        self._runtime: dict[str, tuple[Counter, Histogram]] = {}

    def _add_images(self, make: MetricFamilies) -> None:
        self.images_collected = make.counter(
            "image_garbage_collected",
            "Total number of images garbage collected by the kubelet, whether through disk usage or image age.",
            "reason",
        )
        self.image_pulls = make.histogram(
            "image_pull_duration_seconds", "Duration in seconds to pull an image.", "image_size_in_bytes",
            buckets=PULL_BUCKETS,
        )  # fmt: skip
        self.image_requests = make.counter(
            "image_manager_ensure_image_requests", "Number of ensure-image requests processed by the kubelet.",
            "pull_policy", "present_locally", "pull_required",
        )  # fmt: skip
        self.image_checks = make.counter(
            "imagemanager_image_mustpull_checks",
            "Counter for how many times kubelet checked whether credentials need to be re-verified to access an image",
            "result",
        )
        self.pull_intents = make.gauge("imagemanager_ondisk_pullintents", "Number of ImagePullIntents stored on disk.")
        self.pulled_records = make.gauge(
            "imagemanager_ondisk_pulledrecords", "Number of ImagePulledRecords stored on disk."
        )

    def _add_credential_providers(self, make: MetricFamilies) -> None:
        self.credential_errors = make.counter(
            "credential_provider_plugin_errors", "Number of errors from credential provider plugin", "plugin_name"
        )
        self.credential_durations = make.histogram(
            "credential_provider_plugin_duration",
            "Duration of execution in seconds for credential provider plugin",
            "plugin_name",
        )
        self.credential_config = make.gauge(
            "credential_provider_config_info",
            "Information about the last applied credential provider configuration with hash as label",
            "hash",
        )

    def _add_devices(self, make: MetricFamilies) -> None:
        self.device_registrations = make.counter(
            "device_plugin_registration",
            "Cumulative number of device plugin registrations. Broken down by resource name.",
            "resource_name",
        )
        self.device_allocations = make.histogram(
            "device_plugin_alloc_duration_seconds",
            "Duration in seconds to serve a device plugin Allocation request. Broken down by resource name.",
            "resource_name",
        )

    def _add_pod_resources(self, make: MetricFamilies) -> None:
        self.pod_resources_requests = make.counter(
            "pod_resources_endpoint_requests",
            "Cumulative number of requests to the PodResource endpoint. Broken down by server api version.",
            "server_api_version",
        )
        self.pod_resources_by_method = {
            method: make.bare_counter(
                f"pod_resources_endpoint_requests_{name}",
                f"Number of requests to the PodResource {method} endpoint. Broken down by server api version.",
                "server_api_version",
            )
            for method, name in POD_RESOURCES_METHODS.items()
        }
        self.pod_resources_get_errors = make.bare_counter(
            "pod_resources_endpoint_errors_get",
            "Number of requests to the PodResource Get endpoint which returned error. Broken down by server api version.",
            "server_api_version",
        )

    def _add_pinning(self, make: MetricFamilies) -> None:
        self.cpu_pinnings = make.counter(
            "cpu_manager_pinning_requests", "The number of cpu core allocations which required pinning."
        )
        self.cpu_pinning_errors = make.counter(
            "cpu_manager_pinning_errors", "The number of cpu core allocations which required pinning failed."
        )
        self.cpu_shared_pool = make.gauge(
            "cpu_manager_shared_pool_size_millicores",
            "The size of the shared CPU pool for non-guaranteed QoS pods, in millicores.",
        )
        self.cpu_exclusive = make.gauge(
            "cpu_manager_exclusive_cpu_allocation_count",
            "The total number of CPUs exclusively allocated to containers running on this node",
        )
        self._aligned = make.bare_counter(
            "container_aligned_compute_resources_count",
            "Cumulative number of aligned compute resources allocated to containers by alignment type.",
            "scope",
            "boundary",
        )
        self._not_aligned = make.bare_counter(
            "container_aligned_compute_resources_failure_count",
            "Cumulative number of failures to allocate aligned compute resources to containers by alignment type.",
            "scope",
            "boundary",
        )
        self.memory_pinnings = make.counter(
            "memory_manager_pinning_requests", "The number of memory pages allocations which required pinning."
        )
        self.memory_pinning_errors = make.counter(
            "memory_manager_pinning_errors",
            "The number of memory pages allocations which required pinning that failed.",
        )
        self.topology_admissions = make.counter(
            "topology_manager_admission_requests",
            "The number of admission requests where resources have to be aligned.",
        )
        self.topology_errors = make.counter(
            "topology_manager_admission_errors",
            "The number of admission request failures where resources could not be aligned.",
        )
        self.topology_durations = make.histogram(
            "topology_manager_admission_duration_ms", "Duration in milliseconds to serve a pod admission request.",
            buckets=ADMISSION_BUCKETS,
        )  # fmt: skip
