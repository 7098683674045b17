"""The embedded cluster serves kinds that its user defines, and its controllers know them."""

from __future__ import annotations

from steersman.meta.errors import NotFound
from steersman.meta.objects import is_true
from steersman.meta.resources import CONFIGMAPS, CUSTOMRESOURCEDEFINITIONS, NAMESPACES
from steersman.testing import Cluster
from tests.apiserver.extensions.builders import WIDGETS, definition, widget


async def established(cluster: Cluster) -> None:
    await cluster.client.create(CUSTOMRESOURCEDEFINITIONS, definition())

    async def is_established() -> bool:
        return is_true(await cluster.client.get(CUSTOMRESOURCEDEFINITIONS, "widgets.example.com"), "Established")

    await cluster.eventually(is_established)


async def test_what_a_custom_object_owns_goes_with_it() -> None:
    async with Cluster(nodes=0) as cluster:
        await established(cluster)
        owner = await cluster.client.create(WIDGETS, widget())
        reference = {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": "a",
            "uid": owner["metadata"]["uid"],
        }
        owned = {"metadata": {"name": "owned", "namespace": "default", "ownerReferences": [reference]}}
        await cluster.client.create(CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", **owned})
        await cluster.client.delete(WIDGETS, "a", namespace="default", propagation="Background")

        async def is_gone() -> bool:
            try:
                await cluster.client.get(CONFIGMAPS, "owned", namespace="default")
            except NotFound:
                return True
            return False

        await cluster.eventually(is_gone)


async def test_custom_objects_go_with_their_namespace() -> None:
    async with Cluster(nodes=0) as cluster:
        await established(cluster)
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "space"}}
        await cluster.client.create(NAMESPACES, space)
        await cluster.client.create(WIDGETS, {**widget(), "metadata": {"name": "a", "namespace": "space"}})
        await cluster.client.delete(NAMESPACES, "space")

        async def is_gone() -> bool:
            try:
                await cluster.client.get(NAMESPACES, "space")
            except NotFound:
                return True
            return False

        await cluster.eventually(is_gone)
        assert not (await cluster.client.list(WIDGETS)).items
