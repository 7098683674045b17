"""Which plugins a configuration asks for, in which order they run, and what is refused by name."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from steersman.aio.clock import FakeClock
from steersman.apiserver.admission.api import OPERATIONS, AdmissionRequest
from steersman.apiserver.admission.catalogue import INERT, ORDER, UnknownPlugin, chosen, ordered
from steersman.apiserver.admission.configuration import AdmissionConfigurationError, load
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.apiserver.plugins import ADMISSION
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta import objects
from steersman.meta.errors import Forbidden
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, NAMESPACES, NODES, PODS, SERVICES
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.admission.asking import asked, refusal
from tests.apiserver.builders import config_map, pod
from tests.apiserver.conftest import CONFIG

ON = [
    "NamespaceLifecycle",
    "LimitRanger",
    "ServiceAccount",
    "TaintNodesByCondition",
    "PodSecurity",
    "Priority",
    "DefaultTolerationSeconds",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "ClusterTrustBundleAttest",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "PodTopologyLabels",
    "NodeDeclaredFeatureValidator",
    "PodResizeValidator",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
]


def test_every_plugin_has_its_place_and_is_there() -> None:
    assert set(ADMISSION) | INERT == set(ORDER)
    assert list(ADMISSION) == [name for name in ORDER if name not in INERT]
    with pytest.raises(ValueError, match="no place in the order for Other"):
        ordered({"Other": ADMISSION["Priority"]})


async def test_a_plugin_is_asked_about_its_operations_only() -> None:
    seen: list[str] = []

    class Growth:
        NAME = "Growth"
        OPERATIONS = ("UPDATE",)

        async def validate(self, request: AdmissionRequest) -> None:
            seen.append(request.operation)

    for operation in OPERATIONS:
        assert await refusal(Growth(), asked(CONFIGMAPS, config_map(), operation=operation)) == ""
    assert seen == ["UPDATE"]


@pytest.mark.parametrize(
    ("enabled", "disabled", "expected"),
    [
        ((), (), ON),
        (("AlwaysDeny", "NodeRestriction", "JobValidation"), (), [*ON[:3], "NodeRestriction", *ON[3:], "AlwaysDeny"]),
        ((), ("PodSecurity", "PodGroupProtection"), [name for name in ON if name != "PodSecurity"]),
    ],
)
def test_plugins_are_switched_on_and_off(
    enabled: Sequence[str], disabled: Sequence[str], expected: Sequence[str]
) -> None:
    config = APIServerConfig(enabled_admission_plugins=enabled, disabled_admission_plugins=disabled)
    assert list(chosen(ADMISSION, config)) == list(expected)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"enabled_admission_plugins": ["Nope"]}, "enable-admission-plugins: Nope unknown; known are AlwaysAdmit, "),
        ({"disabled_admission_plugins": ["Nope"]}, "disable-admission-plugins: Nope unknown"),
        (
            {"enabled_admission_plugins": ["Priority"], "disabled_admission_plugins": ["Priority"]},
            "Priority in both enable-admission-plugins and disable-admission-plugins",
        ),
        (
            {"admission_configuration": {"Priority": {"a": 1}, "Nope": {"b": 2}}},
            "admission configuration of Nope, Priority",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(UnknownPlugin, match=why):
        chosen(ADMISSION, APIServerConfig(**fields))


async def _server(**fields: Any) -> tuple[APIServer, Client]:
    clock = FakeClock()
    server = APIServer(store=MemoryStore(clock), clock=clock, config=replace(CONFIG, **fields), rng=random.Random(7))
    await server.start()
    return server, Client(InProcessTransport(server.handle))


def _file(directory: Path, plugins: list[Object]) -> str:
    path = directory / "admission.yaml"
    document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins}
    path.write_text(yaml.safe_dump(document))
    return str(path)


async def test_a_server_runs_what_its_file_configures(tmp_path: Path) -> None:
    (tmp_path / "tolerations.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "podtolerationrestriction.admission.k8s.io/v1alpha1",
                "kind": "Configuration",
                "default": [{"key": "team", "operator": "Exists"}],
            }
        )
    )
    security = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": {"enforce": "baseline"},
        "exemptions": {"namespaces": ["kube-system"]},
    }
    plugins: list[Object] = [
        {"name": "PodSecurity", "configuration": security},
        {"name": "PodTolerationRestriction", "path": "tolerations.yaml"},
    ]
    server, client = await _server(
        admission_configuration=load(_file(tmp_path, plugins)),
        enabled_admission_plugins=("PodTolerationRestriction", "AlwaysPullImages", "NamespaceAutoProvision"),
        default_not_ready_toleration_s=7,
    )
    try:
        made = await client.create(PODS, pod("p", "unheard-of"))
        tolerations = {entry["key"]: entry for entry in made["spec"]["tolerations"]}
        assert set(tolerations) == {"team", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}
        assert tolerations["node.kubernetes.io/not-ready"]["tolerationSeconds"] == 7
        assert made["spec"]["containers"][0]["imagePullPolicy"] == "Always"
        assert (await client.get(NAMESPACES, "unheard-of"))["status"]["phase"] == "Active"
        privileged = pod("q")
        privileged["spec"]["hostNetwork"] = True
        with pytest.raises(Forbidden, match='violates PodSecurity "baseline:latest": host namespaces'):
            await client.create(PODS, privileged)
        await client.create(PODS, {**privileged, "metadata": {"name": "q", "namespace": "kube-system"}})
    finally:
        await server.close()


async def test_a_bound_pod_knows_its_zone() -> None:
    server, client = await _server()
    zone = "topology.kubernetes.io/zone"
    try:
        await client.create(NODES, {"metadata": {"name": "n", "labels": {zone: "a"}}})
        await client.create(PODS, pod("p"))
        binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
        await client.create(PODS, binding, namespace="default", name="p", subresource="binding")
        assert objects.labels(await client.get(PODS, "p", namespace="default")) == {zone: "a"}
    finally:
        await server.close()


async def test_a_denying_server_changes_nothing() -> None:
    server, client = await _server(enabled_admission_plugins=("DenyServiceExternalIPs",))
    spec = {"ports": [{"port": 80}], "externalIPs": ["192.0.2.9"]}
    try:
        with pytest.raises(Forbidden, match="Use of external IPs is denied by admission control"):
            await client.create(SERVICES, {"metadata": {"name": "s", "namespace": "default"}, "spec": spec})
        assert [objects.name(entry) for entry in (await client.list(SERVICES)).items] == ["kubernetes"]
    finally:
        await server.close()


@pytest.mark.parametrize(
    "name", ["EventRateLimit", "ImagePolicyWebhook", "PodNodeSelector", "PodSecurity", "ResourceQuota"]
)
def test_a_configuration_that_is_not_understood_stops_the_server(name: str) -> None:
    clock = FakeClock()
    config = APIServerConfig(
        enabled_admission_plugins=[name], admission_configuration={name: {"apiVersion": "v9", "a": 1}}
    )
    with pytest.raises(AdmissionConfigurationError, match=f"{name}: "):
        APIServer(store=MemoryStore(clock), clock=clock, config=config, rng=random.Random(7))


def test_the_oldest_form_of_the_file_is_the_configuration_itself(tmp_path: Path) -> None:
    path = tmp_path / "selectors.yaml"
    path.write_text("podNodeSelectorPluginConfig:\n  clusterDefaultNodeSelector: a=b\nimagePolicy: {denyTTL: 1}\n")
    assert load(str(path)) == {
        "ImagePolicyWebhook": {"imagePolicy": {"denyTTL": 1}},
        "PodNodeSelector": {"podNodeSelectorPluginConfig": {"clusterDefaultNodeSelector": "a=b"}},
    }
