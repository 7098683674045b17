"""The ``kr8s`` package of PyPI as a client: kubectl's verbs as methods, blocking and asynchronous."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import kr8s
import kr8s.asyncio
import kr8s.asyncio.objects
import pytest
from kr8s._async_utils import as_sync_func
from kr8s.objects import ConfigMap, CustomResourceDefinition, Deployment, Namespace, Node, Pod, new_class

from tests.clients.conftest import ServedCluster
from tests.clients.manifests import WEBSITES, Manifest, config_map, deployment, pod, website

pytestmark = [
    # kr8s 0.20 knows releases up to 1.35 by name
    pytest.mark.filterwarnings("ignore:Kubernetes version v1.36.0 is not supported:UserWarning"),
]


@pytest.fixture(scope="module")
def kubeconfig(served: ServedCluster) -> Path:
    return served.kubeconfig()


@pytest.fixture
def api(kubeconfig: Path) -> Iterator[Any]:
    """Whose default is a namespace of the test's own."""
    opened = kr8s.api(kubeconfig=str(kubeconfig), namespace=f"test-{uuid.uuid4().hex[:8]}")
    namespace = Namespace(opened.namespace, api=opened)
    namespace.create()
    yield opened
    namespace.delete()
    as_sync_func(close)(opened)


@pytest.fixture
async def async_api(kubeconfig: Path) -> AsyncIterator[Any]:
    opened = await kr8s.asyncio.api(kubeconfig=str(kubeconfig), namespace=f"test-{uuid.uuid4().hex[:8]}")
    namespace = await kr8s.asyncio.objects.Namespace(opened.namespace, api=opened)
    await namespace.create()
    yield opened
    await namespace.delete()
    await close(opened)


async def close(api: Any) -> None:
    """kr8s has no way of its own, and a connection left open is a warning."""
    if api._session is not None:
        await api._session.aclose()


def names(api: Any, kind: str, **selectors: Any) -> list[str]:
    return sorted(found.name for found in api.get(kind, **selectors))


def status_of(error: pytest.ExceptionInfo[kr8s.ServerError]) -> dict[str, Any]:
    assert error.value.response is not None
    found: dict[str, Any] = error.value.response.json()
    return found


# -- blocking


def test_an_object_from_its_creation_to_its_end(api: Any) -> None:
    web = Deployment(deployment(), api=api)
    assert not web.exists()
    web.create()
    assert web.spec.progressDeadlineSeconds == 600  # what the server filled in
    web.wait("condition=Available", timeout=30)
    assert len(web.pods()) == 2 and all(found.ready() for found in web.pods())
    web.label(tier="front")
    web.annotate({"example.com/note": "hello"})
    web.patch({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}})
    web.patch([{"op": "replace", "path": "/spec/replicas", "value": 1}], type="json")
    web.remove_label("tier")
    again = Deployment.get("web", api=api)
    assert (again.labels, again.annotations["example.com/note"], again.replicas) == ({"app": "web"}, "hello", 1)
    again.scale(3)
    again.wait("jsonpath='{.status.readyReplicas}'=3", timeout=30)
    web.delete(propagation_policy="Foreground")
    web.wait("delete", timeout=30)
    assert names(api, "pods") == []
    with pytest.raises(kr8s.NotFoundError):
        web.refresh()


def test_selectors(api: Any) -> None:
    for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
        found = ConfigMap(config_map(name), api=api)
        found.raw.metadata["labels"] = {"color": color}
        found.create()
    assert names(api, "configmaps", label_selector={"color": "red"}) == ["a", "c"]
    assert names(api, "cm", label_selector="color in (blue)") == ["b"]
    assert names(api, "configmaps", field_selector={"metadata.name": "c"}) == ["c"]
    assert [found.name for found in api.get("configmaps", "a")] == ["a"]
    assert {"a", "b", "c"} <= {*names(api, "configmaps", namespace=kr8s.ALL)}


def test_more_objects_than_a_page_holds(api: Any) -> None:
    """kr8s asks for a hundred at a time and follows ``continue``."""
    secrets: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{number:03}"}, "stringData": {"k": "v"}}
        for number in range(105)
    ]
    api.create([kr8s.objects.Secret(secret, api=api) for secret in secrets])
    assert names(api, "secrets") == [secret["metadata"]["name"] for secret in secrets]


def test_pods(api: Any) -> None:
    one = Pod(pod(), api=api)
    one.create()
    one.wait(["condition=Ready", "condition=Failed"], timeout=30)
    one.wait("jsonpath='{.status.phase}'=Running", timeout=30)
    one.tolerate("example.com/busy", operator="Exists", effect="NoSchedule")
    assert "example.com/busy" in {entry["key"] for entry in one.tolerations}
    with pytest.raises(kr8s.ServerError) as error:
        list(one.logs())
    message = status_of(error)["message"]  # simulated nodes have no server
    assert message.startswith("no preferred addresses found; known addresses: ")
    one.delete(grace_period=1)
    one.wait("delete", timeout=30)


