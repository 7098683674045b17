"""What clients see of fields behind gates that are off: they are known, taken, and not there afterwards."""

from __future__ import annotations

import copy
import json

from steersman.client.api import Client
from steersman.meta.resources import CRONJOBS, DEPLOYMENTS, PODS
from tests.apiserver.builders import deployment, pod

GROUP = {"podGroupName": "a"}


async def test_strict_validation_has_nothing_against_them(client: Client) -> None:
    sent = deployment()
    sent["spec"]["template"]["spec"]["schedulingGroup"] = GROUP
    path = "/apis/apps/v1/namespaces/default/deployments"
    answer = await client.request("POST", path, query={"fieldValidation": "Strict"}, body=json.dumps(sent).encode())
    assert answer.status == 201
    created = await client.get(DEPLOYMENTS, "a", namespace="default")
    assert "schedulingGroup" not in created["spec"]["template"]["spec"]
    [entry] = created["metadata"]["managedFields"]
    assert "f:schedulingGroup" in entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]


async def test_an_update_of_nothing_else_is_no_new_generation(client: Client) -> None:
    created = copy.deepcopy(await client.create(DEPLOYMENTS, deployment()))
    created["spec"]["template"]["spec"]["schedulingGroup"] = GROUP
    updated = await client.update(DEPLOYMENTS, created)
    assert updated["metadata"]["generation"] == 1


async def test_they_are_not_validated(client: Client) -> None:
    sent = pod()
    sent["spec"]["containers"][0]["lifecycle"] = {"stopSignal": "no signal"}
    created = copy.deepcopy(await client.create(PODS, sent))
    assert "lifecycle" not in created["spec"]["containers"][0]
    debugger = {"name": "debugger", "image": "i", "lifecycle": {"stopSignal": "SIGHUP"}}
    created["spec"]["ephemeralContainers"] = [debugger]
    updated = await client.update(PODS, created, subresource="ephemeralcontainers")
    assert "lifecycle" not in updated["spec"]["ephemeralContainers"][0]


async def test_status_has_some_too(client: Client) -> None:
    created = copy.deepcopy(await client.create(PODS, pod()))
    mounts = [{"name": "a", "mountPath": "/a", "volumeStatus": {"image": {"imageRef": "b"}}}]
    status = {"name": "main", "image": "i", "imageID": "i", "ready": True, "restartCount": 0, "volumeMounts": mounts}
    created["status"]["containerStatuses"] = [status]
    created["status"]["nodeAllocatableResourceClaimStatuses"] = [{"resourceClaimName": "c"}]
    updated = await client.update(PODS, created, subresource="status")
    assert updated["status"]["containerStatuses"][0]["volumeMounts"] == [{"name": "a", "mountPath": "/a"}]
    assert "nodeAllocatableResourceClaimStatuses" not in updated["status"]


async def test_templates_deep_inside_are_looked_at(client: Client) -> None:
    template = deployment()["spec"]["template"]
    template["spec"] |= {"restartPolicy": "Never", "schedulingGroup": GROUP}
    spec = {"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}}
    job = {"metadata": {"name": "a", "namespace": "default"}, "spec": spec}
    created = await client.create(CRONJOBS, job)
    assert "schedulingGroup" not in created["spec"]["jobTemplate"]["spec"]["template"]["spec"]
