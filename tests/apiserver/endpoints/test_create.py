"""Creating objects."""

from __future__ import annotations

import json

import pytest

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.meta.errors import AlreadyExists, BadRequest, Invalid
from steersman.meta.resources import CONFIGMAPS, DEPLOYMENTS, LIMITRANGES, NAMESPACES, PODS
from tests.apiserver.builders import config_map, deployment, pod


async def test_the_server_sets_identity_and_times(client: Client, clock: FakeClock) -> None:
    sent = config_map(uid="mine", creationTimestamp="2001-01-01T00:00:00Z", deletionTimestamp="2001-01-01T00:00:00Z")
    metadata = (await client.create(CONFIGMAPS, sent))["metadata"]
    assert metadata["uid"] != "mine"
    assert metadata["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert "deletionTimestamp" not in metadata
    assert int(metadata["resourceVersion"]) > 0


async def test_the_namespace_comes_from_the_url(client: Client) -> None:
    sent = config_map()
    del sent["metadata"]["namespace"]
    created = await client.create(CONFIGMAPS, sent, namespace="kube-public")
    assert created["metadata"]["namespace"] == "kube-public"


async def test_another_namespace_than_the_urls_is_refused(client: Client) -> None:
    with pytest.raises(BadRequest, match="the namespace of the provided object does not match the namespace sent"):
        await client.create(CONFIGMAPS, config_map(namespace="default"), namespace="kube-public")


async def test_a_taken_name_is_refused(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    with pytest.raises(AlreadyExists, match='configmaps "a" already exists'):
        await client.create(CONFIGMAPS, config_map())


async def test_names_are_generated(client: Client) -> None:
    sent = config_map(name="", generateName="base-")
    names = {(await client.create(CONFIGMAPS, sent))["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("base-") and len(name) == len("base-") + 5 for name in names)


async def test_long_bases_of_generated_names_are_cut(client: Client) -> None:
    created = await client.create(CONFIGMAPS, config_map(name="", generateName="b" * 80))
    assert len(created["metadata"]["name"]) == 63


async def test_an_object_without_a_name_is_invalid(client: Client) -> None:
    with pytest.raises(Invalid, match=r"metadata\.name: Required value: name or generateName is required"):
        await client.create(CONFIGMAPS, config_map(name=""))


@pytest.mark.parametrize("name", ["A", "a_b", "-a", "a" * 254, "a/b", ".."])
async def test_a_bad_name_is_invalid(client: Client, name: str) -> None:
    with pytest.raises(Invalid, match=r"metadata\.name: Invalid value"):
        await client.create(CONFIGMAPS, config_map(name=name))


async def test_what_was_sent_is_not_changed(client: Client) -> None:
    sent = pod()
    before = repr(sent)
    await client.create(PODS, sent)
    assert repr(sent) == before


async def test_status_is_dropped_and_generation_begins_at_one(client: Client) -> None:
    created = await client.create(DEPLOYMENTS, {**deployment(), "status": {"replicas": 7}})
    assert created["metadata"]["generation"] == 1
    assert created.get("status", {}).get("replicas") != 7


async def test_a_dry_run_creates_nothing(client: Client) -> None:
    answer = await client.request(
        "POST",
        "/api/v1/namespaces/default/configmaps",
        query={"dryRun": "All"},
        body=b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}',
    )
    assert answer.status == 201
    assert answer.content["metadata"]["uid"]
    assert not (await client.list(CONFIGMAPS, namespace="default")).items


async def test_unknown_dry_run_values_are_invalid(client: Client) -> None:
    answer = await client.request("POST", "/api/v1/namespaces/default/configmaps", query={"dryRun": "Some"}, body=b"{}")
    assert answer.status == 422
    assert answer.content["message"] == (
        'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"'
    )


async def test_objects_of_the_cluster_have_no_namespace(client: Client) -> None:
    created = await client.create(NAMESPACES, {"metadata": {"name": "space", "namespace": "x"}})
    assert "namespace" not in created["metadata"]


async def test_a_resource_version_must_not_be_set(client: Client) -> None:
    answer = await client.request(
        "POST",
        "/api/v1/namespaces/default/configmaps",
        body=b'{"metadata":{"name":"a","resourceVersion":"5"}}',
    )
    assert (answer.status, answer.content["message"]) == (
        500,
        "resourceVersion should not be set on objects to be created",
    )


async def test_another_kind_is_refused(client: Client) -> None:
    with pytest.raises(BadRequest, match=r'^Pod in version "v1" cannot be handled as a ConfigMap'):
        await client.create(CONFIGMAPS, {**config_map(), "kind": "Pod"})


async def test_an_unknown_kind_is_refused(client: Client) -> None:
    with pytest.raises(BadRequest, match='no kind "Pot" is registered for version "v1" in scheme'):
        await client.create(CONFIGMAPS, {**config_map(), "kind": "Pot"})


async def test_another_version_is_refused(client: Client) -> None:
    with pytest.raises(BadRequest, match=r"registered|does not match the expected API version"):
        await client.create(CONFIGMAPS, {**config_map(), "apiVersion": "v2"})


async def test_wrong_types_are_refused_by_name(client: Client) -> None:
    with pytest.raises(
        BadRequest, match='ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmar'
    ):
        await client.create(CONFIGMAPS, {**config_map(), "data": {"a": 5}})


async def test_labels_annotations_and_finalizers_are_checked(client: Client) -> None:
    bad = config_map(labels={"a": "b c"}, annotations={"-": "x"}, finalizers=["unqualified"])
    with pytest.raises(Invalid) as caught:
        await client.create(CONFIGMAPS, bad)
    assert {cause["field"] for cause in caught.value.causes()} == {
        "metadata.labels",
        "metadata.annotations",
        "metadata.finalizers[0]",
    }


async def test_a_limit_range_needs_no_name(client: Client) -> None:
    made = await client.create(LIMITRANGES, {"metadata": {"namespace": "default"}, "spec": {"limits": []}})
    assert len(made["metadata"]["name"]) == len("00000000-0000-0000-0000-000000000000")


async def test_a_generation_that_nobody_counts_is_as_it_was_sent(client: Client) -> None:
    assert (await client.create(CONFIGMAPS, config_map(generation=7)))["metadata"]["generation"] == 7
    assert (await client.create(DEPLOYMENTS, deployment(generation=7)))["metadata"]["generation"] == 1


async def test_a_version_is_not_looked_at_in_a_dry_run(client: Client) -> None:
    path, body = "/api/v1/namespaces/default/configmaps", json.dumps(config_map(resourceVersion="1")).encode()
    answer = await client.request("POST", path, query={"dryRun": "All"}, body=body)
    assert (answer.status, answer.content["metadata"]["resourceVersion"]) == (201, "1")
    assert (await client.request("POST", path, body=body)).status == 500