def test_nodes(api: Any) -> None:
    node = Node.get("simulated-0", api=api)
    node.cordon()
    node.taint("example.com/a", "b", effect="NoSchedule")
    node.refresh()
    assert node.unschedulable
    assert {"key": "example.com/a", "value": "b", "effect": "NoSchedule"} in node.taints
    node.uncordon()
    node.patch({"spec": {"taints": None}})
    assert not node.unschedulable and "taints" not in node.spec


def test_owners(api: Any) -> None:
    parent, child = ConfigMap(config_map("parent"), api=api), ConfigMap(config_map("child"), api=api)
    parent.create()
    child.create()
    parent.adopt(child)
    parent.delete(propagation_policy="Background")
    child.wait("delete", timeout=30)


def test_failures(api: Any) -> None:
    ConfigMap(config_map(), api=api).create()
    with pytest.raises(kr8s.ServerError, match='configmaps "settings" already exists') as error:
        ConfigMap(config_map(), api=api).create()
    assert status_of(error)["reason"] == "AlreadyExists"
    with pytest.raises(kr8s.NotFoundError):
        ConfigMap("absent", api=api).delete()
    with pytest.raises(kr8s.ServerError, match=r"spec\.containers: Required value"):
        Pod(pod(containers=[]), api=api).create()
    with pytest.raises(ValueError, match="nonsense"):
        list(api.get("nonsense"))


def test_what_the_server_says_of_itself(api: Any) -> None:
    assert api.version()["gitVersion"] == "v1.36.0"
    assert {"v1", "apps/v1", "rbac.authorization.k8s.io/v1"} <= {*api.api_versions()}
    kinds = {resource["name"]: resource for resource in api.api_resources()}
    assert kinds["deployments"]["shortNames"] == ["deploy"] and not kinds["nodes"]["namespaced"]
    assert api.whoami() == "kubernetes-admin"


def test_custom_resources(api: Any) -> None:
    definition = CustomResourceDefinition(WEBSITES, api=api)
    definition.create()
    try:
        definition.wait("condition=Established", timeout=30)
        websites = new_class("Website", "example.com/v1", scalable=True)
        site = websites(website("site"), api=api)
        site.create()
        assert site.spec.image == "nginx:1.29"
        site.patch({"status": {"replicas": 1, "readyReplicas": 1}}, subresource="status")
        site.patch({"spec": {"html": "new"}})
        assert (site.metadata.generation, site.status.readyReplicas) == (2, 1)
        site.scale(3)
        assert site.replicas == 3
        with pytest.raises(kr8s.ServerError, match="host cannot change"):
            site.patch({"spec": {"host": "other.example"}})
        for resource in ("websites", "web", "websites.example.com", "website.v1.example.com"):
            assert [found.name for found in api.get(resource)] == ["site"], resource
        site.delete()
        site.wait("delete", timeout=30)
    finally:
        definition.delete()
        definition.wait("delete", timeout=30)


# -- asynchronous


async def test_a_watch_tells_of_every_change(async_api: Any) -> None:
    objects = kr8s.asyncio.objects
    settings = await objects.ConfigMap(config_map(), api=async_api)
    await settings.create()
    since = settings.metadata.resourceVersion
    seen: list[tuple[str, str]] = []

    async def follow() -> None:
        async for kind, found in async_api.watch("configmaps", field_selector="metadata.name=settings", since=since):
            seen.append((kind, found.raw["data"]["key"]))
            if kind == "DELETED":
                return

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(follow())
        for value in ("1", "2"):
            await settings.patch({"data": {"key": value}})
        await settings.delete()
    assert seen == [("MODIFIED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


async def test_an_asynchronous_life(async_api: Any) -> None:
    objects = kr8s.asyncio.objects
    web = await objects.Deployment(deployment(), api=async_api)
    await web.create()
    async with asyncio.timeout(30):
        await web.wait("condition=Available")
        assert await web.ready()
        await web.label({"tier": "front"})
        assert [found.name async for found in async_api.get("deployments", label_selector="tier=front")] == ["web"]
        await web.scale(1)
        async for _, found in web.watch():
            if found.status.get("replicas") == 1:
                break
        await web.delete()
        await web.wait("delete")
    assert not await web.exists()


async def test_many_at_once(async_api: Any) -> None:
    """On one connection pool."""
    made = [await kr8s.asyncio.objects.ConfigMap(config_map(f"c{number}"), api=async_api) for number in range(20)]
    await asyncio.gather(*(found.create() for found in made))
    await asyncio.gather(*(found.patch({"data": {"key": "2"}}) for found in made))
    await asyncio.gather(*(found.refresh() for found in made))
    assert {found.raw["data"]["key"] for found in made} == {"2"}
    await asyncio.gather(*(found.delete() for found in made))
    assert not {found.name for found in made} & {found.name async for found in async_api.get("configmaps")}
