"""The ``kubernetes`` package of PyPI as a client: typed and dynamic APIs, watches that resume, leader election, errors."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

from tests.clients.conftest import ServedCluster
from tests.clients.kubectl import eventually
from tests.clients.manifests import config_map, deployment, pod, service


@pytest.fixture(scope="module")
def api(served: ServedCluster) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(served.kubeconfig())) as opened:
        yield opened


@pytest.fixture
def namespace(api: client.ApiClient) -> Iterator[str]:
    core, name = core_v1(api), f"test-{uuid.uuid4().hex[:8]}"
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
    yield name
    core.delete_namespace(name)


def core_v1(api: client.ApiClient) -> Any:
    """Untyped: bodies may be dicts, which the package's annotations do not say."""
    return client.CoreV1Api(api)


def apps_v1(api: client.ApiClient) -> Any:
    return client.AppsV1Api(api)


def status_of(error: pytest.ExceptionInfo[ApiException]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(error.value.body or "")
    return found


# -- typed


def test_typed_objects(api: client.ApiClient, namespace: str) -> None:
    apps, core = apps_v1(api), core_v1(api)
    container = client.V1Container(
        name="main",
        image="registry.example/app:1",
        ports=[client.V1ContainerPort(container_port=80)],
        resources=client.V1ResourceRequirements(requests={"cpu": "10m"}),
    )
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": "web"}), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(
        replicas=2, selector=client.V1LabelSelector(match_labels={"app": "web"}), template=template
    )
    created = apps.create_namespaced_deployment(
        namespace, client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec)
    )
    assert created.metadata.creation_timestamp <= datetime.now(UTC)
    assert created.spec.strategy.rolling_update.max_surge == "25%"
    eventually(lambda: apps.read_namespaced_deployment_status("web", namespace).status.ready_replicas == 2)
    pods = core.list_namespaced_pod(namespace, label_selector="app=web", field_selector="status.phase=Running").items
    assert [found.spec.containers[0].resources.requests for found in pods] == [{"cpu": "10m"}] * 2
    scale = apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 1}})
    assert scale.spec.replicas == 1

    def label() -> bool:
        found = apps.read_namespaced_deployment("web", namespace)
        found.metadata.labels = {"changed": "yes"}
        try:
            return bool(
                apps.replace_namespaced_deployment("web", namespace, found).metadata.labels == {"changed": "yes"}
            )
        except ApiException as error:  # a controller was quicker
            assert error.status == 409
            return False

    eventually(label)
    apps.delete_namespaced_deployment("web", namespace, propagation_policy="Foreground")
    eventually(lambda: not apps.list_namespaced_deployment(namespace).items)
    assert not core.list_namespaced_pod(namespace).items


def test_every_kind_can_be_listed(api: client.ApiClient) -> None:
    """The typed models accept what the server sends for each."""
    listings = {
        client.CoreV1Api: "node pod_for_all_namespaces secret_for_all_namespaces event_for_all_namespaces namespace "
        "endpoints_for_all_namespaces service_for_all_namespaces persistent_volume limit_range_for_all_namespaces",
        client.AppsV1Api: "deployment_for_all_namespaces replica_set_for_all_namespaces daemon_set_for_all_namespaces",
        client.BatchV1Api: "job_for_all_namespaces cron_job_for_all_namespaces",
        client.RbacAuthorizationV1Api: "cluster_role cluster_role_binding role_for_all_namespaces",
        client.StorageV1Api: "storage_class csi_driver csi_node volume_attachment",
        client.NetworkingV1Api: "ingress_for_all_namespaces network_policy_for_all_namespaces ip_address service_cidr",
        client.SchedulingV1Api: "priority_class",
        client.CoordinationV1Api: "lease_for_all_namespaces",
        client.DiscoveryV1Api: "endpoint_slice_for_all_namespaces",
        client.AdmissionregistrationV1Api: "mutating_webhook_configuration validating_admission_policy",
        client.ApiextensionsV1Api: "custom_resource_definition",
        client.ApiregistrationV1Api: "api_service",
        client.FlowcontrolApiserverV1Api: "flow_schema priority_level_configuration",
        client.AutoscalingV2Api: "horizontal_pod_autoscaler_for_all_namespaces",
    }
    for kind, names in listings.items():
        for name in names.split():
            listed = getattr(kind(api), f"list_{name}")()
            assert listed.metadata.resource_version, name


