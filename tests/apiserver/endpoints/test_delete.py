"""Deleting objects: at once, gracefully, after their finalizers."""

from __future__ import annotations

import pytest

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.meta.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound
from steersman.meta.objects import with_metadata
from steersman.meta.resources import CONFIGMAPS, JOBS, NAMESPACES, PODS, REPLICASETS
from tests.apiserver.builders import config_map, deployment, pod


async def test_most_kinds_answer_with_a_status(client: Client) -> None:
    created = await client.create(CONFIGMAPS, config_map())
    assert await client.delete(CONFIGMAPS, "a", namespace="default") == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "a", "kind": "configmaps", "uid": created["metadata"]["uid"]},
    }
    with pytest.raises(NotFound):
        await client.get(CONFIGMAPS, "a", namespace="default")


async def test_absent_objects_are_not_found(client: Client) -> None:
    with pytest.raises(NotFound, match='configmaps "a" not found'):
        await client.delete(CONFIGMAPS, "a", namespace="default")


async def test_preconditions_protect(client: Client) -> None:
    created = await client.create(CONFIGMAPS, config_map())
    with pytest.raises(Conflict, match="the UID in the precondition"):
        await client.delete(CONFIGMAPS, "a", namespace="default", uid="other")
    with pytest.raises(Conflict, match="the ResourceVersion in the precondition"):
        await client.delete(CONFIGMAPS, "a", namespace="default", resource_version="1")
    await client.delete(
        CONFIGMAPS,
        "a",
        namespace="default",
        uid=created["metadata"]["uid"],
        resource_version=created["metadata"]["resourceVersion"],
    )


async def test_finalizers_keep_an_object_until_they_are_gone(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map(finalizers=["example.com/one"]))
    marked = await client.delete(CONFIGMAPS, "a", namespace="default")
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    again = await client.delete(CONFIGMAPS, "a", namespace="default")
    assert again["metadata"]["resourceVersion"] == marked["metadata"]["resourceVersion"]
    with pytest.raises((Forbidden, Invalid), match="no new finalizers can be added if the object is being deleted"):
        await client.update(CONFIGMAPS, with_metadata(marked, finalizers=["example.com/one", "example.com/two"]))
    await client.update(CONFIGMAPS, with_metadata(marked, finalizers=None))
    with pytest.raises(NotFound):
        await client.get(CONFIGMAPS, "a", namespace="default")


async def test_a_pod_on_a_node_waits_for_its_grace_period(client: Client, clock: FakeClock) -> None:
    await client.create(PODS, pod(node="node"))
    marked = await client.delete(PODS, "a", namespace="default")
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:30Z"
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    longer = await client.delete(PODS, "a", namespace="default", grace_period_s=60)
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 30
    await clock.advance(5)
    shorter = await client.delete(PODS, "a", namespace="default", grace_period_s=10)
    assert shorter["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:10Z"
    await client.delete(PODS, "a", namespace="default", grace_period_s=0)
    with pytest.raises(NotFound):
        await client.get(PODS, "a", namespace="default")


async def test_a_pod_on_no_node_goes_at_once(client: Client) -> None:
    await client.create(PODS, pod())
    await client.delete(PODS, "a", namespace="default")
    with pytest.raises(NotFound):
        await client.get(PODS, "a", namespace="default")


@pytest.mark.parametrize(("propagation", "finalizer"), [("Orphan", "orphan"), ("Foreground", "foregroundDeletion")])
async def test_propagation_is_left_to_the_garbage_collector(client: Client, propagation: str, finalizer: str) -> None:
    made = {**deployment(), "kind": "ReplicaSet"}
    await client.create(REPLICASETS, made)
    marked = await client.delete(REPLICASETS, "a", namespace="default", propagation=propagation)
    assert marked["metadata"]["finalizers"] == [finalizer]
    assert marked["metadata"]["deletionTimestamp"]
    assert marked["metadata"]["generation"] == 2


async def test_jobs_orphan_their_pods_unless_told_otherwise(client: Client) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "image"}]}}
    job = {"metadata": {"name": "a", "namespace": "default"}, "spec": {"template": template}}
    await client.create(JOBS, job)
    marked = await client.delete(JOBS, "a", namespace="default")
    assert "orphan" in marked["metadata"]["finalizers"]


async def test_a_namespace_becomes_terminating_and_waits_for_its_controller(client: Client) -> None:
    created = await client.create(NAMESPACES, {"metadata": {"name": "space"}})
    assert created["spec"]["finalizers"] == ["kubernetes"]
    marked = await client.delete(NAMESPACES, "space")
    assert marked["status"]["phase"] == "Terminating"
    assert marked["metadata"]["deletionTimestamp"]
    assert (await client.get(NAMESPACES, "space"))["status"]["phase"] == "Terminating"


async def test_a_collection_is_deleted_by_selector(client: Client) -> None:
    for name in ("a", "b", "c"):
        await client.create(CONFIGMAPS, config_map(name, labels={"keep": str(name == "b").lower()}))
    await client.delete_collection(CONFIGMAPS, namespace="default", label_selector="keep=false")
    assert [item["metadata"]["name"] for item in (await client.list(CONFIGMAPS, namespace="default")).items] == ["b"]


async def test_contradicting_options_are_invalid(client: Client) -> None:
    answer = await client.request(
        "DELETE",
        "/api/v1/namespaces/default/configmaps/a",
        body=b'{"orphanDependents":true,"propagationPolicy":"Orphan"}',
    )
    assert answer.status == 422


@pytest.mark.parametrize("how", ["query", "body"])
async def test_unsafe_deletion_is_an_ordinary_one(client: Client, how: str) -> None:
    kept = config_map("kept")
    kept["metadata"]["finalizers"] = ["example.com/mine"]
    await client.create(CONFIGMAPS, kept)
    option = "ignoreStoreReadErrorWithClusterBreakingPotential"
    path = "/api/v1/namespaces/default/configmaps/kept"
    if how == "query":
        answer = await client.request("DELETE", path, query={option: "true"})
    else:
        answer = await client.request("DELETE", path, body=f'{{"{option}":true}}'.encode())
    assert answer.status == 200
    assert (await client.get(CONFIGMAPS, "kept", namespace="default"))["metadata"]["deletionTimestamp"]


async def test_another_kind_of_body_is_refused(client: Client) -> None:
    with pytest.raises(BadRequest, match="cannot be converted to DeleteOptions"):
        answer = await client.request(
            "DELETE", "/api/v1/namespaces/default/configmaps/a", body=b'{"kind":"Pod","apiVersion":"v1"}'
        )
        from steersman.client.api import failure_of

        raise failure_of(answer)
