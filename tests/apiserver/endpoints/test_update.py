"""Replacing objects and their status."""

from __future__ import annotations

import pytest

from steersman.client.api import Client
from steersman.meta.errors import Conflict, Invalid, NotFound, OtherStatus
from steersman.meta.objects import with_metadata
from steersman.meta.resources import CONFIGMAPS, DEPLOYMENTS, LEASES
from tests.apiserver.builders import config_map, deployment


async def test_an_update_gets_a_new_version_and_keeps_identity(client: Client) -> None:
    created = await client.create(CONFIGMAPS, config_map())
    updated = await client.update(CONFIGMAPS, {**created, "data": {"key": "other"}})
    assert updated["data"] == {"key": "other"}
    assert updated["metadata"]["uid"] == created["metadata"]["uid"]
    assert updated["metadata"]["creationTimestamp"] == created["metadata"]["creationTimestamp"]
    assert int(updated["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])


async def test_an_update_without_a_change_writes_nothing(client: Client) -> None:
    created = await client.create(CONFIGMAPS, config_map())
    updated = await client.update(CONFIGMAPS, created)
    assert updated["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


async def test_an_old_version_conflicts(client: Client) -> None:
    created = await client.create(CONFIGMAPS, config_map())
    await client.update(CONFIGMAPS, {**created, "data": {"key": "first"}})
    with pytest.raises(Conflict, match="the object has been modified; please apply your changes to the latest version"):
        await client.update(CONFIGMAPS, {**created, "data": {"key": "second"}})


async def test_an_update_without_a_version_overwrites(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    updated = await client.update(CONFIGMAPS, {**config_map(), "data": {"key": "new"}})
    assert updated["data"] == {"key": "new"}


async def test_another_uid_conflicts(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    with pytest.raises(Conflict, match="Precondition failed: UID in precondition: other"):
        await client.update(CONFIGMAPS, config_map(uid="other"))


async def test_absent_objects_are_not_created_unless_the_kind_allows_it(client: Client) -> None:
    with pytest.raises(NotFound, match='configmaps "a" not found'):
        await client.update(CONFIGMAPS, config_map())
    lease = {"metadata": {"name": "a", "namespace": "default"}, "spec": {}}
    assert (await client.update(LEASES, lease))["metadata"]["uid"]


async def test_the_name_must_be_that_of_the_url(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    answer = await client.request("PUT", "/api/v1/namespaces/default/configmaps/a", body=b'{"metadata":{"name":"b"}}')
    assert answer.status == 400
    assert answer.content["message"] == "the name of the object (b) does not match the name on the URL (a)"


async def test_generation_rises_with_the_spec_only(client: Client) -> None:
    created = await client.create(DEPLOYMENTS, deployment())
    labelled = await client.update(DEPLOYMENTS, with_metadata(created, labels={"a": "b"}))
    assert labelled["metadata"]["generation"] == 1
    scaled = await client.update(DEPLOYMENTS, {**labelled, "spec": {**labelled["spec"], "replicas": 5}})
    assert scaled["metadata"]["generation"] == 2


async def test_status_and_the_rest_are_separate(client: Client) -> None:
    created = await client.create(DEPLOYMENTS, deployment(replicas=1))
    changed = {**created, "spec": {**created["spec"], "replicas": 9}, "status": {"replicas": 3}}
    after_status = await client.update(DEPLOYMENTS, changed, subresource="status")
    assert (after_status["spec"]["replicas"], after_status["status"]["replicas"]) == (1, 3)
    assert after_status["metadata"]["generation"] == 1
    changed = {**after_status, "spec": {**created["spec"], "replicas": 9}, "status": {"replicas": 8}}
    after_main = await client.update(DEPLOYMENTS, changed)
    assert (after_main["spec"]["replicas"], after_main["status"]["replicas"]) == (9, 3)


async def test_the_selector_of_a_deployment_is_immutable(client: Client) -> None:
    created = await client.create(DEPLOYMENTS, deployment())
    other = {**created["spec"], "selector": {"matchLabels": {"app": "b"}}}
    other["template"] = {**other["template"], "metadata": {"labels": {"app": "b"}}}
    with pytest.raises(Invalid, match=r"spec\.selector: Invalid value.*field is immutable"):
        await client.update(DEPLOYMENTS, {**created, "spec": other})


async def test_malformed_versions_are_refused(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    for version, why in (("x", "invalid syntax"), ("-1", "invalid syntax"), (str(1 << 64), "value out of range")):
        with pytest.raises(OtherStatus) as refused:
            await client.update(CONFIGMAPS, config_map(resourceVersion=version))
        assert refused.value.message == f'strconv.ParseUint: parsing "{version}": {why}'


async def test_versions_are_compared_as_numbers(client: Client) -> None:
    created = await client.create(CONFIGMAPS, config_map(resourceVersion="what is no version is nobody's"))
    padded = f"00{created['metadata']['resourceVersion']}"
    updated = await client.update(CONFIGMAPS, config_map(resourceVersion=padded, labels={"a": "b"}))
    assert updated["metadata"]["labels"] == {"a": "b"}
    with pytest.raises(Conflict):
        await client.update(CONFIGMAPS, config_map(resourceVersion=padded))
