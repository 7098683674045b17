"""Tables of cases for the plans of the small controllers: from objects to writes, nothing running."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from steersman.controllers.cidrs import CIDRExhausted, CIDRPool
from steersman.controllers.kinds import (
    bootstrapsigner,
    clusterroleaggregation,
    csrapproving,
    csrcleaner,
    csrsigning,
    endpoints,
    endpointslice,
    endpointslicemirroring,
    ephemeralvolume,
    namespace,
    nodeipam,
    podgc,
    pvcprotection,
    pvprotection,
    resourceclaim,
    resourcequota,
    rootca,
    serviceaccount,
    serviceaccounttoken,
    servicecidr,
    tainteviction,
    tokencleaner,
    ttl,
    ttlafterfinished,
    volumeattributesclassprotection,
)
from steersman.controllers.kinds.namespace import Remaining
from steersman.controllers.podresourceclaims import FINALIZER
from steersman.meta import bootstraptokens, objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import PODS
from tests.controllers.builders import pod
from tests.controllers.kinds.test_certificates import request as certificate_request

NOW_S = 1_000_000.0
NOW = times.format_time(NOW_S)
DELETED: dict[str, Any] = {"deletionTimestamp": NOW}


def named(name: str = "x", **fields: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "default", "uid": "u", **fields.pop("metadata", {})}, **fields}


ACTIVE, ENDING = named("team", status={"phase": "Active"}), named("team", status={"phase": "Terminating"})


@pytest.mark.parametrize(
    ("space", "existing", "creates"), [(ACTIVE, None, True), (ACTIVE, named(), False), (ENDING, None, False)]
)
def test_which_namespace_gets_a_service_account(space: Object, existing: Object | None, creates: bool) -> None:
    assert (serviceaccount.plan(space, existing).create is not None) is creates


ROOT_CA = rootca.plan(ACTIVE, None, "pem").create or {}


@pytest.mark.parametrize(
    ("space", "existing", "expected"),
    [
        (ACTIVE, None, "create"),
        (ENDING, None, None),
        (ACTIVE, ROOT_CA, None),
        (ACTIVE, {**ROOT_CA, "data": {"ca.crt": "old"}}, "update"),
        (ACTIVE, {**ROOT_CA, "data": {"ca.crt": "pem", "more": "x"}}, "update"),
        (ACTIVE, objects.with_metadata(ROOT_CA, annotations={"kept": "yes"}), "update"),
        (ACTIVE, objects.with_metadata(ROOT_CA, annotations={rootca.DESCRIPTION_ANNOTATION: "own words"}), None),
    ],
)  # fmt: skip
def test_when_the_root_ca_is_written(space: Object, existing: Object | None, expected: str | None) -> None:
    todo = rootca.plan(space, existing, "pem")
    assert {"create": todo.create is not None, "update": todo.update is not None} == {
        "create": expected == "create", "update": expected == "update",
    }  # fmt: skip


def token_secret(uid: str = "", **data: str) -> Object:
    annotations = {serviceaccounttoken.ACCOUNT_NAME: "robot"} | ({serviceaccounttoken.ACCOUNT_UID: uid} if uid else {})
    return named("t", metadata={"annotations": annotations}, type=serviceaccounttoken.TYPE, data=data)


FULL = {"token": "t", "namespace": "n", "ca.crt": base64.b64encode(b"pem").decode()}


@pytest.mark.parametrize(
    ("secret", "account", "expected"),
    [
        (token_secret("u", **FULL), named(), {}),
        (token_secret("", **FULL), named(), {"needs_uid": True}),
        (token_secret("u"), named(), {"needs_token": True, "needs_ca": True, "needs_namespace": True}),
        (token_secret("u", **{**FULL, "ca.crt": "old"}), named(), {"needs_ca": True}),
        (token_secret("u", **FULL), None, {"delete": True}),
        (token_secret("of-another", **FULL), named(), {"delete": True}),
        (objects.with_metadata(token_secret("u"), **DELETED), None, {}),
        ({**token_secret("u"), "type": "Opaque"}, None, {}),
        (objects.with_metadata(token_secret("u"), annotations={}), None, {}),
    ],
)
def test_what_a_token_secret_lacks(secret: Object, account: Object | None, expected: dict[str, bool]) -> None:
    assert serviceaccounttoken.plan(secret, account, b"pem") == serviceaccounttoken.Plan(**expected)


CONFIGMAPS_LEFT = Remaining(resource=PODS, count=2, finalizers={"example.com/hold": 2})


@pytest.mark.parametrize(
    ("remaining", "failures", "reasons", "finalize", "wait_s"),
    [
        ([], {}, {}, True, None),
        ([Remaining(resource=PODS)], {}, {}, True, None),
        (
            [CONFIGMAPS_LEFT], {},
            {"NamespaceContentRemaining": "SomeResourcesRemain", "NamespaceFinalizersRemaining": "SomeFinalizersRemain"},
            False, 8.5,
        ),
        ([Remaining(resource=PODS, count=1, grace_s=30)], {}, {"NamespaceContentRemaining": "SomeResourcesRemain"}, False, 16),
        ([Remaining(resource=PODS, failure="x")], {}, {"NamespaceDeletionContentFailure": "ContentDeletionFailed"}, False, 1),
        ([], {"metrics.k8s.io/v1beta1": "down"}, {"NamespaceDeletionDiscoveryFailure": "DiscoveryFailed"}, False, 1),
    ],
)  # fmt: skip
def test_what_keeps_a_namespace(
    remaining: Sequence[Remaining],
    failures: Mapping[str, str],
    reasons: dict[str, str],
    finalize: bool,
    wait_s: float | None,
) -> None:
    todo = namespace.plan(ENDING, remaining, failures, NOW_S)
    assert todo.status is not None
    conditions = todo.status["status"]["conditions"]
    assert {entry["type"]: entry["reason"] for entry in conditions if entry["status"] == "True"} == reasons
    assert len(conditions) == 5
    assert (todo.finalize, todo.requeue_after_s) == (finalize, wait_s)
    assert namespace.plan(todo.status, remaining, failures, NOW_S + 5).status is None


def test_a_node_gets_one_block_of_each_family_or_none_at_all() -> None:
    pools = [CIDRPool("10.8.0.0/23", 24), CIDRPool("fd00::/63", 64)]
    assert nodeipam.plan(named("n1"), pools).cidrs == ["10.8.0.0/24", "fd00::/64"]
    assert nodeipam.plan(named("n1", spec={"podCIDRs": ["10.8.0.0/24"]}), pools).cidrs == ()
    assert nodeipam.plan(named("n1", metadata=DELETED), pools).cidrs == ()
    small = [CIDRPool("10.8.0.0/23", 24), CIDRPool("fd00::/64", 64)]
    nodeipam.plan(named("n1"), small)
    for _ in range(2):
        with pytest.raises(CIDRExhausted):
            nodeipam.plan(named("n2"), small)
    assert small[0].allocate() == "10.8.1.0/24"


def tainted(*found: Object) -> Object:
    return named("n1", spec={"taints": [{"effect": "NoExecute", **entry} for entry in found]})


def tolerating(*found: Object, **fields: Any) -> Object:
    return pod(spec={"tolerations": [{"operator": "Exists", **entry} for entry in found]}, **fields)


ADDED = {"key": "a", "timeAdded": NOW}


@pytest.mark.parametrize(
    ("found", "node", "expected"),
    [
        (tolerating(), None, None),
        (tolerating(), tainted({"key": "a", "effect": "NoSchedule"}), None),
        (tolerating(), tainted(ADDED), 0.0),
        (tolerating({"key": "a"}), tainted(ADDED), None),
        (tolerating({"key": "a", "tolerationSeconds": 60}), tainted(ADDED), NOW_S + 60),
        (tolerating({"key": "a", "tolerationSeconds": 60}), tainted({"key": "a"}), NOW_S + 5 + 60),
        (tolerating({"key": "a", "tolerationSeconds": 0}), tainted(ADDED), 0.0),
        (tolerating({"key": "a", "tolerationSeconds": -1}), tainted(ADDED), 0.0),
        (tolerating({"key": "a", "tolerationSeconds": 60}, {"tolerationSeconds": 30}), tainted(ADDED), NOW_S + 60),
        (tolerating({"key": "a", "tolerationSeconds": 60}, {"key": "b", "tolerationSeconds": 30}),
         tainted(ADDED, {"key": "b", "timeAdded": NOW}), NOW_S + 30),
        (tolerating({"key": "a"}), tainted(ADDED, {"key": "b", "timeAdded": NOW}), 0.0),
        (tolerating({"key": "a"}, metadata=DELETED), tainted(ADDED, {"key": "b"}), None),
        (tolerating({"key": "a", "tolerationSeconds": 60}, metadata={"creationTimestamp": times.format_time(NOW_S + 7)}),
         tainted(ADDED), NOW_S + 7 + 60),
    ],
)  # fmt: skip
def test_when_a_pod_leaves_a_tainted_node(found: Object, node: Object | None, expected: float | None) -> None:
    assert tainteviction.plan(found, node, NOW_S + 5).evict_at_s == expected


def ended(kind: str = "Complete", **fields: Any) -> Object:
    status = {"conditions": [{"type": kind, "status": "True", "lastTransitionTime": NOW}]}
    return named("job", spec={"ttlSecondsAfterFinished": 10}, status=status, **fields)


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (ended(), NOW_S + 10),
        (ended("Failed"), NOW_S + 10),
        (ended("Suspended"), None),
        ({**ended(), "spec": {"ttlSecondsAfterFinished": 0}}, NOW_S),
        ({**ended(), "spec": {}}, None),
        (ended(metadata=DELETED), None),
    ],
)
def test_when_a_finished_job_goes(job: Object, expected: float | None) -> None:
    assert ttlafterfinished.plan(job).delete_at_s == expected


REQUEST = certificate_request()


def request(*, spec: Object | None = None, **fields: Any) -> Object:
    return {**REQUEST, **fields, "spec": {**REQUEST["spec"], **(spec or {})}}


@pytest.mark.parametrize(
    ("found", "permissions"),
    [
        (request(), ("nodeclient",)),
        (request(spec={"username": "system:node:n1"}), ("selfnodeclient", "nodeclient")),
        (request(status={"conditions": [{"type": "Denied", "status": "True"}]}), ()),
        (request(status={"certificate": "x"}), ()),
        (request(spec={"signerName": "kubernetes.io/kubelet-serving"}), ()),
        (certificate_request(common_name="somebody"), ()),
        (certificate_request(organization="system:masters"), ()),
    ],
)
def test_what_a_requestor_must_be_allowed(found: Object, permissions: Sequence[str]) -> None:
    assert csrapproving.plan(found).permissions == permissions


APPROVED = {"conditions": [{"type": "Approved", "status": "True", "lastUpdateTime": NOW}]}


@pytest.mark.parametrize(
    ("found", "signs", "failure", "life_s"),
    [
        (request(), False, "", 0.0),
        (request(status=APPROVED), True, "", 3600.0),
        (request(status=APPROVED, spec={"expirationSeconds": 900}), True, "", 900.0),
        (request(status=APPROVED, spec={"expirationSeconds": 10}), True, "", 600.0),
        (request(status=APPROVED, spec={"expirationSeconds": 9999}), True, "", 3600.0),
        (request(status=APPROVED, spec={"signerName": "example.com/x"}), False, "", 0.0),
        (certificate_request(common_name="somebody") | {"status": APPROVED}, False,
         "subject common name does not begin with system:node:", 0.0),
    ],
)  # fmt: skip
def test_what_is_signed_and_for_how_long(found: Object, signs: bool, failure: str, life_s: float) -> None:
    todo = csrsigning.plan(found, 3600.0)
    assert (todo.sign is not None, todo.failure, todo.life_s) == (signs, failure, life_s)


def decided(kind: str, **status: Any) -> Object:
    return request(status={"conditions": [{"type": kind, "status": "True", "lastUpdateTime": NOW}], **status})


@pytest.mark.parametrize(
    ("found", "after_s"),
    [
        (objects.with_metadata(request(), creationTimestamp=NOW), 24 * 3600),
        (decided("Approved"), 24 * 3600),
        (decided("Denied"), 3600),
        (decided("Failed"), 3600),
    ],
)
def test_when_a_request_is_cleaned_away(found: Object, after_s: float) -> None:
    assert csrcleaner.plan(found).delete_at_s == NOW_S + after_s


def role(name: str, *verbs: str, labels: dict[str, str] | None = None, **fields: Any) -> Object:
    return named(name, metadata={"labels": labels or {}}, rules=[{"verbs": [verb]} for verb in verbs], **fields)


def test_an_aggregated_role_has_each_rule_once_in_the_order_of_names() -> None:
    total = role(
        "sum", aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}, {"matchLabels": {"c": "d"}}]}
    )
    parts = [
        role("z", "get", "list", labels={"a": "b"}),
        role("y", "list", labels={"a": "b", "c": "d"}),
        role("x", "watch"),
    ]
    assert clusterroleaggregation.plan(total, [*parts, total]).rules == [{"verbs": ["list"]}, {"verbs": ["get"]}]
    assert clusterroleaggregation.plan(role("plain", "get"), parts).rules is None
    full = {**total, "rules": [{"verbs": ["list"]}, {"verbs": ["get"]}]}
    assert clusterroleaggregation.plan(full, parts).rules is None


def bootstrap_token(**data: str) -> Object:
    texts = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true", **data}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    return named("bootstrap-token-abcdef", type="bootstrap.kubernetes.io/token", data=encoded)


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        (bootstrap_token(), None),
        (bootstrap_token(expiration=NOW), NOW_S),
        (bootstrap_token(expiration="soon"), 0.0),
        ({**bootstrap_token(expiration=NOW), "type": "Opaque"}, None),
    ],
)
def test_when_a_token_goes(secret: Object, expected: float | None) -> None:
    assert tokencleaner.plan(secret).delete_at_s == expected


@pytest.mark.parametrize(
    ("data", "secret", "signatures"),
    [
        ({"kubeconfig": "k"}, bootstrap_token(), ["jws-kubeconfig-abcdef"]),
        ({"kubeconfig": "k"}, bootstrap_token(expiration=NOW), []),
        ({"kubeconfig": "k", "jws-kubeconfig-gone00": "x"}, bootstrap_token(**{"usage-bootstrap-signing": "no"}), []),
        ({}, bootstrap_token(), []),
    ],
)
def test_which_tokens_sign_the_cluster_info(data: dict[str, str], secret: Object, signatures: list[str]) -> None:
    token = bootstraptokens.parse(secret)
    assert token is not None
    info = named("cluster-info", data=data)
    signed = bootstrapsigner.plan(info, [token], NOW_S).update or info
    assert [key for key in signed["data"] if key.startswith("jws-")] == signatures
    assert bootstrapsigner.plan(signed, [token], NOW_S).update is None


VOLUME = {
    "name": "scratch",
    "ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}}},
}


@pytest.mark.parametrize(
    ("found", "existing", "created"),
    [
        (pod(spec={"volumes": [VOLUME, {"name": "plain"}]}), [], ["web-1-scratch"]),
        (pod(spec={"volumes": [VOLUME]}), ["web-1-scratch"], []),
        (pod(spec={"volumes": [VOLUME]}, metadata=DELETED), [], []),
    ],
)
def test_which_claims_a_pod_gets(found: Object, existing: list[str], created: list[str]) -> None:
    todo = ephemeralvolume.plan(found, existing)
    assert [objects.name(claim) for _, claim in todo.create] == created
    assert all(objects.labels(claim) == {"a": "b"} and claim["spec"] == {"x": 1} for _, claim in todo.create)


CLAIM_HELD: dict[str, Any] = {"finalizers": [pvcprotection.FINALIZER]}
RUNNING, DONE_POD = pod(spec={"nodeName": "n1"}), pod(spec={"nodeName": "n1"}, status={"phase": "Succeeded"})


@pytest.mark.parametrize(
    ("metadata", "users", "finalizers"),
    [
        ({}, [], CLAIM_HELD["finalizers"]),
        (CLAIM_HELD, [], None),
        (CLAIM_HELD | DELETED, [RUNNING], None),
        (CLAIM_HELD | DELETED, [pod()], []),
        (CLAIM_HELD | DELETED, [DONE_POD], []),
        (DELETED, [], None),
    ],
)
def test_when_a_claim_is_held(metadata: Object, users: list[Object], finalizers: list[str] | None) -> None:
    update = pvcprotection.plan(named(metadata=metadata), users).update
    assert (None if update is None else objects.finalizers(update)) == finalizers


PV_HELD: dict[str, Any] = {"finalizers": [pvprotection.FINALIZER]}


@pytest.mark.parametrize(
    ("metadata", "phase", "finalizers"),
    [
        ({}, "Available", PV_HELD["finalizers"]),
        (PV_HELD, "Bound", None),
        (PV_HELD | DELETED, "Bound", None),
        (PV_HELD | DELETED, "Released", []),
    ],
)
def test_when_a_volume_is_held(metadata: Object, phase: str, finalizers: list[str] | None) -> None:
    update = pvprotection.plan(named(metadata=metadata, status={"phase": phase})).update
    assert (None if update is None else objects.finalizers(update)) == finalizers


def test_a_class_of_attributes_is_held_while_it_is_used() -> None:
    held = {"finalizers": [volumeattributesclassprotection.FINALIZER]}
    assert (
        objects.finalizers(volumeattributesclassprotection.plan(named(), is_used=False).update or {})
        == held["finalizers"]
    )
    assert volumeattributesclassprotection.plan(named(metadata=held | DELETED), is_used=True).update is None
    assert (
        objects.finalizers(
            volumeattributesclassprotection.plan(named(metadata=held | DELETED), is_used=False).update or {}
        )
        == []
    )


CIDR_HELD: dict[str, Any] = {"finalizers": [servicecidr.FINALIZER]}


def a_range(cidr: str = "10.0.0.0/24", **metadata: Any) -> Object:
    return named("r", metadata=metadata, spec={"cidrs": [cidr]})


@pytest.mark.parametrize(
    ("found", "others", "addresses", "expected"),
    [
        (a_range(), [], [], "hold"),
        (a_range(**CIDR_HELD), [], [], "Ready=True"),
        (a_range(**CIDR_HELD, **DELETED), [], ["10.0.0.1"], "Ready=False"),
        (a_range(**CIDR_HELD, **DELETED), [a_range("10.0.0.0/16")], ["10.0.0.1"], "wait"),
        (a_range(**CIDR_HELD, **DELETED), [a_range("10.0.0.0/16", **DELETED)], ["10.0.0.1"], "Ready=False"),
        (a_range(**CIDR_HELD, **DELETED), [], ["10.0.1.1"], "wait"),
        (a_range(**DELETED), [], ["10.0.0.1"], "nothing"),
    ],
)
def test_when_a_range_of_service_addresses_goes(
    found: Object, others: list[Object], addresses: list[str], expected: str
) -> None:
    todo = servicecidr.plan(found, others, [named(address) for address in addresses], NOW_S)
    kinds = {"hold": todo.update is not None, "wait": todo.requeue_after_s is not None}
    done = next((kind for kind, is_so in kinds.items() if is_so), "nothing")
    if todo.status is not None:
        [ready] = todo.status["status"]["conditions"]
        done = f"Ready={ready['status']}"
    assert done == expected
    if expected == "wait":
        assert objects.finalizers(servicecidr.plan(found, others, [], NOW_S + 10).update or {}) == []


def test_a_node_is_annotated_once() -> None:
    assert ttl.plan(named(), 15).ttl_s == 15
    assert ttl.plan(named(metadata={"annotations": {ttl.ANNOTATION: "15"}}), 15).ttl_s is None


def on(node: str, name: str = "p", **fields: Any) -> Object:
    return pod(
        name, spec={"nodeName": node} if node else {}, metadata={"uid": name, **fields.pop("metadata", {})}, **fields
    )


OUT: Object = {"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


@pytest.mark.parametrize(
    ("found", "node", "absent", "expected"),
    [
        (on("n1"), named("n1"), (), None),
        (on("n9"), named("n1"), (), None),
        (on("n9"), named("n1"), ("n9",), "orphaned"),
        (on("", metadata=DELETED), named("n1"), (), "unscheduled"),
        (on("n1", metadata=DELETED), named("n1", spec=OUT), (), "out-of-service"),
        (on("n1", metadata=DELETED), named("n1", spec=OUT, status=READY), (), None),
        (on("n1"), named("n1", spec=OUT), (), None),
        (on("n1", status={"phase": "Failed"}), named("n1"), (), None),
    ],
)
def test_which_pod_is_garbage(found: Object, node: Object, absent: Sequence[str], expected: str | None) -> None:
    todo = podgc.plan([found], {objects.name(node): node}, absent, 1)
    assert next((why for _, why in todo.delete), None) == expected


def test_of_too_many_finished_pods_evicted_and_older_ones_go_first() -> None:
    def finished(name: str, created: float, **status: Any) -> Object:
        return on(
            "n1", name, metadata={"creationTimestamp": times.format_time(created)}, status={"phase": "Failed", **status}
        )

    pods = [finished("old", 1), finished("evicted", 9, reason="Evicted"), finished("new", 5), finished("middle", 3)]
    todo = podgc.plan(pods, {"n1": named("n1")}, (), 2)
    assert [objects.name(found) for found, _ in todo.delete] == ["evicted", "old"]
    assert podgc.plan(pods, {"n1": named("n1")}, (), 0).delete == []


def claim(*, reserved: int = 1, allocated: bool = True, held: bool = True, owner: str = "", **metadata: Any) -> Object:
    made = named("c", metadata=metadata)
    if held:
        made["metadata"]["finalizers"] = [FINALIZER]
    if owner:
        reference = {"apiVersion": "v1", "kind": "Pod", "name": "web-1", "uid": owner, "controller": True}
        made["metadata"]["ownerReferences"] = [reference]
    entries = [{"resource": "pods", "name": f"p{n}", "uid": f"{n}"} for n in range(reserved)]
    return made | {"status": {"reservedFor": entries} | ({"allocation": {"devices": {}}} if allocated else {})}


ENDED_POD = pod(metadata={"uid": "o"}, status={"phase": "Succeeded"})


@pytest.mark.parametrize(
    ("found", "remaining", "owner", "expected"),
    [
        (claim(), 1, None, ""),
        (claim(reserved=2), 1, None, "status"),
        (claim(), 0, None, "status deallocate release"),
        (claim(reserved=0), 0, None, ""),
        (claim(reserved=0, **DELETED), 0, None, "status deallocate release"),
        (claim(owner="o"), 0, ENDED_POD, "status deallocate release delete"),
        (claim(owner="of-another"), 0, pod(metadata={"uid": "o"}), "status deallocate release delete"),
        (claim(owner="o"), 0, pod(metadata={"uid": "o"}), "status deallocate release"),
    ],
)
def test_what_becomes_of_a_resource_claim(found: Object, remaining: int, owner: Object | None, expected: str) -> None:
    left = found["status"]["reservedFor"][:remaining]
    todo = resourceclaim.plan(found, left, owner, owner_is_known=owner is not None)
    done = []
    if todo.update_status is not None:
        done.append("status")
        done += ["deallocate"] if "allocation" not in todo.update_status["status"] else []
    done += [word for word, is_so in (("release", todo.release), ("delete", todo.delete)) if is_so]
    assert " ".join(done) == expected


@pytest.mark.parametrize(
    ("hard", "pods", "used"),
    [
        ({"pods": "2"}, [pod()], {"pods": "1"}),
        ({"pods": "2"}, [pod(status={"phase": "Failed"})], {"pods": "0"}),
        ({"count/pods": "2"}, [pod(status={"phase": "Failed"})], {"count/pods": "1"}),
        ({"requests.cpu": "2"}, [pod()], {"requests.cpu": "0"}),
    ],
)
def test_what_a_quota_counts(hard: dict[str, str], pods: list[Object], used: dict[str, str]) -> None:
    quota = named("q", spec={"hard": hard})
    todo = resourcequota.plan(quota, {PODS: pods}, NOW_S)
    assert todo.status is not None
    assert todo.status["status"] == {"hard": hard, "used": used}
    assert resourcequota.plan(todo.status, {PODS: pods}, NOW_S).status is None


SERVICE = named(
    "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}], "clusterIP": "10.1.0.1"}
)  # fmt: skip


def backend(name: str, ip: str, *, ready: bool = True, port: int = 8080, **metadata: Any) -> Object:
    found = pod(name, metadata={"uid": name, **metadata}, spec={"nodeName": "n1"})
    found["spec"]["containers"] = [{"name": "main", "ports": [{"name": "http", "containerPort": port}]}]
    entry = {"type": "Ready", "status": "True" if ready else "False"}
    return found | {"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [entry]}}


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([], []),
        ([backend("a", "10.0.0.1")], [(["10.0.0.1"], [], 8080)]),
        ([backend("a", "10.0.0.2"), backend("b", "10.0.0.1", ready=False)], [(["10.0.0.2"], ["10.0.0.1"], 8080)]),
        ([backend("a", "10.0.0.1", port=1), backend("b", "10.0.0.2", port=2)],
         [(["10.0.0.1"], [], 1), (["10.0.0.2"], [], 2)]),
        ([backend("a", "10.0.0.1", **DELETED)], []),
        ([backend("a", "fd00::1")], []),
        ([{**backend("a", "10.0.0.1"), "spec": {"containers": [{"name": "main"}]}}], []),
    ],
)  # fmt: skip
def test_which_pods_are_endpoints(pods: list[Object], expected: list[tuple[list[str], list[str], int]]) -> None:
    todo = endpoints.plan(SERVICE, pods, None, None)
    assert todo.create is not None
    found = [
        (
            [entry["ip"] for entry in subset.get("addresses") or ()],
            [entry["ip"] for entry in subset.get("notReadyAddresses") or ()],
            subset["ports"][0]["port"],
        )
        for subset in todo.create["subsets"]
    ]
    assert found == expected
    assert endpoints.plan(SERVICE, pods, todo.create, None) == endpoints.Plan()


def test_endpoints_of_pods_that_are_the_same_objects_are_not_made_anew() -> None:
    memory: endpoints.Memory = {}
    first, second = backend("a", "10.0.0.1"), backend("b", "10.0.0.2")
    before = endpoints.plan(SERVICE, [first, second], None, None, memory).create or {}
    [subset] = before["subsets"]
    changed = backend("b", "10.0.0.2", ready=False)
    after = endpoints.plan(SERVICE, [first, changed], before, None, memory).update or {}
    [now] = after["subsets"]
    assert now["addresses"][0] is subset["addresses"][0]
    assert [entry["ip"] for entry in now["notReadyAddresses"]] == ["10.0.0.2"]
    endpoints.plan(SERVICE, [first], after, None, memory)
    assert list(memory) == ["a"]


NODES = {"n1": named("n1", metadata={"labels": {"topology.kubernetes.io/zone": "a"}})}


@pytest.mark.parametrize(
    ("spec", "conditions", "hints"),
    [
        ({}, (True, True, False), None),
        ({"trafficDistribution": "PreferClose"}, (True, True, False), {"forZones": [{"name": "a"}]}),
        ({"trafficDistribution": "PreferSameZone"}, (True, True, False), {"forZones": [{"name": "a"}]}),
        ({"trafficDistribution": "PreferSameNode"}, (True, True, False),
         {"forZones": [{"name": "a"}], "forNodes": [{"name": "n1"}]}),
    ],
)  # fmt: skip
def test_what_an_endpoint_of_a_slice_says(
    spec: Object, conditions: tuple[bool, bool, bool], hints: Object | None
) -> None:
    service = {**SERVICE, "spec": {**SERVICE["spec"], **spec}}
    todo = endpointslice.plan(service, [backend("a", "10.0.0.1")], [], NODES, most_per_slice=100)
    [made] = todo.changes.create
    [endpoint] = made["endpoints"]
    found = endpoint["conditions"]
    assert (found["ready"], found["serving"], found["terminating"]) == conditions
    assert (endpoint.get("hints"), endpoint["zone"]) == (hints, "a")
    unready = backend("a", "10.0.0.1", ready=False)
    [made] = endpointslice.plan(service, [unready], [], NODES, most_per_slice=100).changes.create
    assert "hints" not in made["endpoints"][0]


@pytest.mark.parametrize(
    ("addresses", "kept", "skipped", "invalid"),
    [
        (["192.0.2.1", "192.0.2.2"], 2, 0, 0),
        (["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"], 3, 1, 0),
        (["192.0.2.1", "nonsense"], 1, 1, 1),
        (["nonsense", "192.0.2.1", "192.0.2.2", "192.0.2.3", "rubbish"], 3, 2, 1),
    ],
)
def test_which_addresses_are_mirrored(addresses: list[str], kept: int, skipped: int, invalid: int) -> None:
    subset = {"addresses": [{"ip": ip} for ip in addresses], "ports": [{"port": 80}]}
    mirrored = named("db", subsets=[subset])
    todo = endpointslicemirroring.plan(mirrored, named("db", spec={}), [], 3)
    assert sum(len(made["endpoints"]) for made in todo.changes.create) == kept
    assert (todo.skipped, todo.invalid) == (skipped, invalid)
