"""The garbage collector over real deletions: background, foreground, orphan, absent owners, uids that are not the same."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.client.informer import Change
from steersman.controllers.kinds.garbagecollector import Plan, Verdict, plan
from steersman.controllers.ownergraph import DELETE, Node, OwnerGraph
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, CUSTOMRESOURCEDEFINITIONS, NODES, SECRETS, Resource
from tests.apiserver.extensions import builders as extensions
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


def placed(kind: str, name: str, uid: str, *, namespace: str = "default", owners: tuple[Object, ...] = ()) -> Object:
    metadata: Object = {"name": name, "uid": uid, "ownerReferences": list(owners)}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata | ({"namespace": namespace} if namespace else {})}


def said_to_be(name: str, uid: str = "u1", kind: str = "Secret", api_version: str = "v1") -> Object:
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid}


SEEN = placed("Secret", "right", "u1")


@pytest.mark.parametrize(
    ("resource", "child", "is_checked"),
    [
        (CONFIGMAPS, placed("ConfigMap", "c", "u2", owners=(said_to_be("right"),)), False),
        (CONFIGMAPS, placed("ConfigMap", "c", "u2", owners=(said_to_be("wrong"),)), True),
        (CONFIGMAPS, placed("ConfigMap", "c", "u2", owners=(said_to_be("right", kind="ConfigMap"),)), True),
        (CONFIGMAPS, placed("ConfigMap", "c", "u2", owners=(said_to_be("right", api_version="example.com/v1"),)), True),
        (CONFIGMAPS, placed("ConfigMap", "c", "u2", namespace="other", owners=(said_to_be("right"),)), True),
        (NODES, placed("Node", "n", "u2", namespace="", owners=(said_to_be("right"),)), True),
    ],
)
def test_who_names_its_owner_wrongly_is_checked_whichever_is_seen_first(
    resource: Resource, child: Object, is_checked: bool
) -> None:
    child_first, owner_first = OwnerGraph(), OwnerGraph()
    child_first.observe(resource, Change("added", None, child))
    keys = child_first.observe(SECRETS, Change("added", None, SEEN))
    assert (DELETE + "u2" in keys) is is_checked
    owner_first.observe(SECRETS, Change("added", None, SEEN))
    assert (DELETE + "u2" in owner_first.observe(resource, Change("added", None, child))) is is_checked


def test_an_owner_that_is_not_where_one_child_says_is_looked_for_where_another_says() -> None:
    """Else the second child would be forgotten: nobody would look at it when the owner goes."""
    graph = OwnerGraph()
    bad = placed("ConfigMap", "bad", "u2", owners=(said_to_be("wrong"),))
    good = placed("ConfigMap", "good", "u3", owners=(said_to_be("right"),))
    graph.observe(CONFIGMAPS, Change("added", None, bad))
    assert graph.observe(CONFIGMAPS, Change("added", None, good)) == [DELETE + "u3"]
    owner = graph.get("u1")
    assert owner is not None and owner.coordinates.name == "wrong"
    assert graph.miss("u1") == [DELETE + "u2"]
    assert (owner.coordinates.name, owner.checks) == ("right", 1)
    graph.observe(CONFIGMAPS, Change("deleted", bad, None))
    graph.observe(SECRETS, Change("added", None, SEEN))
    assert graph.observe(SECRETS, Change("deleted", SEEN, None)) == [DELETE + "u3"]


def test_an_owner_that_is_nowhere_takes_its_children() -> None:
    graph = OwnerGraph()
    for uid in ("u2", "u3"):
        graph.observe(CONFIGMAPS, Change("added", None, placed("ConfigMap", uid, uid, owners=(said_to_be("right"),))))
    assert graph.miss("u1") == [DELETE + "u2", DELETE + "u3"]
    assert graph.get("u1") is None


async def test_children_that_disagree_about_their_owner_are_told_apart(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    owner = await world.create(
        SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "right", "namespace": "default"}}
    )
    uid = objects.uid(owner)
    for name in ("wrong", "right"):
        await world.client.create(CONFIGMAPS, config_map(f"of-{name}", said_to_be(name, uid)))
    await world.advance(1)
    assert await names(world) == ["of-right"]
    await world.client.delete(SECRETS, "right", namespace="default")
    await world.settle()
    assert await names(world) == []


async def test_children_of_a_brand_new_kind_follow_their_owners(world_of: StartWorld) -> None:
    """One child refers to a kind that is not there yet; it is looked at again when it is."""
    world = await world_of(NAME)
    await world.create(CONFIGMAPS, config_map("early", said_to_be("never", "u0", "Widget", "example.com/v1")))
    assert await names(world) == ["early"]
    await world.create(CUSTOMRESOURCEDEFINITIONS, extensions.definition())
    await world.advance(30)
    widgets = Resource(group="example.com", version="v1", plural="widgets", kind="Widget", namespaced=True)
    owner = await world.create(widgets, extensions.widget())
    await world.create(CONFIGMAPS, config_map("child", said_to_be("a", objects.uid(owner), "Widget", "example.com/v1")))
    child = extensions.widget("b")
    child["metadata"]["ownerReferences"] = [said_to_be("a", objects.uid(owner), "Widget", "example.com/v1")]
    await world.create(widgets, child)
    assert await names(world) == ["child"]
    await world.client.delete(widgets, "a", namespace="default", propagation="Background")
    await world.settle()
    assert await names(world) == []
    assert not await world.list(widgets)


async def test_a_kind_that_cannot_be_listed_does_not_stop_the_others(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    world.log.refuse("GET", "/widgets")
    await world.create(CUSTOMRESOURCEDEFINITIONS, extensions.definition())
    owner = await world.create(CONFIGMAPS, config_map("owner"))
    await world.create(CONFIGMAPS, config_map("child", owned_by(owner)))
    await world.client.delete(CONFIGMAPS, "owner", namespace="default", propagation="Background")
    await world.advance(31)
    assert await names(world) == []
    world.log.accept()
    await world.advance(120)