def test_pages_are_one_snapshot(api: client.ApiClient, namespace: str) -> None:
    core = core_v1(api)
    for number in range(5):
        core.create_namespaced_config_map(namespace, config_map(f"c{number}"))
    first = core.list_namespaced_config_map(namespace, limit=2)
    assert first.metadata.remaining_item_count == 3 or first.metadata.remaining_item_count == 4  # with the root CA's
    core.delete_namespaced_config_map("c4", namespace)
    found, page = list(first.items), first
    while page.metadata._continue:
        page = core.list_namespaced_config_map(namespace, limit=2, _continue=page.metadata._continue)
        assert page.metadata.resource_version == first.metadata.resource_version
        found += page.items
    assert [item.metadata.name for item in found if item.metadata.name.startswith("c")] == [f"c{n}" for n in range(5)]


def test_patch_types(api: client.ApiClient, namespace: str) -> None:
    """The package picks the media type by the shape of the body: a list is a JSON patch."""
    core = core_v1(api)
    core.create_namespaced_config_map(namespace, config_map(a="1", b="2"))
    patched = core.patch_namespaced_config_map("settings", namespace, [{"op": "remove", "path": "/data/a"}])
    assert patched.data == {"b": "2"}
    patched = core.patch_namespaced_config_map("settings", namespace, {"data": {"b": None, "c": "3"}})
    assert patched.data == {"c": "3"}


def test_files_of_manifests(api: client.ApiClient, namespace: str) -> None:
    for manifest in (deployment(), service(), config_map()):
        utils.create_from_dict(api, manifest, namespace=namespace)
    with pytest.raises(utils.FailToCreateError) as failure:
        utils.create_from_dict(api, service(), namespace=namespace)
    assert [error.status for error in failure.value.api_exceptions] == [409]


def test_versions_and_discovery(api: client.ApiClient) -> None:
    assert client.VersionApi(api).get_code().git_version == "v1.36.0"
    groups = {
        group.name: group.preferred_version and group.preferred_version.version
        for group in client.ApisApi(api).get_api_versions().groups
    }
    assert groups["apps"] == "v1" and groups["autoscaling"] == "v2"
    resources = {resource.name for resource in core_v1(api).get_api_resources().resources}
    assert {"pods", "pods/log", "pods/exec", "nodes/proxy", "namespaces/finalize"} <= resources


def test_reviews_and_tokens(api: client.ApiClient, namespace: str, served: ServedCluster) -> None:
    core = core_v1(api)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "robot"}})
    request = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=None, expiration_seconds=600)
    )
    token = core.create_namespaced_service_account_token("robot", namespace, request).status.token
    settings = client.Configuration()
    settings.host, settings.ssl_ca_cert = f"https://127.0.0.1:{served.port}", str(served.directory / "ca.crt")
    settings.api_key = {"authorization": f"Bearer {token}"}
    with client.ApiClient(settings) as robot:
        authentication: Any = client.AuthenticationV1Api(robot)
        review = authentication.create_self_subject_review({})
        assert review.status.user_info.username == f"system:serviceaccount:{namespace}:robot"
        with pytest.raises(ApiException) as error:
            core_v1(robot).list_namespaced_pod(namespace)
        assert error.value.status == 403
        settings.api_key = {"authorization": f"Bearer {token[:-8]}AAAAAAAA"}
    with client.ApiClient(settings) as stranger, pytest.raises(ApiException) as error:
        core_v1(stranger).list_namespaced_pod(namespace)
    assert (error.value.status, status_of(error)["message"]) == (401, "Unauthorized")


# -- dynamic


def test_the_dynamic_client(api: client.ApiClient, namespace: str) -> None:
    everything = dynamic.DynamicClient(api)
    deployments = everything.resources.get(api_version="apps/v1", kind="Deployment")
    created = deployments.create(body=deployment(), namespace=namespace)
    assert created.spec.progressDeadlineSeconds == 600
    applied = deployments.server_side_apply(
        body=deployment(replicas=3), namespace=namespace, field_manager="dynamic", force_conflicts=True
    )
    assert applied.spec.replicas == 3
    patched = deployments.patch(
        body={"metadata": {"labels": {"a": "b"}}},
        name="web",
        namespace=namespace,
        content_type="application/merge-patch+json",
    )
    assert patched.metadata.labels.a == "b"
    assert [item.metadata.name for item in deployments.get(namespace=namespace).items] == ["web"]
    pods = everything.resources.get(api_version="v1", kind="Pod")
    seen = set()
    for event in pods.watch(namespace=namespace, timeout=10):
        seen.add(event["object"].metadata.name)
        if len(seen) == 3:
            break
    deployments.delete(name="web", namespace=namespace)
    with pytest.raises(dynamic.exceptions.NotFoundError):
        deployments.get(name="web", namespace=namespace)
    with pytest.raises(dynamic.exceptions.ResourceNotFoundError):
        everything.resources.get(api_version="apps/v1", kind="Nonsense")


# -- watches


