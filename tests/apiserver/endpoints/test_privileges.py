"""``--allow-privileged=false``, and in which order errors are told."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.client.api import MERGE_PATCH, Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta.errors import Invalid
from steersman.meta.objects import Object
from steersman.meta.resources import CRONJOBS, DEPLOYMENTS, PODS, PODTEMPLATES, Resource
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.builders import deployment, pod


def _privileged(spec: dict[str, Any]) -> dict[str, Any]:
    container = {**spec["containers"][0], "securityContext": {"privileged": True}}
    return {**spec, "containers": [container]}


POD_SPEC = _privileged(pod()["spec"])
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": POD_SPEC}


def _of(kind: str) -> tuple[Resource, Object, str]:
    metadata = {"name": "a", "namespace": "default"}
    if kind == "Pod":
        return PODS, {"metadata": metadata, "spec": POD_SPEC}, "spec"
    if kind == "PodTemplate":
        return PODTEMPLATES, {"metadata": metadata, "template": TEMPLATE}, "template.spec"
    if kind == "Deployment":
        found = deployment()
        return DEPLOYMENTS, {**found, "spec": {**found["spec"], "template": TEMPLATE}}, "spec.template.spec"
    job = {"template": {**TEMPLATE, "spec": {**POD_SPEC, "restartPolicy": "Never"}}}
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": job}}
    return CRONJOBS, {"metadata": metadata, "spec": spec}, "spec.jobTemplate.spec.template.spec"


@pytest.fixture
async def strict() -> AsyncIterator[Client]:
    clock = FakeClock()
    config = APIServerConfig(allow_privileged=False, disabled_admission_plugins=("ServiceAccount",))
    server = APIServer(store=MemoryStore(clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    yield Client(InProcessTransport(server.handle))
    await server.close()


@pytest.mark.parametrize("kind", ["Pod", "PodTemplate", "Deployment", "CronJob"])
async def test_privileged_containers_are_refused(strict: Client, client: Client, kind: str) -> None:
    resource, obj, path = _of(kind)
    with pytest.raises(Invalid) as caught:
        await strict.create(resource, obj)
    where = f"{path}.containers[0].securityContext.privileged"
    assert f"{where}: Forbidden: disallowed by cluster policy" in caught.value.message
    created = await client.create(resource, obj)
    assert created["metadata"]["uid"], "where privileges are allowed, they are"


async def test_a_change_may_not_bring_privileges_either(strict: Client) -> None:
    await strict.create(DEPLOYMENTS, deployment())
    _, obj, _ = _of("Deployment")
    with pytest.raises(Invalid, match="disallowed by cluster policy"):
        await strict.patch(DEPLOYMENTS, "a", {"spec": obj["spec"]}, namespace="default", patch_type=MERGE_PATCH)


async def test_errors_of_metadata_come_first(client: Client) -> None:
    broken = pod("Not A Name")
    broken["metadata"]["labels"] = {"?": "x"}
    broken["spec"]["containers"] = []
    with pytest.raises(Invalid) as caught:
        await client.create(PODS, broken)
    fields = [cause["field"] for cause in caught.value.status()["details"]["causes"]]
    assert fields == ["metadata.name", "metadata.labels", "spec.containers"]
