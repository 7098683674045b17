"""The kubelet's metrics: counted where things happen, computed where they are states."""

from __future__ import annotations

import json
import math

from prometheus_client import CollectorRegistry, generate_latest

from steersman.kubelet.certificates.metrics import ClientCertificateMetrics, ServingCertificateMetrics
from steersman.kubelet.exposition import registry_text
from steersman.kubelet.handlers import Outcome, Target
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.node_usage import DiskUsage
from steersman.kubelet.pod_counts import PodCounts, PodState
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.probe_metrics import ProbeMetrics
from steersman.kubelet.runtimes.behaviour import ANNOTATION
from steersman.kubelet.runtimes.cri_calls import operation_name
from steersman.kubelet.volume_stats import VolumeUsage
from steersman.meta.times import parse_time
from tests.kubelet.conftest import Node, is_ready, phase_is
from tests.kubelet.pods import container, pod


def value(metrics: KubeletMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


async def test_what_happens_to_pods_is_counted(node: Node) -> None:
    metrics = node.kubelet.metrics
    await node.create(pod(init=[container("first")], metadata={"annotations": {
        ANNOTATION: json.dumps({"first": {"runSeconds": 1}})
    }}))  # fmt: skip
    await node.until(is_ready)
    assert value(metrics, "kubelet_started_pods_total") == 1
    assert value(metrics, "kubelet_started_containers_total", container_type="init_container") == 1
    assert value(metrics, "kubelet_started_containers_total", container_type="container") == 1
    assert value(metrics, "kubelet_pod_start_duration_seconds_count") == 1
    assert value(metrics, "kubelet_pleg_relist_duration_seconds_count") is not None
    assert value(metrics, "kubelet_terminated_containers_total", container_type="init_container", exit_code="0",
                 reason="Completed") == 1  # fmt: skip
    assert value(metrics, "kubelet_pod_worker_start_duration_seconds_count") == 1
    assert value(metrics, "kubelet_pod_status_sync_duration_seconds_count")
    assert value(metrics, "kubelet_run_podsandbox_duration_seconds_count", runtime_handler="") == 1
    assert value(metrics, "kubelet_started_user_namespaced_pods_total") == 0
    await node.create(pod(container(resources={"requests": {"cpu": "1k"}}), name="big"))
    await node.until(phase_is("Failed"), "big")
    assert value(metrics, "kubelet_admission_rejections_total", reason="OutOfcpu") == 1


async def test_starts_are_timed_without_what_is_not_the_nodes_to_answer_for(node: Node) -> None:
    behaviour = {"annotations": {ANNOTATION: json.dumps({"first": {"runSeconds": 7}, "*": {"pullSeconds": 3}})}}
    await node.create(pod(init=[container("first")], metadata=behaviour))
    found = await node.until(is_ready)
    metrics = node.kubelet.metrics
    created_s = parse_time(found["metadata"]["creationTimestamp"])
    total_s = value(metrics, "kubelet_pod_start_total_duration_seconds_sum")
    assert total_s is not None and 10 <= total_s <= node.clock.now() - created_s
    sli_s = value(metrics, "kubelet_pod_start_sli_duration_seconds_sum")
    assert sli_s is not None and sli_s <= total_s - 10, "neither pulling nor initialization"
    assert value(metrics, "kubelet_first_network_pod_start_sli_duration_seconds") == sli_s
    await node.create(pod(name="kept", volumes=[{"name": "data", "hostPath": {"path": "/data"}}]))
    await node.until(is_ready, "kept")
    assert value(metrics, "kubelet_pod_start_total_duration_seconds_count") == 2
    assert value(metrics, "kubelet_pod_start_sli_duration_seconds_count") == 1, "stateful pods do not count"


async def test_sandboxes_and_pods_with_users_of_their_own_are_counted(node: Node) -> None:
    await node.create(pod(hostUsers=False, metadata={"annotations": {
        ANNOTATION: json.dumps({"": {"sandboxError": "no network"}})
    }}))  # fmt: skip
    metrics = node.kubelet.metrics
    await node.clock.advance(1)
    failed = value(metrics, "kubelet_run_podsandbox_errors_total", runtime_handler="")
    assert failed and failed == value(metrics, "kubelet_run_podsandbox_duration_seconds_count", runtime_handler="")
    assert value(metrics, "kubelet_started_user_namespaced_pods_total") == failed
    assert value(metrics, "kubelet_started_user_namespaced_pods_errors_total") == failed


async def test_a_container_that_does_not_start_is_counted_with_its_reason(node: Node) -> None:
    behaviour = {"annotations": {ANNOTATION: json.dumps({"*": {"pullError": "no"}})}}
    await node.create(pod(metadata=behaviour))
    await node.until(lambda found: bool(found["status"].get("containerStatuses")))
    await node.clock.advance(5)
    labels = {"container_type": "container", "code": "ErrImagePull"}
    assert value(node.kubelet.metrics, "kubelet_started_containers_errors_total", **labels) == 1


def test_states_are_computed_at_each_scrape() -> None:
    disk = DiskUsage(capacity_bytes=100, available_bytes=40, used_bytes=60, inodes=10, inodes_free=4, inodes_used=6)
    volume = VolumeUsage(name="data", time_s=0, disk=disk, claim="claim")
    states = [
        PodState(lifecycle="sync", static=False, is_active=True, sandbox_runs=True, containers=("RUNNING", "EXITED"),
                 namespace="default", volumes=(volume,), volume_kinds=("secret", "persistentVolumeClaim"),
                 mounted_kinds=("secret",), pending_resize="deferred", is_resizing=True),
        PodState(lifecycle="terminated", static=True, is_active=False, sandbox_runs=False, ephemeral_containers=2),
    ]  # fmt: skip
    registry = CollectorRegistry()
    registry.register(PodCounts(lambda: states))
    found = registry.get_sample_value
    assert found("kubelet_running_pods") == 1
    assert found("kubelet_running_containers", {"container_state": "exited"}) == 1
    assert found("kubelet_desired_pods", {"static": "true"}) == 1
    assert found("kubelet_active_pods", {"static": "true"}) == 0
    assert found("kubelet_mirror_pods") == 1
    assert found("kubelet_managed_ephemeral_containers") == 2
    assert found("kubelet_working_pods", {"lifecycle": "terminated", "config": "desired", "static": "true"}) == 1
    claim = {"namespace": "default", "persistentvolumeclaim": "claim"}
    assert found("kubelet_volume_stats_available_bytes", claim) == 40
    assert found("kubelet_volume_stats_inodes_used", claim) == 6
    wanted, mounted = {"state": "desired_state_of_world"}, {"state": "actual_state_of_world"}
    assert found("volume_manager_total_volumes", {"plugin_name": "kubernetes.io/secret", **wanted}) == 1
    assert found("volume_manager_total_volumes", {"plugin_name": "kubernetes.io/secret", **mounted}) == 1
    assert found("volume_manager_total_volumes", {"plugin_name": "N/A", **wanted}) == 1
    assert found("volume_manager_total_volumes", {"plugin_name": "N/A", **mounted}) is None
    assert found("kubelet_pod_pending_resizes", {"reason": "deferred"}) == 1
    assert found("kubelet_pod_in_progress_resizes") == 1
    states.clear()
    assert found("kubelet_running_pods") == 0


def test_series_have_the_names_that_alerts_ask_for() -> None:
    metrics = KubeletMetrics()
    metrics.evictions.labels("memory.available").inc()
    metrics.preemptions.labels("cpu").inc()
    metrics.started_pods.inc()
    text = registry_text(metrics.registry).decode()
    assert 'kubelet_evictions{eviction_signal="memory.available"} 1.0' in text
    assert 'kubelet_preemptions{preemption_signal="cpu"} 1.0' in text
    assert "kubelet_started_pods_total 1.0" in text
    assert "_created" not in text


def test_how_long_certificates_are_good_is_told_of_those_that_are_renewed() -> None:
    registry = CollectorRegistry()
    left = {"client": 90.7, "server": math.inf}
    ClientCertificateMetrics(registry).follow(lambda: left["client"])
    serving = ServingCertificateMetrics(registry)
    serving.follow(lambda: left["server"])
    serving.errors.inc()
    found = registry.get_sample_value
    assert found("kubelet_certificate_manager_client_ttl_seconds") == 90
    assert found("kubelet_certificate_manager_server_ttl_seconds") == math.inf
    left["client"] = -3.2
    assert found("kubelet_certificate_manager_client_ttl_seconds") == -3
    assert found("kubelet_server_expiration_renew_errors") == 1
    assert found("kubelet_certificate_manager_client_expiration_renew_errors") == 0
    assert KubeletMetrics().registry.get_sample_value("kubelet_certificate_manager_client_ttl_seconds") is None


def test_probes_are_counted_by_container_and_forgotten_with_the_pod() -> None:
    obj = pod()
    main = PodContainer(name="main", kind="app", index=0, spec=container())
    target = Target(pod=obj, container=main, container_id="c", pod_ip="")
    metrics = ProbeMetrics()
    metrics.observe(target, "readiness", Outcome(result="success"), 0.02)
    metrics.observe(target, "readiness", Outcome(result="failure"), 3.0)
    metrics.observe(target, "readiness", Outcome(result="error"), 9.0)
    labels = {"probe_type": "Readiness", "container": "main", "pod": "web", "namespace": "default"}
    found = metrics.registry.get_sample_value
    uid = obj["metadata"]["uid"]
    for result in ("successful", "failed", "unknown"):
        assert found("prober_probe_total", {**labels, "pod_uid": uid, "result": result}) == 1
    assert found("prober_probe_duration_seconds_count", labels) == 2
    assert found("prober_probe_duration_seconds_bucket", {**labels, "le": "0.025"}) == 1
    assert found("prober_probe_duration_seconds_sum", labels) == 3.02
    metrics.forget(uid)
    assert b'probe_type="Readiness"' not in generate_latest(metrics.registry)


def test_runtime_operations_have_upstreams_names() -> None:
    assert [operation_name(method) for method in (
        "RunPodSandbox", "ListPodSandbox", "UpdateContainerResources", "ImageFsInfo", "ExecSync", "PullImage",
    )] == ["run_podsandbox", "list_podsandbox", "update_container", "image_fs_info", "exec_sync", "pull_image"]  # fmt: skip
    metrics = KubeletMetrics()
    metrics.observe_runtime("version", 0.1, False)
    metrics.observe_runtime("version", 0.1, True)
    assert value(metrics, "kubelet_runtime_operations_total", operation_type="version") == 2
    assert value(metrics, "kubelet_runtime_operations_errors_total", operation_type="version") == 1
