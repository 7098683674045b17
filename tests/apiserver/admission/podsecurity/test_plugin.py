"""PodSecurity before a server: what is refused, warned about and noted."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.admission.podsecurity.plugin import is_significant, prioritized
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta import objects
from steersman.meta.errors import Forbidden, Invalid
from steersman.meta.objects import Object
from steersman.meta.resources import CRONJOBS, NAMESPACES, PODS
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.builders import deployment, pod

PREFIX = "pod-security.kubernetes.io/"


async def _namespace(client: Client, name: str = "a", **labels: str) -> Object:
    found = {f"{PREFIX}{key.replace('_', '-')}": value for key, value in labels.items()}
    return await client.create(NAMESPACES, {"metadata": {"name": name, "labels": found}})


def _privileged(name: str = "p", namespace: str = "a") -> Object:
    made = pod(name, namespace)
    made["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    return made


async def _warnings(client: Client, method: str, path: str, obj: Mapping[str, Any]) -> list[str]:
    import msgspec

    answer = await client.request(
        method, path, body=msgspec.json.encode(obj), headers={"content-type": "application/json"}
    )
    assert answer.status < 300, answer.content
    text = answer.headers.get("warning", "")
    return [part.replace('\\"', '"') for part in re.findall(r'299 - "((?:[^"\\]|\\.)*)"', text)]


async def test_enforcing_refuses_in_upstreams_words(client: Client) -> None:
    await _namespace(client, enforce="baseline")
    with pytest.raises(Forbidden) as caught:
        await client.create(PODS, _privileged())
    assert caught.value.message == (
        'pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged (container "main" must not set '
        "securityContext.privileged=true)"
    )
    await client.create(PODS, pod("q", "a"))


async def test_the_restricted_level_names_everything(client: Client) -> None:
    await _namespace(client, enforce="restricted", enforce_version="v1.30")
    with pytest.raises(Forbidden) as caught:
        await client.create(PODS, pod("p", "a"))
    assert caught.value.message.startswith(
        'pods "p" is forbidden: violates PodSecurity "restricted:v1.30": allowPrivilegeEscalation != false (container "main" '
        "must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities"
    )


async def test_warnings_of_pods_and_templates(client: Client) -> None:
    await _namespace(client, warn="baseline", audit="baseline")
    wanted = 'would violate PodSecurity "baseline:latest": privileged (container "main" must not set securityContext.privileged=true)'
    assert await _warnings(client, "POST", "/api/v1/namespaces/a/pods", _privileged()) == [wanted]
    made = deployment("d", "a")
    made["spec"]["template"]["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    assert await _warnings(client, "POST", "/apis/apps/v1/namespaces/a/deployments", made) == [wanted]
    template = made["spec"]["template"]
    template = {**template, "spec": {**template["spec"], "restartPolicy": "Never"}}
    cron = {
        "metadata": {"name": "j", "namespace": "a"},
        "spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}},
    }
    assert await _warnings(client, "POST", CRONJOBS.path("a"), cron) == [wanted]


async def test_enforcing_warns_of_templates_that_will_fail(client: Client) -> None:
    await _namespace(client, enforce="baseline")
    made = deployment("d", "a")
    made["spec"]["template"]["spec"]["hostNetwork"] = True
    [warning] = await _warnings(client, "POST", "/apis/apps/v1/namespaces/a/deployments", made)
    assert warning == 'would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'


async def test_labels_must_be_right(client: Client) -> None:
    with pytest.raises(Invalid, match="must be one of privileged, baseline, restricted"):
        await _namespace(client, enforce="strict")
    made = await _namespace(client)
    labels = {**objects.labels(made), f"{PREFIX}warn-version": "1.2"}
    with pytest.raises(Invalid, match=r'must be "latest" or "v1.x"'):
        await client.update(NAMESPACES, objects.with_metadata(made, labels=labels))


async def test_a_stricter_level_warns_of_pods_that_are_there(client: Client) -> None:
    made = await _namespace(client)
    for name in ("p2", "p1", "p3"):
        await client.create(PODS, _privileged(name))
    hosts = pod("h", "a")
    hosts["spec"]["hostNetwork"] = True
    await client.create(PODS, hosts)
    labels = {**objects.labels(made), f"{PREFIX}enforce": "baseline"}
    path = "/api/v1/namespaces/a"
    assert await _warnings(client, "PUT", path, objects.with_metadata(made, labels=labels)) == [
        'existing pods in namespace "a" violate the new PodSecurity enforce level "baseline:latest"',
        "h: host namespaces",
        "p1 (and 2 other pods): privileged",
    ]
    relaxed = await client.get(NAMESPACES, "a")
    labels = {**objects.labels(relaxed), f"{PREFIX}enforce": "privileged"}
    assert await _warnings(client, "PUT", path, objects.with_metadata(relaxed, labels=labels)) == []


async def test_updates_that_change_no_image_pass(client: Client) -> None:
    made = await _namespace(client)
    created = await client.create(PODS, _privileged())
    labels = {**objects.labels(made), f"{PREFIX}enforce": "baseline"}
    await client.update(NAMESPACES, objects.with_metadata(made, labels=labels))
    updated = await client.update(PODS, objects.with_metadata(created, labels={"a": "b"}))
    changed = copy.deepcopy(updated)
    changed["spec"]["containers"][0]["image"] = "other"
    with pytest.raises(Forbidden, match="violates PodSecurity"):
        await client.update(PODS, changed)


@pytest.fixture
async def configured(clock: FakeClock) -> AsyncIterator[APIServer]:
    configuration = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": {"enforce": "restricted", "enforce-version": "latest"},
        "exemptions": {"usernames": ["joe"], "namespaces": ["exempt"], "runtimeClasses": ["vm"]},
    }
    config = APIServerConfig(
        disabled_admission_plugins=("ServiceAccount", "RuntimeClass"),
        admission_configuration={"PodSecurity": configuration},
    )
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    yield server
    await server.close()


async def test_defaults_and_exemptions(configured: APIServer) -> None:
    admin = Client(InProcessTransport(configured.handle))
    joe = Client(InProcessTransport(configured.handle, user="joe", groups=()))
    with pytest.raises(Forbidden, match='violates PodSecurity "restricted:latest"'):
        await admin.create(PODS, pod("p"))
    await joe.create(PODS, pod("p"))
    await _namespace(admin, "exempt")
    await admin.create(PODS, pod("p", "exempt"))
    made = pod("vm")
    made["spec"]["runtimeClassName"] = "vm"
    await admin.create(PODS, made)
    namespace = await admin.get(NAMESPACES, "exempt")
    labels = {**objects.labels(namespace), f"{PREFIX}enforce": "restricted", f"{PREFIX}enforce-version": "v1.29"}
    assert await _warnings(
        admin, "PUT", "/api/v1/namespaces/exempt", objects.with_metadata(namespace, labels=labels)
    ) == ['namespace "exempt" is exempt from Pod Security, and the policy (enforce=restricted:v1.29) will be ignored']
    metrics = (await admin.request("GET", "/metrics")).body.decode()
    assert 'pod_security_exemptions_total{request_operation="create",resource="pod",subresource=""} 3' in metrics
    assert 'decision="deny",mode="enforce",policy_level="restricted",policy_version="latest"' in metrics


def test_significant_updates() -> None:
    old = pod("a")
    assert not is_significant(old, old)
    assert is_significant({**old, "spec": {**old["spec"], "initContainers": [{"name": "i"}]}}, old)
    added = {**old, "spec": {**old["spec"], "ephemeralContainers": [{"name": "e", "image": "x"}]}}
    assert is_significant(added, old)
    assert not is_significant(added, added)


def test_one_pod_of_each_controller_is_looked_at_first() -> None:
    def owned(name: str, uid: str) -> Object:
        return pod(name, ownerReferences=[{"uid": uid, "controller": True}])

    pods = [owned("a", "1"), owned("b", "1"), owned("c", "2"), pod("d"), pod("e")]
    found = prioritized(pods, lambda entry: objects.name(entry) == "e")
    assert [objects.name(entry) for entry in found] == ["a", "c", "d", "b"]