def test_a_watch_resumes_where_it_was(api: client.ApiClient, namespace: str) -> None:
    core = core_v1(api)
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    for name in ("a", "b"):
        core.create_namespaced_config_map(namespace, config_map(name))
    first = watch.Watch()
    for event in first.stream(core.list_namespaced_config_map, namespace, resource_version=start, timeout_seconds=10):
        if event["object"].metadata.name == "a":
            first.stop()
    core.patch_namespaced_config_map("a", namespace, {"data": {"key": "2"}})
    core.delete_namespaced_config_map("b", namespace)
    seen = []
    second = watch.Watch()
    for event in second.stream(
        core.list_namespaced_config_map, namespace, resource_version=first.resource_version, timeout_seconds=10
    ):
        if event["object"].metadata.name in ("a", "b"):
            seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 3:
            second.stop()
    assert seen == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]


def test_a_watch_ends_in_time_and_begins_with_what_there_is(api: client.ApiClient, namespace: str) -> None:
    core = core_v1(api)
    core.create_namespaced_config_map(namespace, config_map("a"))
    selected = watch.Watch().stream(
        core.list_namespaced_config_map, namespace, field_selector="metadata.name=a", timeout_seconds=1
    )
    assert [(event["type"], event["object"].metadata.name) for event in selected] == [("ADDED", "a")]


def test_a_watch_from_a_version_still_to_come_is_silent(api: client.ApiClient, namespace: str) -> None:
    core = core_v1(api)
    ahead = str(int(core.list_namespaced_config_map(namespace).metadata.resource_version) + 1_000_000)
    stream = watch.Watch().stream(core.list_namespaced_config_map, namespace, resource_version=ahead, timeout_seconds=1)
    assert list(stream) == []
    with pytest.raises(ApiException) as error:
        core.list_namespaced_config_map(namespace, resource_version=ahead)
    assert (error.value.status, status_of(error)["details"]["causes"][0]["reason"]) == (504, "ResourceVersionTooLarge")


# -- leader election


def test_leaders_are_elected_and_succeeded(served: ServedCluster, namespace: str) -> None:
    """Two candidates: one leads; when it stops renewing, the other takes over."""
    config.load_kube_config(str(served.kubeconfig()))
    leaders: list[str] = []
    changed = threading.Condition()
    stopped: list[str] = []

    def led(name: str) -> None:
        with changed:
            leaders.append(name)
            changed.notify_all()

    class Mortal(LeaseLock):
        """Renews until it is told to stop."""

        def update(self, *words: Any) -> Any:
            if self.identity in stopped:
                return False
            return super().update(*words)

    def candidate(name: str) -> threading.Thread:
        elected = electionconfig.Config(
            Mortal("leader", namespace, name),
            lease_duration=4,
            renew_deadline=3,
            retry_period=1,
            onstarted_leading=lambda: led(name),
            onstopped_leading=lambda: None,
        )
        thread = threading.Thread(target=leaderelection.LeaderElection(elected).run, daemon=True)
        thread.start()
        return thread

    with changed:
        first = candidate("first")
        assert changed.wait_for(lambda: leaders == ["first"], 20)
        second = candidate("second")
        stopped.append("first")
        assert changed.wait_for(lambda: leaders == ["first", "second"], 30)
    stopped.append("second")
    for thread in (first, second):
        thread.join(20)
        assert not thread.is_alive()


# -- failures


def test_failures_are_statuses(api: client.ApiClient, namespace: str) -> None:
    core = core_v1(api)
    with pytest.raises(ApiException) as error:
        core.read_namespaced_pod("nope", namespace)
    assert (error.value.status, status_of(error)) == (
        404,
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": 'pods "nope" not found',
            "reason": "NotFound",
            "details": {"name": "nope", "kind": "pods"},
            "code": 404,
        },
    )
    created = core.create_namespaced_config_map(namespace, config_map())
    with pytest.raises(ApiException) as error:
        core.create_namespaced_config_map(namespace, config_map())
    assert (error.value.status, status_of(error)["reason"]) == (409, "AlreadyExists")
    core.patch_namespaced_config_map("settings", namespace, {"data": {"key": "2"}})
    with pytest.raises(ApiException) as error:
        core.replace_namespaced_config_map("settings", namespace, created)
    assert (error.value.status, status_of(error)["reason"]) == (409, "Conflict")
    with pytest.raises(ApiException) as error:
        core.create_namespaced_pod(namespace, pod(containers=[]))
    assert (error.value.status, status_of(error)["details"]["causes"]) == (
        422,
        [{"reason": "FieldValueRequired", "message": "Required value", "field": "spec.containers"}],
    )
    with pytest.raises(ApiException) as error:
        core.delete_namespaced_config_map("settings", namespace, body={"preconditions": {"uid": "other"}})
    assert error.value.status == 409
