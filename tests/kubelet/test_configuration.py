"""KubeletConfiguration files and flags: taken, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from steersman.cli import kubelet_flags
from steersman.cli.kubelet import command
from steersman.kubelet.api_clients import RateLimit
from steersman.kubelet.configuration import ConfigurationError, KubeletConfig
from steersman.kubelet.configuration_fields import FIELDS
from steersman.kubelet.configuration_file import load_configuration, load_configurations
from steersman.kubelet.configuration_settings import completed, settings_of
from steersman.kubelet.shutdown.periods import ShutdownPeriod

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


def load(tmp_path: Path, text: str) -> KubeletConfig:
    file = tmp_path / "config.yaml"
    file.write_text(HEAD + text)
    return KubeletConfig(node_name="n", **settings_of(completed(load_configuration(file))))


def static_cpus(*options: str) -> dict[str, Any]:
    return {"cpuManagerPolicy": "static", "cpuManagerPolicyOptions": dict.fromkeys(options, "true")}


def configured(**document: Any) -> KubeletConfig:
    return KubeletConfig(node_name="n", **settings_of(completed(document)))


def test_a_file_is_understood(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "clusterDNS: [10.96.0.10]\nmaxPods: 50\nstaticPodPath: /manifests\nsyncFrequency: 1m30s\n"
        "cgroupDriver: cgroupfs\nserializeImagePulls: false\nkubeReserved: {cpu: 100m}\nsystemReserved: {cpu: 200m}\n"
        "shutdownGracePeriod: 30s\nshutdownGracePeriodCriticalPods: 10s\nimageMaximumGCAge: 24h\n",
    )
    assert (found.cluster_dns, found.max_pods, found.sync_s) == (("10.96.0.10",), 50, 90.0)
    assert found.static_pod_path == Path("/manifests")
    assert found.max_parallel_image_pulls is None
    assert found.reservations.total == {"cpu": "300m"}
    assert found.shutdown == (
        ShutdownPeriod(priority=0, grace_s=20),
        ShutdownPeriod(priority=2_000_000_000, grace_s=10),
    )
    assert found.image_gc.max_age_s == 86400


def test_an_empty_file_gives_upstreams_defaults() -> None:
    document = completed({})
    assert set(FIELDS) - set(document) == {
        # upstream leaves these out of its defaults too
        "clusterDNS", "cpuManagerPolicyOptions", "evictionMinimumReclaim", "evictionSoft", "evictionSoftGracePeriod",
        "featureGates", "kubeReserved", "maxParallelImagePulls", "preloadedImagesVerificationAllowlist", "qosReserved",
        "registerWithTaints", "reservedMemory", "shutdownGracePeriodByPodPriority", "singleProcessOOMKill",
        "staticPodURLHeader", "systemReserved", "tlsCipherSuites", "tlsCurvePreferences", "tracing",
        "topologyManagerPolicyOptions", "userNamespaces", "allowedUnsafeSysctls",
    }  # fmt: skip
    assert document["authentication"]["webhook"] == {"enabled": True, "cacheTTL": "2m0s"}
    assert document["authorization"]["mode"] == "Webhook"
    assert document["evictionHard"]["memory.available"] == "100Mi"
    assert document["serializeImagePulls"] is True


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"nodeStatusUpdateFrequency": "7s"}, "nodeStatusReportFrequency", "7s"),
        ({"maxParallelImagePulls": 3}, "serializeImagePulls", False),
        ({"maxParallelImagePulls": 1}, "serializeImagePulls", True),
        ({"syncFrequency": "0s"}, "syncFrequency", "1m0s"),
        ({"podPidsLimit": -7}, "podPidsLimit", -1),
        ({"evictionHard": {"memory.available": "1Gi"}}, "evictionHard", {"memory.available": "1Gi"}),
        ({"evictionHard": {}}, "evictionHard", {}),
        ({"authentication": {"anonymous": {"enabled": True}}}, "authorization",
         {"mode": "Webhook", "webhook": {"cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s"}}),
    ],
)  # fmt: skip
def test_defaults_depend_on_what_is_given(given: dict[str, Any], name: str, value: Any) -> None:
    assert completed(given)[name] == value


def test_default_thresholds_can_be_merged_in() -> None:
    document = completed({"evictionHard": {"memory.available": "1Gi"}, "mergeDefaultEvictionSettings": True})
    assert document["evictionHard"]["memory.available"] == "1Gi"
    assert document["evictionHard"]["nodefs.available"] == "10%"


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"cgroupDriver": "systemd"}, "unsupported value of cgroupDriver"),
        ({"contentType": "application/vnd.kubernetes.protobuf"}, "unsupported value of contentType: .*; requests are JSON"),
        ({"enableProfilingHandler": True}, "unsupported value of enableProfilingHandler"),
        ({"noSuchOption": 1, "alsoNot": 2}, "unsupported options: alsoNot, noSuchOption"),
        ({"syncFrequency": "soon"}, "syncFrequency: time: invalid duration"),
        ({"maxPods": "many"}, "maxPods: 'many' is not an integer"),
        ({"maxPods": True}, "maxPods: True is not an integer"),
        ({"authentication": {"x509": {"caFile": "/ca"}}}, "unsupported options: authentication.x509.caFile"),
        ({"authorization": {"mode": "RBAC"}}, "unsupported value of authorization.mode"),
        ({"featureGates": {"NoSuchGate": True}}, "unrecognized feature gate: NoSuchGate"),
        ({"featureGates": {"MemoryQoS": True}}, "feature gate MemoryQoS=true is not supported"),
        ({"featureGates": {"AllAlpha": True}}, "feature gate AllAlpha=true is not supported"),
        ({"logging": {"format": "json"}}, "unsupported value of logging.format"),
        ({"tracing": {"endpoint": "x:1"}}, "unsupported value of tracing"),
        ({"runOnce": True}, "Runonce mode has been deprecated"),
        ({"imageGCHighThresholdPercent": 70, "imageGCLowThresholdPercent": 80}, "must be less than"),
        ({"imageMaximumGCAge": "1m"}, "imageMaximumGCAge 1m must be greater than imageMinimumGCAge 2m0s"),
        ({"serializeImagePulls": True, "maxParallelImagePulls": 3}, "cannot be larger than 1 unless"),
        ({"shutdownGracePeriod": "10s", "shutdownGracePeriodCriticalPods": "20s"}, "must be <= shutdownGracePeriod"),
        ({"shutdownGracePeriod": "500ms"}, "must be either zero or otherwise >= 1 sec"),
        ({"shutdownGracePeriod": "5s", "featureGates": {"GracefulNodeShutdown": False}}, "requires feature gate"),
        ({"shutdownGracePeriod": "5s", "shutdownGracePeriodByPodPriority": [{"priority": 1}]}, "Cannot specify both"),
        ({"enforceNodeAllocatable": ["none", "pods"]}, "may not contain additional enforcements"),
        ({"enforceNodeAllocatable": ["kube-reserved"]}, "kubeReservedCgroup"),
        ({"enforceNodeAllocatable": ["all"]}, 'option "all" specified'),
        ({"reservedSystemCPUs": "0-"}, "unable to parse reservedSystemCPUs"),
        ({"kubeReserved": {"gpu": "1"}}, 'cannot reserve "gpu" resource'),
        ({"systemReserved": {"cpu": "-1"}}, "cannot be negative"),
        ({"evictionHard": {"memory.free": "1Gi"}}, "unsupported eviction signal memory.free"),
        ({"evictionSoft": {"memory.available": "1Gi"}}, "grace period must be specified"),
        ({"topologyManagerPolicy": "strict"}, "topologyManagerPolicy 'strict' must be one of"),
        ({"cpuManagerPolicyOptions": {"full-pcpus-only": "true"}}, "none policy: received unsupported options"),
        ({"cpuManagerPolicy": "static", "cpuManagerPolicyOptions": {"x": "true"}}, "unknown CPU Manager Policy option"),
        (static_cpus("align-by-socket"), "Alpha-level Options not enabled, but option \"align-by-socket\" provided"),
        (static_cpus("prefer-align-cpus-by-uncorecache", "distribute-cpus-across-numa"),
         "distribute-cpus-across-numa can not be used at the same time"),
        ({"topologyManagerPolicyOptions": {"x": "true"}}, "unknown Topology Manager Policy option"),
        ({"containerLogMaxFiles": 1}, "containerLogMaxFiles must be greater than 1"),
        ({"podLogsDir": "logs"}, "must be absolute path"),
        ({"userNamespaces": {"idsPerPod": 1000}}, "must not be less than 65536"),
        ({"memorySwap": {"swapBehavior": "UnlimitedSwap"}}, "memorySwap.swapBehavior"),
        ({"registerWithTaints": [{"key": "a", "effect": "Never"}]}, "invalid taint"),
    ],
)  # fmt: skip
def test_what_is_wrong_or_not_supported_is_named(document: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint.replace("[", r"\[").replace("(", r"\(")):
        configured(**document)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError) as raised:
        completed({"maxPods": "x", "noSuch": 1, "cgroupDriver": "systemd"})
    assert all(name in str(raised.value) for name in ("maxPods", "noSuch", "cgroupDriver"))


def test_a_gate_keeps_the_quota_of_exclusive_cpus() -> None:
    assert configured().cpu_manager.lifts_quota
    assert not configured(featureGates={"DisableCPUQuotaWithExclusiveCPUs": False}).cpu_manager.lifts_quota


def test_alpha_options_of_the_cpu_manager_need_their_gate() -> None:
    given = static_cpus("align-by-socket", "distribute-cpus-across-cores")
    found = configured(**given, featureGates={"CPUManagerPolicyAlphaOptions": True})
    assert found.cpu_manager.options == {"align-by-socket", "distribute-cpus-across-cores"}


def test_gates_of_other_components_and_defaults_are_accepted() -> None:
    configured(featureGates={"HPAScaleToZero": True, "SidecarContainers": True, "MemoryQoS": False, "AllAlpha": False})


def test_what_kubeadm_writes_is_understood() -> None:
    configured(
        authentication={"anonymous": {"enabled": False}, "webhook": {"cacheTTL": "0s", "enabled": True},
                        "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"}},
        authorization={"mode": "Webhook", "webhook": {"cacheAuthorizedTTL": "0s", "cacheUnauthorizedTTL": "0s"}},
        clusterDNS=["10.96.0.10"], clusterDomain="cluster.local", cpuManagerReconcilePeriod="0s",
        crashLoopBackOff={}, evictionPressureTransitionPeriod="0s", fileCheckFrequency="0s",
        healthzBindAddress="127.0.0.1", healthzPort=10248, httpCheckFrequency="0s", imageMaximumGCAge="0s",
        imageMinimumGCAge="0s",
        logging={"flushFrequency": 0, "options": {"json": {"infoBufferSize": "0"}, "text": {"infoBufferSize": "0"}},
                 "verbosity": 0},
        memorySwap={}, nodeStatusReportFrequency="0s", nodeStatusUpdateFrequency="0s", rotateCertificates=True,
        runtimeRequestTimeout="0s", shutdownGracePeriod="0s", shutdownGracePeriodCriticalPods="0s",
        staticPodPath="/etc/kubernetes/manifests", streamingConnectionIdleTimeout="0s", syncFrequency="0s",
        volumeStatsAggPeriod="0s",
    )  # fmt: skip


def test_a_rate_of_zero_is_client_gos_default() -> None:
    assert configured(kubeAPIQPS=0, kubeAPIBurst=0).api_limit == RateLimit(qps=5, burst=100)
    assert configured(eventRecordQPS=7, eventBurst=9).event_limit == RateLimit(qps=7, burst=9)


def test_reserved_cpus_replace_the_number_of_reserved_ones() -> None:
    found = configured(reservedSystemCPUs="0-1", kubeReserved={"cpu": "500m", "memory": "1Gi"})
    assert found.reservations.total == {"memory": "1073741824", "cpu": "2"}
    assert found.cpu_manager.reserved == frozenset((0, 1))


def test_drop_ins_are_merged_in_order(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(HEAD + "maxPods: 10\nkubeReserved: {cpu: 100m, memory: 1Gi}\n")
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "20-b.conf").write_text(HEAD + "maxPods: 30\n")
    (folder / "10-a.conf").write_text(HEAD + "maxPods: 20\nkubeReserved: {memory: 2Gi}\n")
    (folder / "99-not.yaml").write_text("nothing of it")
    document = load_configurations(tmp_path / "base.yaml", folder)
    assert document == {"maxPods": 30, "kubeReserved": {"cpu": "100m", "memory": "2Gi"}}


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("apiVersion: v1\nkind: Pod\n")
    with pytest.raises(ConfigurationError, match="is not a KubeletConfiguration"):
        load_configuration(file)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--no-such-flag=1"], "No such option"),
        (["--cgroup-driver=systemd"], "cgroupDriver"),
        (["--node-labels=a"], "is not key=value"),
        (["--node-labels=kubernetes.io/role=x"], "unknown 'kubernetes.io' or 'k8s.io' labels"),
        (["--node-labels=a b=c"], "invalid node labels"),
        (["--register-with-taints=a=b"], "is not key=value:effect"),
        (["--sync-frequency=soon"], "invalid duration"),
        (["--anonymous-auth=maybe"], "is not true or false"),
        (["--max-pods=x"], "--max-pods"),
        (["--config=/no/such/file"], "cannot read"),
        (["--config-dir=/no/such/folder"], "is no directory"),
    ],
)
def test_bad_flags_are_errors(flags: list[str], complaint: str) -> None:
    result = CliRunner().invoke(command, flags)
    assert result.exit_code == 2
    assert complaint in result.output


@pytest.mark.parametrize(
    ("flag", "text", "document"),
    [
        ("eviction_hard", "memory.available<1Gi,nodefs.available<5%",
         {"evictionHard": {"memory.available": "1Gi", "nodefs.available": "5%"}}),
        ("anonymous_auth", "true", {"authentication": {"anonymous": {"enabled": True}}}),
        ("feature_gates", "A=true,B=false", {"featureGates": {"A": True, "B": False}}),
        ("manifest_url_header", ("a:hello,b:again", "a:world"), {"staticPodURLHeader": {"a": ["hello", "world"], "b": ["again"]}}),
        ("reserved_memory", ("0:memory=1Gi,hugepages-2Mi=2Gi", "1:memory=2Gi"),
         {"reservedMemory": [{"numaNode": 0, "limits": {"memory": "1Gi", "hugepages-2Mi": "2Gi"}},
                             {"numaNode": 1, "limits": {"memory": "2Gi"}}]}),
        ("register_with_taints", "a=b:NoSchedule,c:NoExecute",
         {"registerWithTaints": [{"key": "a", "value": "b", "effect": "NoSchedule"}, {"key": "c", "effect": "NoExecute"}]}),
    ],
)  # fmt: skip
def test_flags_set_fields(flag: str, text: Any, document: dict[str, Any]) -> None:
    assert kubelet_flags.document_of({flag: text}) == document


def test_flags_win_over_files_and_gates_are_merged() -> None:
    file = {"maxPods": 10, "featureGates": {"A": True, "B": True}, "kubeReserved": {"cpu": "1"}}
    flags = {"maxPods": 20, "featureGates": {"B": False}, "kubeReserved": {"memory": "1Gi"}}
    assert kubelet_flags.over(file, flags) == {
        "maxPods": 20, "featureGates": {"A": True, "B": False}, "kubeReserved": {"memory": "1Gi"}
    }  # fmt: skip


def test_every_flag_stands_for_a_field() -> None:
    assert {field.partition(".")[0] for field, _ in kubelet_flags.FLAGS.values()} <= set(FIELDS)


def test_the_defaults_of_the_component_are_those_of_the_file() -> None:
    from_file, own = configured(), KubeletConfig(node_name="n")
    differing = {name for name in KubeletConfig.__struct_fields__ if getattr(from_file, name) != getattr(own, name)}
    assert differing == {"cluster_domain"}


def test_a_document_survives_yaml(tmp_path: Path) -> None:
    document = completed({"maxPods": 7})
    (tmp_path / "again.yaml").write_text(HEAD + yaml.safe_dump(document))
    assert completed(load_configuration(tmp_path / "again.yaml")) == document
