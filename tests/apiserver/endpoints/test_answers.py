"""Answers as kube-apiserver 1.36 gave them to the same requests: codes, messages, details."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steersman.client.api import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, Client
from steersman.meta.errors import AlreadyExists
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, DEPLOYMENTS, JOBS, PODS, SERVICES
from tests.apiserver.builders import config_map, deployment, pod

MAPS = "/api/v1/namespaces/default/configmaps"
NOT_FOUND = "the server could not find the requested resource"
NOT_ALLOWED = "the server does not allow this method on the requested resource"


async def failure(client: Client, method: str, path: str, body: Any = None, media_type: str = "") -> Object:
    """The Status that answers a request; ``path`` may have a query."""
    path, _, query = path.partition("?")
    answer = await client.request(
        method,
        path,
        query=dict(part.split("=", 1) for part in query.split("&")) if query else {},
        headers={"content-type": media_type or "application/json"},
        body=b"" if body is None else json.dumps(body).encode(),
    )
    assert answer.content["code"] == answer.status
    status: Object = answer.content
    return status


@pytest.mark.parametrize(
    ("method", "path", "code", "message"),
    [
        ("GET", "/api/v1/nonsense", 404, NOT_FOUND),
        ("GET", "/apis/apps/v1/nonsense/a", 404, NOT_FOUND),
        ("GET", "/apis/apps/v9/deployments", 404, NOT_FOUND),
        ("GET", "/api/v2", 404, NOT_FOUND),
        ("GET", f"{MAPS}/a/status", 404, NOT_FOUND),
        ("GET", f"{MAPS}/a/scale", 404, NOT_FOUND),
        ("GET", "/api/v1/configmaps/a", 404, NOT_FOUND),
        ("PUT", MAPS, 405, NOT_ALLOWED),
        ("POST", f"{MAPS}/a", 405, NOT_ALLOWED),
        ("DELETE", "/api/v1/configmaps", 405, NOT_ALLOWED),
    ],
)
async def test_paths_below_a_served_group_answer_with_a_status(
    client: Client, method: str, path: str, code: int, message: str
) -> None:
    status = await failure(client, method, path)
    assert (status["code"], status["message"], status["details"]) == (code, message, {})


@pytest.mark.parametrize("path", ["//api/v1/pods", "/apis//v1", "/apis/nonsense/v1/things", "/nonsense"])
async def test_other_paths_answer_with_text(client: Client, path: str) -> None:
    answer = await client.request("GET", path)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("limit=", 400, 'strconv.ParseInt: parsing "": invalid syntax'),
        (
            "resourceVersion=abc",
            400,
            'invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax',
        ),
        ("labelSelector=a=b,,c", 400, "found ',', expected: identifier after ','"),
        ("labelSelector=)", 400, "found ')', expected: !, identifier, or 'end of string'"),
        (
            "labelSelector=/a=b",
            400,
            'unable to parse requirement: <nil>: Invalid value: "/a": prefix part must be non-empty',
        ),
        (
            "labelSelector=a>b",
            400,
            "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be "
            "an integer",
        ),
    ],
)
async def test_refused_lists(client: Client, query: str, code: int, message: str) -> None:
    status = await failure(client, "GET", f"{MAPS}?{query}")
    assert (status["code"], status["message"]) == (code, message)


async def test_a_version_that_is_still_to_come(client: Client) -> None:
    status = await failure(client, "GET", f"{MAPS}?resourceVersion=99999")
    assert status["code"] == 504
    assert status["message"].startswith("Timeout: Too large resource version: 99999, current: ")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/v1/namespaces", "field label not supported: metadata.namespace"),
        ("/api/v1/nodes", "field label not supported: metadata.namespace"),
        ("/apis/batch/v1/jobs", 'field label "spec.x" not supported for Job'),
        ("/apis/resource.k8s.io/v1/resourceslices", "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: "),
        ("/api/v1/componentstatuses", '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"'),
    ],
)  # fmt: skip
async def test_fields_that_a_kind_does_not_select_by(client: Client, path: str, message: str) -> None:
    field = "metadata.namespace" if "metadata.namespace" in message and "known" not in message else "spec.x"
    status = await failure(client, "GET", f"{path}?fieldSelector={field}=a")
    assert status["code"] == 400
    assert status["message"].startswith(message)


async def test_cluster_scoped_kinds_without_fields_of_their_own_do_select_by_namespace(client: Client) -> None:
    answer = await client.request(
        "GET", "/apis/storage.k8s.io/v1/storageclasses", query={"fieldSelector": "metadata.namespace=a"}
    )
    assert answer.status == 200


async def test_deprecated_kinds_warn_of_every_request(client: Client) -> None:
    for path, text in (
        ("/api/v1/endpoints", "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        ("/api/v1/componentstatuses", "v1 ComponentStatus is deprecated in v1.19+"),
    ):
        assert (await client.request("GET", path)).headers["warning"] == f'299 - "{text}"'


async def test_preconditions_of_a_deletion_name_the_kind(client: Client) -> None:
    created = await client.create(DEPLOYMENTS, deployment())
    path = DEPLOYMENTS.path("default", "a")
    status = await failure(client, "DELETE", path, {"preconditions": {"uid": "b"}})
    assert status["message"] == (
        'Operation cannot be fulfilled on Deployment.apps "a": the UID in the precondition (b) does not match the UID in '
        f"record ({created['metadata']['uid']}). The object might have been deleted and then recreated"
    )
    assert status["details"] == {"name": "a", "group": "apps", "kind": "Deployment"}


async def test_what_is_being_deleted_is_said_to_be_in_the_way(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map(finalizers=["example.com/wait"]))
    await client.delete(CONFIGMAPS, "a", namespace="default")
    with pytest.raises(AlreadyExists, match=r'^object is being deleted: configmaps "a" already exists$'):
        await client.create(CONFIGMAPS, config_map())


async def test_the_uid_is_a_precondition_of_a_replacement_and_immutable_to_patches(client: Client) -> None:
    uid = (await client.create(CONFIGMAPS, config_map()))["metadata"]["uid"]
    replaced = await failure(client, "PUT", f"{MAPS}/a", config_map(uid="b"))
    assert (replaced["code"], replaced["message"]) == (
        409,
        'Operation cannot be fulfilled on configmaps "a": StorageError: invalid object, Code: 4, Key: '
        "/registry/configmaps/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in "
        f"precondition: b, UID in object meta: {uid}",
    )
    refused = 'ConfigMap "a" is invalid: metadata.uid: Invalid value: "b": field is immutable'
    merged = await failure(client, "PATCH", f"{MAPS}/a", {"metadata": {"uid": "b"}}, MERGE_PATCH)
    applied = await failure(client, "PATCH", f"{MAPS}/a?fieldManager=m", config_map(uid="b"), APPLY_PATCH)
    assert (merged["code"], merged["message"]) == (applied["code"], applied["message"]) == (422, refused)


async def test_a_json_patch_that_does_not_apply(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    status = await failure(client, "PATCH", f"{MAPS}/a", [{"op": "remove", "path": "/data/absent"}], JSON_PATCH)
    assert (status["code"], status["reason"], status["details"]) == (422, "Invalid", {})


async def test_applying_creates_whatever_version_was_given(client: Client) -> None:
    made = await client.patch(
        CONFIGMAPS,
        "a",
        config_map(resourceVersion="5"),
        namespace="default",
        patch_type=APPLY_PATCH,
        field_manager="m",
    )
    assert int(made["metadata"]["resourceVersion"]) > 5


async def test_applied_elements_without_their_key_are_found_by_validation(client: Client) -> None:
    applied = deployment()
    applied["spec"]["template"]["spec"]["containers"].append({"image": "a"})
    status = await failure(client, "PATCH", f"{DEPLOYMENTS.path('default', 'a')}?fieldManager=m", applied, APPLY_PATCH)
    assert (status["code"], status["message"]) == (
        422,
        'Deployment.apps "a" is invalid: spec.template.spec.containers[1].name: Required value',
    )


async def test_a_deployments_status_does_not_take_labels(client: Client) -> None:
    await client.create(DEPLOYMENTS, deployment(labels={"a": "b"}))
    patch = {"metadata": {"labels": {"c": "d"}, "annotations": {"e": "f"}}, "status": {"observedGeneration": 1}}
    written = await client.patch(DEPLOYMENTS, "a", patch, namespace="default", subresource="status")
    assert (written["metadata"]["labels"], written["metadata"]["annotations"]) == ({"a": "b"}, {"e": "f"})


async def test_replacing_a_pod_keeps_what_admission_gave_it(client: Client) -> None:
    await client.create(PODS, pod())
    replaced = await client.update(PODS, pod(labels={"a": "b"}))
    assert (replaced["spec"]["priority"], replaced["spec"]["preemptionPolicy"]) == (0, "PreemptLowerPriority")


def job(**metadata: Any) -> Object:
    spec = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "image"}]}
    template = {"metadata": {"labels": {"app": "a"}}, "spec": spec}
    return {"metadata": {"name": "a", "namespace": "default"} | metadata, "spec": {"template": template}}


async def test_a_job_without_labels_has_its_pods(client: Client) -> None:
    made = await client.create(JOBS, job())
    assert made["metadata"]["labels"] == made["spec"]["template"]["metadata"]["labels"]
    assert made["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "a"
    other = await client.create(JOBS, job(name="b", labels={"b": "c"}))
    assert other["metadata"]["labels"] == {"b": "c"}


@pytest.mark.parametrize(("body", "warns"), [({}, True), ({"propagationPolicy": "Orphan"}, False)])
async def test_deleting_a_job_warns_of_its_pods(client: Client, body: Object, warns: bool) -> None:
    await client.create(JOBS, job())
    answer = await client.request(
        "DELETE",
        JOBS.path("default", "a"),
        headers={"content-type": "application/json"},
        body=json.dumps(body).encode(),
    )
    assert answer.status == 200
    assert ("child pods are preserved by default" in answer.headers.get("warning", "")) == warns


async def test_updates_that_must_be_locked_name_the_resource(client: Client) -> None:
    lease = {"metadata": {"name": "a", "namespace": "default"}, "spec": {}}
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    body = json.dumps(lease).encode()
    await client.request("POST", path, headers={"content-type": "application/json"}, body=body)
    status = await failure(client, "PUT", f"{path}/a", lease)
    assert status["message"] == (
        'leases.coordination.k8s.io "a" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an '
        "update"
    )
    assert status["details"]["kind"] == "leases"


async def test_a_workload_without_a_template_lacks_what_is_in_it(client: Client) -> None:
    empty = {"metadata": {"name": "a", "namespace": "default"}, "spec": {}}
    status = await failure(client, "POST", DEPLOYMENTS.path("default"), empty)
    assert status["message"] == (
        'Deployment.apps "a" is invalid: [spec.selector: Required value, spec.template.metadata.labels: Invalid value: '
        "null: `selector` does not match template `labels`, spec.template.spec.containers: Required value]"
    )


async def test_the_uid_is_a_precondition_of_a_scale_too(client: Client) -> None:
    await client.create(DEPLOYMENTS, deployment())
    scale = {"metadata": {"name": "a", "uid": "b"}, "spec": {"replicas": 2}}
    status = await failure(client, "PUT", f"{DEPLOYMENTS.path('default', 'a')}/scale", scale)
    assert (status["code"], status["details"]["kind"]) == (409, "deployments")
    assert "UID in precondition: b, " in status["message"]


async def test_a_pod_on_no_node_has_no_log(client: Client) -> None:
    await client.create(PODS, pod())
    answer = await client.request("GET", f"{PODS.path('default', 'a')}/log")
    assert (answer.status, answer.body, "content-type" in answer.headers) == (204, b"", False)
    status = await failure(client, "GET", f"{PODS.path('default', 'a')}/log?stream=Stdout")
    assert status["message"] == 'PodLogOptions "a" is invalid: stream: Forbidden: may not be specified'


def service(*ports: Object, **spec: Any) -> Object:
    return {"metadata": {"name": "a", "namespace": "default"}, "spec": {"ports": list(ports), **spec}}


async def test_a_service_keeps_what_it_was_given(client: Client) -> None:
    """Its address where an update takes that away, its node ports by the names of its ports."""
    made = await client.create(SERVICES, service({"name": "x", "port": 80}, {"name": "y", "port": 81}, type="NodePort"))
    address, (x, y) = made["spec"]["clusterIP"], (port["nodePort"] for port in made["spec"]["ports"])
    cleared = await client.patch(SERVICES, "a", {"spec": {"clusterIP": ""}}, namespace="default")
    assert (cleared["spec"]["clusterIP"], cleared["spec"]["clusterIPs"]) == (address, [address])
    ports = ({"name": "y", "port": 82}, {"name": "x", "port": 83}, {"name": "z", "port": 84})
    replaced = await client.update(SERVICES, service(*ports, type="NodePort"))
    *kept, new = (port["nodePort"] for port in replaced["spec"]["ports"])
    assert kept == [y, x]
    assert new not in (x, y)
    patch = {"spec": {"type": "ExternalName", "externalName": "a.example"}}
    external = await client.patch(SERVICES, "a", patch, namespace="default")
    assert not {"clusterIP", "clusterIPs", "internalTrafficPolicy"} & external["spec"].keys()


async def test_a_service_without_endpoints_object_is_not_found_by_its_proxy(client: Client) -> None:
    await client.create(SERVICES, service({"port": 80}))
    status = await failure(client, "GET", f"{SERVICES.path('default', 'a')}/proxy/")
    assert (status["code"], status["message"]) == (404, 'services "a" not found')


TABLE = {"accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}


async def test_scales_and_component_statuses_have_tables(client: Client) -> None:
    await client.create(DEPLOYMENTS, deployment(replicas=3))
    for path, names, cells in (
        (f"{DEPLOYMENTS.path('default', 'a')}/scale", ["Name", "Desired", "Available", "Age"], ["a", 3, 0]),
        ("/api/v1/componentstatuses", ["Name", "Status", "Message", "Error"], ["etcd-0", "Healthy", "ok"]),
    ):
        table = (await client.request("GET", path, headers=TABLE)).content
        assert [column["name"] for column in table["columnDefinitions"]] == names
        assert table["columnDefinitions"][0]["description"].startswith("Name must be unique within a namespace.")
        assert table["rows"][0]["cells"][:3] == cells


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        ({"user": "u"}, {"spec.resourceAttributes": "exactly one of nonResourceAttributes or resourceAttributes must be specified"}),
        ({"user": "u", "resourceAttributes": {}, "nonResourceAttributes": {"verb": "get"}},
         {"spec.nonResourceAttributes": '{"Path":"","Verb":"get"}: cannot be specified in combination with resourceAttributes'}),
    ],
)  # fmt: skip
async def test_refused_access_reviews(client: Client, spec: Object, causes: dict[str, str]) -> None:
    status = await failure(client, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
    assert (status["code"], status["message"][:33]) == (422, '.authorization.k8s.io "" is inval')
    found = {cause["field"]: cause["message"] for cause in status["details"]["causes"]}
    assert found.keys() == causes.keys()
    assert all(found[field].endswith(text) for field, text in causes.items())


async def test_representations_that_are_not_to_be_had(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    accept = {"accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
    answer = await client.request("GET", f"{MAPS}/a", headers=accept)
    assert (answer.status, answer.content["message"]) == (
        406,
        "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)",
    )
    assert (await failure(client, "HEAD", f"{MAPS}/a"))["code"] == 405
    assert (await failure(client, "POST", MAPS, {}, "application/x-yaml"))["code"] == 415


async def test_an_empty_impersonation_is_none(client: Client) -> None:
    answer = await client.request("GET", MAPS, headers={"impersonate-user": ""})
    assert answer.status == 200
