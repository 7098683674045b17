"""The ``lightkube`` package of PyPI as a client: typed models, generic resources, server-side apply, resumed watches."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
import yaml
from lightkube import ALL_NS, ApiError, AsyncClient, Client, KubeConfig, operators
from lightkube.codecs import load_all_yaml
from lightkube.core.exceptions import ConditionError
from lightkube.generic_resource import create_namespaced_resource, load_in_cluster_generic_resources
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.core_v1 import Container, EnvVar, PodSpec, PodTemplateSpec, ResourceRequirements
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.apps_v1 import Deployment, ReplicaSet
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import ConfigMap, Namespace, Node, Pod, Secret, ServiceAccount
from lightkube.resources.policy_v1 import PodDisruptionBudget
from lightkube.types import CascadeType, PatchType

from tests.clients.conftest import ServedCluster
from tests.clients.kubectl import eventually
from tests.clients.manifests import WEBSITES, deployment, pod, together, website


@pytest.fixture(scope="module")
def settings(served: ServedCluster) -> KubeConfig:
    return KubeConfig.from_file(served.kubeconfig())


@pytest.fixture
def client(settings: KubeConfig) -> Iterator[Client]:
    """Whose default is a namespace of the test's own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    with Client(settings.get(), namespace=name, field_manager="lightkube") as opened:
        opened.create(Namespace(metadata=ObjectMeta(name=name)))
        yield opened
        opened.delete(Namespace, name)


@pytest.fixture
async def async_client(settings: KubeConfig) -> AsyncIterator[AsyncClient]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    async with AsyncClient(settings.get(), namespace=name, field_manager="lightkube") as opened:
        await opened.create(Namespace(metadata=ObjectMeta(name=name)))
        yield opened
        await opened.delete(Namespace, name)


def config_map(name: str = "settings", labels: dict[str, str] | None = None, **data: str) -> ConfigMap:
    return ConfigMap(
        apiVersion="v1",
        kind="ConfigMap",
        metadata=ObjectMeta(name=name, labels=labels),
        data=data or {"key": "value"},
    )


def web(replicas: int | None = 2, image: str = "registry.example/app:1", **container: Any) -> Deployment:
    labels = {"app": "web"}
    containers = [Container(name="main", image=image, **container)]
    template = PodTemplateSpec(metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=containers))
    return Deployment(
        apiVersion="apps/v1",
        kind="Deployment",
        metadata=ObjectMeta(name="web"),
        spec=DeploymentSpec(replicas=replicas, selector=LabelSelector(matchLabels=labels), template=template),
    )


# -- typed


def test_typed_objects(client: Client) -> None:
    requests = {"cpu": "10m"}
    created = client.create(web(resources=ResourceRequirements(requests=requests)))
    assert created.metadata is not None and created.spec is not None
    assert (created.metadata.generation, created.spec.progressDeadlineSeconds) == (1, 600)
    ready = client.wait(Deployment, "web", for_conditions=["Available"], raise_for_conditions=["ReplicaFailure"])
    assert ready.status is not None and ready.status.readyReplicas == 2
    running = list(client.list(Pod, labels={"app": "web"}, fields={"status.phase": "Running"}))
    assert [found.spec.containers[0].resources.requests for found in running if found.spec] == [requests] * 2  # type: ignore[union-attr]
    scale = client.replace(
        Deployment.Scale(metadata=ObjectMeta(name="web", namespace=client.namespace), spec=ScaleSpec(replicas=1)), "web"
    )
    assert scale.spec is not None and scale.spec.replicas == 1
    eventually(lambda: len(list(client.list(Pod))) == 1)


def test_a_stale_replace_is_refused(client: Client) -> None:
    stale = client.create(config_map())
    client.patch(ConfigMap, "settings", {"data": {"key": "theirs"}})
    stale.data = {"key": "mine"}
    with pytest.raises(ApiError) as error:
        client.replace(stale)
    assert (error.value.status.code, error.value.status.reason) == (409, "Conflict")
    fresh = client.get(ConfigMap, "settings")
    fresh.data = {"key": "mine"}
    assert client.replace(fresh).data == {"key": "mine"}


