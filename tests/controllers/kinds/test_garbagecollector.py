"""The garbage collector over real deletions: background, foreground, orphan, absent owners, uids that are not the same."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.client.informer import Change
from steersman.controllers.kinds.garbagecollector import Plan, Verdict, plan
from steersman.controllers.ownergraph import DELETE, Node, OwnerGraph
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, NODES, SECRETS
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World

NAME = "garbage-collector-controller"


def config_map(name: str, *owners: Object, **metadata: Any) -> Object:
    made: Object = {"name": name, "namespace": "default", **metadata}
    if owners:
        made["ownerReferences"] = list(owners)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": made}


def owned_by(owner: Object, **fields: Any) -> Object:
    reference = {"apiVersion": "v1", "kind": owner["kind"], "name": objects.name(owner), "uid": objects.uid(owner)}
    return {**reference, **fields}


async def names(world: World) -> list[str]:
    return sorted(
        objects.name(found) for found in await world.list(CONFIGMAPS) if objects.name(found) != "kube-root-ca.crt"
    )


async def test_dependents_follow_their_owner_in_the_background(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    owner = await world.create(CONFIGMAPS, config_map("owner"))
    child = await world.create(CONFIGMAPS, config_map("child", owned_by(owner)))
    await world.create(CONFIGMAPS, config_map("grandchild", owned_by(child)))
    await world.client.delete(CONFIGMAPS, "owner", namespace="default", propagation="Background")
    await world.settle()
    assert await names(world) == []


async def test_foreground_deletion_waits_for_blocking_dependents(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    owner = await world.create(CONFIGMAPS, config_map("owner"))
    blocking = owned_by(owner, blockOwnerDeletion=True)
    await world.create(CONFIGMAPS, config_map("held", blocking, finalizers=["example.com/hold"]))
    await world.create(CONFIGMAPS, config_map("child", blocking))
    await world.client.delete(CONFIGMAPS, "owner", namespace="default", propagation="Foreground")
    await world.settle()
    assert await names(world) == ["held", "owner"]
    await world.patch(CONFIGMAPS, "held", {"metadata": {"finalizers": None}})
    assert await names(world) == []


async def test_orphaning_leaves_dependents_without_the_reference(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    owner = await world.create(CONFIGMAPS, config_map("owner"))
    await world.create(CONFIGMAPS, config_map("child", owned_by(owner)))
    await world.client.delete(CONFIGMAPS, "owner", namespace="default", propagation="Orphan")
    await world.settle()
    assert await names(world) == ["child"]
    assert objects.owner_references(await world.get(CONFIGMAPS, "child")) == []


async def test_one_owner_that_is_there_is_enough(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    gone = await world.create(CONFIGMAPS, config_map("gone"))
    there = await world.create(CONFIGMAPS, config_map("there"))
    await world.create(CONFIGMAPS, config_map("child", owned_by(gone), owned_by(there)))
    await world.client.delete(CONFIGMAPS, "gone", namespace="default")
    await world.settle()
    assert await names(world) == ["child", "there"]
    assert [owner["name"] for owner in objects.owner_references(await world.get(CONFIGMAPS, "child"))] == ["there"]


async def test_an_owner_of_the_same_name_is_not_the_owner(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    owner = await world.create(CONFIGMAPS, config_map("owner"))
    await world.create(
        CONFIGMAPS, config_map("child", owned_by({**owner, "metadata": {**owner["metadata"], "uid": "other"}}))
    )
    await world.settle()
    assert await names(world) == ["owner"]


async def test_an_owner_that_was_never_there_takes_its_dependents(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    missing = {"apiVersion": "v1", "kind": "Secret", "name": "never", "uid": "0000"}
    await world.create(CONFIGMAPS, config_map("child", missing))
    await world.settle()
    assert await names(world) == []


async def test_an_owner_of_an_unknown_kind_keeps_its_dependents(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    unknown = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "w", "uid": "0000"}
    await world.create(CONFIGMAPS, config_map("child", unknown))
    await world.advance(5)
    assert await names(world) == ["child"]
    await world.patch(CONFIGMAPS, "child", {"metadata": {"ownerReferences": None}})


async def test_an_object_of_a_namespace_may_belong_to_one_of_the_cluster(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1")
    node = await world.get(NODES, "n1")
    await world.create(CONFIGMAPS, config_map("child", owned_by(node)))
    assert await names(world) == ["child"]
    await world.client.delete(NODES, "n1")
    await world.settle()
    assert await names(world) == []


async def test_a_circle_of_owners_ends_in_the_foreground(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    first = await world.create(CONFIGMAPS, config_map("first"))
    second = await world.create(CONFIGMAPS, config_map("second", owned_by(first, blockOwnerDeletion=True)))
    reference = [owned_by(second, blockOwnerDeletion=True)]
    await world.patch(CONFIGMAPS, "first", {"metadata": {"ownerReferences": reference}})
    await world.client.delete(CONFIGMAPS, "first", namespace="default", propagation="Foreground")
    await world.advance(5)
    assert await names(world) == []


def leaf(uid: str, *, foreground: bool = False) -> Node:
    from steersman.controllers.ownergraph import Coordinates

    coordinates = Coordinates(api_version="v1", kind="ConfigMap", namespace="default", name=uid, uid=uid)
    return Node(uid=uid, coordinates=coordinates, resource=CONFIGMAPS, is_foreground=foreground)


@pytest.mark.parametrize(
    "verdicts, finalizers, dependents, expected",
    [
        ({}, [], [], Plan()),
        ({"a": "solid"}, [], [], Plan()),
        ({"a": "solid", "b": "absent"}, [], [], Plan(drop_owners=("b",))),
        ({"a": "solid", "b": "waiting"}, [], [], Plan(drop_owners=("b",))),
        ({"a": "absent"}, [], [], Plan(delete="Background")),
        ({"a": "absent"}, ["orphan"], [], Plan(delete="Orphan")),
        ({"a": "absent"}, ["foregroundDeletion"], [], Plan(delete="Foreground")),
        ({"a": "waiting"}, [], [], Plan(delete="Background")),
        ({"a": "waiting"}, [], [leaf("d")], Plan(delete="Foreground")),
        ({"a": "waiting"}, [], [leaf("d", foreground=True)], Plan(delete="Foreground", unblock=True)),
        ({"a": "absent"}, [], [leaf("d")], Plan(delete="Background")),
    ],
)
def test_what_is_done_follows_from_the_owners(
    verdicts: dict[str, Verdict], finalizers: list[str], dependents: list[Node], expected: Plan
) -> None:
    assert plan(config_map("x", finalizers=finalizers), verdicts, dependents) == expected


def test_an_owner_that_was_not_seen_is_looked_at_and_then_known() -> None:
    graph = OwnerGraph()
    child = config_map("child", {"apiVersion": "v1", "kind": "Secret", "name": "s", "uid": "u1"}, uid="u2")
    assert graph.observe(CONFIGMAPS, Change("added", None, child)) == [DELETE + "u1"]
    owner = graph.get("u1")
    assert owner is not None and owner.is_virtual
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default", "uid": "u1"}}
    assert graph.observe(SECRETS, Change("added", None, secret)) == []
    assert not owner.is_virtual
    assert graph.observe(SECRETS, Change("deleted", secret, None)) == [DELETE + "u2"]


def test_a_new_object_under_an_old_name_is_another_one() -> None:
    graph = OwnerGraph()
    old, new = config_map("a", uid="u1"), config_map("a", uid="u2")
    child = config_map("child", {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "u1"}, uid="u3")
    graph.observe(CONFIGMAPS, Change("added", None, old))
    graph.observe(CONFIGMAPS, Change("added", None, child))
    assert graph.observe(CONFIGMAPS, Change("updated", old, new)) == [DELETE + "u3"]
    assert graph.get("u1") is None and graph.get("u2") is not None
