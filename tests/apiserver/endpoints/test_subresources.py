"""Binding, eviction, scale, finalize, ephemeral containers, resize, approval, tokens and reviews."""

from __future__ import annotations

import json

import pytest

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.meta.errors import BadRequest, Conflict, Invalid, NotFound, TooManyRequests
from steersman.meta.objects import Object, condition
from steersman.meta.resources import (
    CERTIFICATESIGNINGREQUESTS,
    DEPLOYMENTS,
    NAMESPACES,
    PODDISRUPTIONBUDGETS,
    PODS,
    SUBJECTACCESSREVIEWS,
)
from tests.apiserver.builders import deployment, pod


def _binding(node: str = "node", **metadata: str) -> Object:
    return {"metadata": {"name": "a", "namespace": "default", **metadata}, "target": {"kind": "Node", "name": node}}


async def _bind(client: Client, binding: Object) -> Object:
    return await client.create(PODS, binding, namespace="default", name="a", subresource="binding")


async def test_a_binding_puts_a_pod_on_its_node(client: Client) -> None:
    await client.create(PODS, pod())
    assert (await _bind(client, _binding()))["status"] == "Success"
    bound = await client.get(PODS, "a", namespace="default")
    assert bound["spec"]["nodeName"] == "node"
    assert (condition(bound, "PodScheduled") or {})["status"] == "True"


async def test_a_pod_is_bound_once(client: Client) -> None:
    await client.create(PODS, pod())
    await _bind(client, _binding())
    with pytest.raises(Conflict, match='pods/binding "a": pod a is already assigned to node "node"'):
        await _bind(client, _binding("other"))


async def test_a_binding_may_name_the_pods_uid(client: Client) -> None:
    await client.create(PODS, pod())
    with pytest.raises(Conflict, match="Precondition failed: UID in precondition: other"):
        await _bind(client, _binding(uid="other"))


async def test_a_gated_pod_is_not_bound(client: Client) -> None:
    gated = pod()
    gated["spec"]["schedulingGates"] = [{"name": "example.com/wait"}]
    await client.create(PODS, gated)
    with pytest.raises(Conflict, match=r"non-empty .spec\.schedulingGates"):
        await _bind(client, _binding())


async def test_a_binding_needs_its_pod(client: Client) -> None:
    with pytest.raises(NotFound):
        await _bind(client, _binding())
    with pytest.raises(BadRequest, match="name in URL does not match name in Binding object"):
        await client.create(PODS, _binding(name="b"), namespace="default", name="a", subresource="binding")


async def _running_pod(client: Client) -> None:
    created = await client.create(PODS, pod(node="node", labels={"app": "a"}))
    ready = {"type": "Ready", "status": "True"}
    await client.update(PODS, {**created, "status": {"phase": "Running", "conditions": [ready]}}, subresource="status")


async def _budget(client: Client, allowed: int) -> None:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}
    created = await client.create(
        PODDISRUPTIONBUDGETS, {"metadata": {"name": "budget", "namespace": "default"}, "spec": spec}
    )
    status = {
        "observedGeneration": created["metadata"]["generation"],
        "disruptionsAllowed": allowed,
        "currentHealthy": 1,
        "desiredHealthy": 1,
        "expectedPods": 1,
    }
    await client.update(PODDISRUPTIONBUDGETS, {**created, "status": status}, subresource="status")


async def _evict(client: Client) -> Object:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a", "namespace": "default"}}
    return await client.create(PODS, eviction, namespace="default", name="a", subresource="eviction")


async def test_an_eviction_deletes_and_says_why(client: Client) -> None:
    await _running_pod(client)
    await _evict(client)
    evicted = await client.get(PODS, "a", namespace="default")
    assert evicted["metadata"]["deletionTimestamp"]
    assert (condition(evicted, "DisruptionTarget") or {})["reason"] == "EvictionByEvictionAPI"


async def test_an_eviction_takes_from_the_budget(client: Client, clock: FakeClock) -> None:
    await _running_pod(client)
    await _budget(client, 1)
    await _evict(client)
    status = (await client.get(PODDISRUPTIONBUDGETS, "budget", namespace="default"))["status"]
    assert status["disruptionsAllowed"] == 0
    assert list(status["disruptedPods"]) == ["a"]


async def test_an_exhausted_budget_refuses(client: Client) -> None:
    await _running_pod(client)
    await _budget(client, 0)
    with pytest.raises(
        TooManyRequests, match="Cannot evict pod as it would violate the pod's disruption budget"
    ) as caught:
        await _evict(client)
    assert caught.value.causes()[0]["reason"] == "DisruptionBudget"
    assert "needs 1 healthy pods and has 1 currently" in caught.value.causes()[0]["message"]


async def test_scale(client: Client) -> None:
    await client.create(DEPLOYMENTS, deployment(replicas=2))
    scale = await client.get(DEPLOYMENTS, "a", namespace="default", subresource="scale")
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 2})
    assert scale["status"]["selector"] == "app=a"
    await client.update(DEPLOYMENTS, {**scale, "spec": {"replicas": 5}}, subresource="scale")
    patch = {"spec": {"replicas": 7}}
    patched = await client.patch(DEPLOYMENTS, "a", patch, namespace="default", subresource="scale")
    assert patched["spec"] == {"replicas": 7}
    scaled = await client.get(DEPLOYMENTS, "a", namespace="default")
    assert (scaled["spec"]["replicas"], scaled["metadata"]["generation"]) == (7, 3)
    with pytest.raises(Conflict):
        await client.update(DEPLOYMENTS, {**scale, "spec": {"replicas": 1}}, subresource="scale")
    with pytest.raises(Invalid, match="must be greater than or equal to 0"):
        await client.patch(DEPLOYMENTS, "a", {"spec": {"replicas": -1}}, namespace="default", subresource="scale")