def test_patch_types(client: Client) -> None:
    client.create(web())
    environment = {"name": "main", "env": [{"name": "A", "value": "b"}]}
    strategic = {"spec": {"template": {"spec": {"containers": [environment]}}}}
    patched = client.patch(Deployment, "web", strategic)
    assert patched.spec is not None and patched.spec.template.spec is not None
    [container] = patched.spec.template.spec.containers
    assert (container.image, container.env) == ("registry.example/app:1", [EnvVar(name="A", value="b")])
    operations = [{"op": "test", "path": "/spec/replicas", "value": 2}, {"op": "remove", "path": "/spec/replicas"}]
    patched = client.patch(Deployment, "web", operations, patch_type=PatchType.JSON)
    assert patched.spec is not None and patched.spec.replicas == 1  # the default
    with pytest.raises(ApiError) as error:
        client.patch(Deployment, "web", operations, patch_type=PatchType.JSON)
    assert error.value.status.code == 422
    merge = {"spec": {"template": {"spec": {"containers": [{"name": "other", "image": "other:1"}]}}}}
    patched = client.patch(Deployment, "web", merge, patch_type=PatchType.MERGE)
    assert patched.spec is not None and patched.spec.template.spec is not None
    assert [found.name for found in patched.spec.template.spec.containers] == ["other"]
    labelled = client.set(Deployment, "web", labels={"a": "b"}, annotations={"note": "hello"})
    assert labelled.metadata is not None and labelled.metadata.labels == {"a": "b"}


# -- apply


def test_apply_and_conflicts(client: Client) -> None:
    assert client.apply(web()).spec is not None
    same = client.apply(web())
    assert same.metadata is not None and same.metadata.generation == 1
    client.apply(web(), field_manager="other")  # the same values are shared
    with pytest.raises(ApiError) as error:
        client.apply(web(replicas=3), field_manager="other")
    assert error.value.status.reason == "Conflict" and error.value.status.details is not None
    assert [(cause.field, cause.message) for cause in error.value.status.details.causes or []] == [
        (".spec.replicas", 'conflict with "lightkube"')
    ]
    forced = client.apply(web(replicas=3), field_manager="other", force=True)
    assert forced.spec is not None and forced.spec.replicas == 3
    kept = client.apply(web(replicas=None))  # no longer ours: stays
    assert kept.spec is not None and kept.spec.replicas == 3
    assert kept.metadata is not None
    owners = {(entry.manager, entry.operation) for entry in kept.metadata.managedFields or []}
    assert {("lightkube", "Apply"), ("other", "Apply")} <= owners


def test_what_is_no_longer_applied_goes(client: Client) -> None:
    client.apply(config_map(a="1", b="2"))
    client.patch(ConfigMap, "settings", {"data": {"theirs": "3"}}, field_manager="them")
    assert client.apply(config_map(a="1")).data == {"a": "1", "theirs": "3"}


def test_apply_of_subresources(client: Client) -> None:
    client.apply(web())
    scale = Deployment.Scale(
        apiVersion="autoscaling/v1", kind="Scale", metadata=ObjectMeta(name="web"), spec=ScaleSpec(replicas=4)
    )
    client.apply(scale, "web", field_manager="scaler", force=True)
    found = client.get(Deployment, "web")
    assert found.spec is not None and found.spec.replicas == 4 and found.metadata is not None
    [entry] = [entry for entry in found.metadata.managedFields or [] if entry.manager == "scaler"]
    assert (entry.subresource, entry.fieldsV1) == ("scale", {"f:spec": {"f:replicas": {}}})


def test_dry_runs_change_nothing(client: Client, settings: KubeConfig) -> None:
    assert client.create(config_map(), dry_run=True).metadata is not None
    with Client(settings.get(), namespace=client.namespace, field_manager="dry", dry_run=True) as dry:
        dry.apply(config_map())
    with pytest.raises(ApiError) as error:
        client.get(ConfigMap, "settings")
    assert error.value.status.message == 'configmaps "settings" not found'


# -- lists and watches


def test_lists_in_chunks(client: Client) -> None:
    for number in range(7):
        client.create(config_map(f"c{number}", labels={"parity": "odd" if number % 2 else "even"}))
    listed = client.list(ConfigMap, chunk_size=2, labels={"parity": operators.exists()})
    assert [found.metadata.name for found in listed if found.metadata] == [f"c{number}" for number in range(7)]
    assert listed.resourceVersion
    selectors: list[tuple[Any, int]] = [
        ({"parity": "odd"}, 3),
        ({"parity": operators.not_in(["odd"]), "nope": operators.not_exists()}, 4),
        ({"parity": operators.in_(["odd", "even"])}, 7),
    ]
    for selector, expected in selectors:
        selected = list(client.list(ConfigMap, labels=selector, chunk_size=1))
        named = [found for found in selected if found.metadata and str(found.metadata.name).startswith("c")]
        assert len(named) == expected, selector
    assert len(list(client.list(Pod, namespace=ALL_NS, chunk_size=1))) == len(list(client.list(Pod, namespace="*")))
    assert [node.metadata.name for node in client.list(Node) if node.metadata] == ["simulated-0", "simulated-1"]


def test_a_watch_goes_on_where_the_server_ended_it(
    client: Client, settings: KubeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """The server ends it every second; lightkube asks again from the last version it saw."""
    caplog.set_level("INFO", logger="httpx2")
    listed = client.list(Secret)
    assert list(listed) == []
    client.create(Secret(metadata=ObjectMeta(name="a"), stringData={"k": "1"}))
    seen: list[tuple[str, Any]] = []

    def follow() -> None:
        with Client(settings.get(), namespace=client.namespace) as follower:
            for kind, found in follower.watch(Secret, resource_version=listed.resourceVersion, server_timeout=1):
                seen.append((kind, found.metadata and found.metadata.name))
                if kind == "DELETED":
                    return

    def watches() -> int:
        return sum("watch=true" in message and "200" in message for message in caplog.messages)

    following = threading.Thread(target=follow)
    following.start()
    eventually(lambda: watches() == 2)
    client.patch(Secret, "a", {"stringData": {"k": "2"}})
    eventually(lambda: watches() == 3)
    client.delete(Secret, "a")
    following.join(30)
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_watch_from_no_version_at_all_is_refused(client: Client) -> None:
    """500, as upstream's storage says."""
    with pytest.raises(httpx2.HTTPStatusError, match="500 Internal Server Error"):
        next(client.watch(Secret, resource_version="nonsense"))


def test_waiting_for_failure(client: Client) -> None:
    template: Any = pod(restartPolicy="Never")
    spec: Any = {"activeDeadlineSeconds": 1, "template": template}
    job: Any = Job.from_dict({"metadata": {"name": "late"}, "spec": spec})
    client.create(job)
    with pytest.raises(ConditionError, match="Job was active longer than specified deadline"):
        client.wait(Job, "late", for_conditions=["Complete"], raise_for_conditions=["Failed"])


# -- deletion


def test_cascades(client: Client) -> None:
    def replica_sets() -> list[ReplicaSet]:
        return list(client.list(ReplicaSet))

    client.create(web())
    client.wait(Deployment, "web", for_conditions=["Available"])
    client.delete(Deployment, "web", cascade=CascadeType.ORPHAN)
    [orphan] = eventually(lambda: [found for found in replica_sets() if not found.metadata.ownerReferences])  # type: ignore[union-attr]
    client.delete(ReplicaSet, orphan.metadata.name, cascade=CascadeType.FOREGROUND)
    eventually(lambda: not replica_sets())
    assert not list(client.list(Pod))


def test_deleting_many(client: Client) -> None:
    for name in ("a", "b"):
        client.create(config_map(name))
    client.create(Pod(metadata=ObjectMeta(name="one"), spec=PodSpec(containers=[Container(name="c", image="i")])))
    client.deletecollection(Secret)
    client.deletecollection(ConfigMap, dry_run=True)
    assert {"a", "b"} <= {found.metadata.name for found in client.list(ConfigMap) if found.metadata}
    client.deletecollection(ConfigMap)
    assert not {"a", "b"} & {found.metadata.name for found in client.list(ConfigMap) if found.metadata}
    client.delete(Pod, "one", grace_period=0)
    with pytest.raises(ApiError) as error:
        client.delete(Pod, "one")
    assert (error.value.status.code, error.value.status.message) == (404, 'pods "one" not found')


def test_evictions_respect_budgets(client: Client) -> None:
    client.create(web(replicas=1))
    client.wait(Deployment, "web", for_conditions=["Available"])
    spec: Any = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    budget: Any = PodDisruptionBudget.from_dict({"metadata": {"name": "web"}, "spec": spec})
    client.create(budget)
    [one] = client.list(Pod)
    assert one.metadata is not None and one.metadata.name is not None
    eventually(lambda: (found := client.get(PodDisruptionBudget, "web").status) and found.currentHealthy == 1)
    with pytest.raises(ApiError) as error:
        client.create(Pod.Eviction(metadata=ObjectMeta(name=one.metadata.name)), one.metadata.name)
    assert error.value.status.code == 429
    assert error.value.status.message == "Cannot evict pod as it would violate the pod's disruption budget."


# -- custom resources


def test_generic_resources(client: Client) -> None:
    definition: Any = CustomResourceDefinition.from_dict(WEBSITES)
    client.create(definition)
    try:
        client.wait(CustomResourceDefinition, "websites.example.com", for_conditions=["Established"])
        websites: Any = create_namespaced_resource("example.com", "v1", "Website", "websites")
        load_in_cluster_generic_resources(client)  # finds the same
        site = client.create(websites(website("site")))
        assert site["spec"]["image"] == "nginx:1.29"
        applied = client.apply(websites(website("site", replicas=2)), force=True)
        assert (applied["spec"]["replicas"], applied.metadata.generation) == (2, 2)
        status = {"status": {"replicas": 2, "readyReplicas": 1}, "spec": {"html": "ignored"}}
        patched = client.patch(websites.Status, "site", status, patch_type=PatchType.MERGE)
        assert (patched["status"]["readyReplicas"], patched["spec"]["html"]) == (1, "<p>hello")
        scale: Any = client.get(websites.Scale, "site")
        assert (scale.spec.replicas, scale.status.replicas) == (2, 2)
        with pytest.raises(ApiError) as error:
            client.patch(websites, "site", {"spec": {"replicas": 1}})  # strategic
        assert error.value.status.code == 415
        with pytest.raises(ApiError, match=r"spec\.replicas: Invalid value: 11"):
            client.create(websites(website("many", replicas=11)))
        kind, found = next(client.watch(websites, fields={"metadata.name": "site"}))
        assert (kind, found.metadata.name) == ("ADDED", "site")
        client.delete(websites, "site")
        assert not list(client.list(websites))
    finally:
        client.delete(CustomResourceDefinition, "websites.example.com")


def test_manifests(client: Client) -> None:
    made: Any = load_all_yaml(yaml.safe_dump_all([deployment("a"), pod("b"), together(deployment("c"))]))
    for found in made:
        client.apply(found)
    assert [item.metadata.name for item in client.list(Deployment) if item.metadata] == ["a", "c"]


# -- asynchronous


async def test_an_asynchronous_life(async_client: AsyncClient) -> None:
    seen: list[str] = []

    async def follow(start: str) -> None:
        async for kind, _ in async_client.watch(
            ServiceAccount, fields={"metadata.name": "robot"}, resource_version=start
        ):
            seen.append(kind)
            if kind == "DELETED":
                return

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        listed = async_client.list(ServiceAccount)
        assert "robot" not in [found.metadata.name async for found in listed if found.metadata]
        group.create_task(follow(str(listed.resourceVersion)))
        await async_client.apply(
            ServiceAccount(apiVersion="v1", kind="ServiceAccount", metadata=ObjectMeta(name="robot"))
        )
        await async_client.set(ServiceAccount, "robot", labels={"a": "b"})
        await async_client.delete(ServiceAccount, "robot")
    assert seen == ["ADDED", "MODIFIED", "DELETED"]


async def test_logs_of_a_node_that_cannot_be_reached(async_client: AsyncClient) -> None:
    await async_client.create(
        Pod(metadata=ObjectMeta(name="one"), spec=PodSpec(containers=[Container(name="c", image="i")]))
    )
    await async_client.wait(Pod, "one", for_conditions=["Ready"])
    with pytest.raises(ApiError, match="no preferred addresses found; known addresses"):
        async for _ in async_client.log("one", tail_lines=1):
            pass