async def test_a_finalized_namespace_is_gone(client: Client) -> None:
    await client.create(NAMESPACES, {"metadata": {"name": "space"}})
    marked = await client.delete(NAMESPACES, "space")
    await client.update(NAMESPACES, {**marked, "spec": {"finalizers": []}}, subresource="finalize")
    with pytest.raises(NotFound):
        await client.get(NAMESPACES, "space")


async def test_ephemeral_containers_are_added_and_stay(client: Client) -> None:
    created = await client.create(PODS, pod())
    debug = {"name": "debug", "image": "busybox"}
    changed = {**created, "spec": {**created["spec"], "ephemeralContainers": [debug], "nodeName": "other"}}
    updated = await client.update(PODS, changed, subresource="ephemeralcontainers")
    assert [entry["name"] for entry in updated["spec"]["ephemeralContainers"]] == ["debug"]
    assert "nodeName" not in updated["spec"]
    without = {**updated, "spec": {**updated["spec"], "ephemeralContainers": []}}
    with pytest.raises(Invalid, match='existing ephemeral containers "debug" may not be removed'):
        await client.update(PODS, without, subresource="ephemeralcontainers")


async def test_resources_are_resized_and_nothing_else(client: Client) -> None:
    burstable = pod()
    burstable["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
    await client.create(PODS, burstable)
    patch = {"spec": {"containers": [{"name": "main", "image": "other", "resources": {"requests": {"cpu": "2"}}}]}}
    resized = await client.patch(PODS, "a", patch, namespace="default", subresource="resize")
    container = resized["spec"]["containers"][0]
    assert (container["image"], container["resources"]) == ("image", {"requests": {"cpu": "2"}})


async def test_who_asks_for_a_certificate_is_remembered(client: Client) -> None:
    import base64

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "joe")])
    pem = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    encoded = base64.b64encode(pem.public_bytes(serialization.Encoding.PEM)).decode()
    spec = {
        "request": encoded,
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
        "username": "somebody else",
    }
    created = await client.create(CERTIFICATESIGNINGREQUESTS, {"metadata": {"name": "a"}, "spec": spec})
    assert created["spec"]["username"] == "system:admin"
    approved = {"type": "Approved", "status": "True", "reason": "Because", "message": "so"}
    updated = await client.update(
        CERTIFICATESIGNINGREQUESTS, {**created, "status": {"conditions": [approved]}}, subresource="approval"
    )
    assert (condition(updated, "Approved") or {})["reason"] == "Because"


async def test_access_reviews_are_answered_and_not_stored(client: Client) -> None:
    attributes = {"verb": "get", "resource": "pods", "namespace": "default"}
    review = await client.create(SUBJECTACCESSREVIEWS, {"spec": {"user": "joe", "resourceAttributes": attributes}})
    assert review["status"]["allowed"] is True
    answer = await client.request("GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews")
    assert answer.status == 405


async def test_selectors_of_access_reviews_are_checked(client: Client) -> None:
    requirements = [{"key": "", "operator": "In"}, {"key": "a", "operator": "Exists", "values": ["x"]}]
    newer = {"key": "a", "operator": "Newer"}
    attributes = {"verb": "list", "resource": "pods", "fieldSelector": {"requirements": [*requirements, newer]}}
    spec = {
        "user": "joe",
        "resourceAttributes": {**attributes, "labelSelector": {"rawSelector": "a", "requirements": [newer]}},
    }
    body = json.dumps({"spec": spec}).encode()
    status = (await client.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)).content
    path = "spec.resourceAttributes.fieldSelector.requirements"
    assert [cause["field"] for cause in status["details"]["causes"]] == [
        f"{path}[0].key",
        f"{path}[0].values",
        f"{path}[1].values",
        "spec.resourceAttributes.labelSelector.rawSelector",
    ]


async def test_a_review_is_no_table(client: Client) -> None:
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    answer = await client.request("POST", path, headers={"accept": accept}, body=json.dumps(review).encode())
    assert (answer.status, answer.content["reason"]) == (406, "NotAcceptable")


async def test_component_statuses(client: Client) -> None:
    listed = (await client.request("GET", "/api/v1/componentstatuses")).content
    assert listed["items"][0]["metadata"]["name"] == "etcd-0"
    assert listed["items"][0]["conditions"][0]["status"] == "True"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/v1/pods", 405),
        ("PUT", "/api/v1/namespaces/default/pods", 405),
        ("GET", "/api/v1/pods/a", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/namespaces/default/unknown", 404),
        ("GET", "/apis/unknown.example/v1/things", 404),
        ("GET", "/api/v1/namespaces/default/pods/a/unknown", 404),
        ("GET", "/api/v1/namespaces/default/pods/a/binding", 405),
        ("GET", "/nothing", 404),
        ("POST", "/version", 405),
    ],
)
async def test_what_is_not_served(client: Client, method: str, path: str, status: int) -> None:
    assert (await client.request(method, path, body=b"{}" if method != "GET" else b"")).status == status
