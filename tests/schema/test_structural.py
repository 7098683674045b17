"""Structures refuse what upstream's decoder refuses, in its words, and store what it would write back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.meta.errors import BadRequest
from steersman.schema import structural
from steersman.schema.structural import compiled

POD = compiled("io.k8s.api.core.v1.Pod")


def pod(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec, "status": {}}


def bare(**metadata: Any) -> dict[str, Any]:
    return {"metadata": metadata, "spec": {"containers": None}, "status": {}}


def container(**fields: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "c", "image": "i", "resources": {}, **fields}])


REFUSED: list[tuple[Any, str]] = [
    (pod(containers="x"), "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container"),
    (pod(containers=["x"]), "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type v1.Container"),
    (container(image=5), "json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string"),
    (container(imagePullPolicy=5), "json: cannot unmarshal number into Go struct field Container.spec.containers.imagePullPolicy of type v1.PullPolicy"),
    (container(tty="yes"), "json: cannot unmarshal string into Go struct field Container.spec.containers.tty of type bool"),
    (container(args=[1]), "json: cannot unmarshal number into Go struct field Container.spec.containers.args of type string"),
    (container(resources={"limits": {"cpu": "x"}}), "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    (container(resources={"limits": []}), "json: cannot unmarshal array into Go struct field ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList"),
    (container(livenessProbe={"httpGet": {"port": True}}), "json: cannot unmarshal bool into Go struct field HTTPGetAction.spec.containers.livenessProbe.httpGet.port of type int32"),
    (pod(priority=1.5), "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32"),
    (pod(priority=2**31), "json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32"),
    (pod(priority=True), "json: cannot unmarshal bool into Go struct field PodSpec.spec.priority of type int32"),
    (pod(terminationGracePeriodSeconds=2**63), "json: cannot unmarshal number 9223372036854775808 into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64"),
    ({"metadata": {"labels": {"a": 1}}}, "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"),
    ({"metadata": {"labels": ["a"]}}, "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string"),
    ({"metadata": {"creationTimestamp": 5}}, "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string"),
    ({"metadata": {"creationTimestamp": "yesterday"}}, 'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"'),
    ({"metadata": {"creationTimestamp": "2026-13-01T00:00:00Z"}}, 'parsing time "2026-13-01T00:00:00Z": month out of range'),
    ({"metadata": {"creationTimestamp": "2026-02-30T00:00:00Z"}}, 'parsing time "2026-02-30T00:00:00Z": day out of range'),
    ({"metadata": {"creationTimestamp": "2026-02-03 00:00:00Z"}}, 'parsing time "2026-02-03 00:00:00Z" as "2006-01-02T15:04:05Z07:00": cannot parse " 00:00:00Z" as "T"'),
    ({"spec": []}, "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"),
    ([], "json: cannot unmarshal array into Go value of type v1.Pod"),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "text"), REFUSED)
def test_wrong_types_are_refused_in_the_words_of_upstreams_decoder(obj: Any, text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        POD.decode(obj)
    assert refused.value.message == text
    assert POD.check(obj) == ([text], [])


def test_an_object_that_is_right_comes_back_as_itself() -> None:
    obj = container(resources={"limits": {"cpu": "500m", "memory": "1Gi"}}, ports=[{"containerPort": 80}])
    assert POD.decode(obj) is obj


STORED: list[tuple[Any, Any]] = [
    (container(resources={"limits": {"cpu": 0.5, "memory": "1024Mi"}}), container(resources={"limits": {"cpu": "500m", "memory": "1Gi"}})),
    (container(resources={"limits": {"cpu": 2, "memory": None}}), container(resources={"limits": {"cpu": "2", "memory": "0"}})),
    (container(image=None), pod(containers=[{"name": "c", "resources": {}}])),
    (container(args=[]), container()),
    (container(args=["a", None]), container(args=["a", ""])),
    (pod(containers=[]), pod(containers=[])),
    (pod(nodeSelector={}), pod(containers=None)),
    (pod(securityContext={}), pod(securityContext={}, containers=None)),
    (bare(labels={"a": None}), bare(labels={"a": ""})),
    (bare(creationTimestamp="2026-01-02T05:04:05.9+02:00"), bare(creationTimestamp="2026-01-02T03:04:05Z")),
    (pod(containers=[None]), pod(containers=[{"name": "", "resources": {}}])),
    (bare(managedFields=[{"fieldsV1": {"f:spec": {}}}]), bare(managedFields=[{"fieldsV1": {"f:spec": {}}}])),
    (bare(managedFields=[]), bare(managedFields=[])),
    (pod(nodeName="", hostNetwork=False, priority=0, terminationGracePeriodSeconds=0), pod(priority=0, terminationGracePeriodSeconds=0, containers=None)),
    (container(workingDir="", securityContext={"privileged": False}), container(securityContext={"privileged": False})),
    (container(livenessProbe={"httpGet": {}, "periodSeconds": 0}), container(livenessProbe={"httpGet": {"port": 0}})),
    ({"metadata": {"name": "a"}}, bare(name="a")),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "stored"), STORED)
def test_values_are_stored_as_upstream_writes_them_back(obj: Any, stored: Any) -> None:
    before = copy.deepcopy(obj)
    assert POD.decode(obj) == stored
    assert obj == before


def test_only_changed_paths_are_copied() -> None:
    obj = container()
    obj["extra"] = 1
    stored = POD.decode(obj)
    assert "extra" not in stored
    assert stored["spec"] is obj["spec"]


def test_unknown_fields_are_dropped_and_named_in_document_order() -> None:
    obj = pod(
        foo=1,
        containers=[{"name": "a", "imag": "x"}, {"name": "b", "env": [{"name": "E", "vale": "1"}]}],
        hostNetwork=True,
    )
    obj["bar"] = {"deep": {}}
    unknown: list[str] = []
    stored = POD.decode(obj, unknown)
    assert unknown == ["spec.foo", "spec.containers[0].imag", "spec.containers[1].env[0].vale", "bar"]
    assert stored["spec"] == {
        "containers": [{"name": "a", "resources": {}}, {"name": "b", "resources": {}, "env": [{"name": "E"}]}],
        "hostNetwork": True,
    }
    assert POD.prune(obj) == stored
    assert POD.check(obj) == ([], unknown)


@pytest.mark.parametrize(
    ("value", "stored"),
    [("YQ==", "YQ=="), ("YW\nE=", "YWE="), ("YR==", "YQ=="), ("", "")],
)
def test_bytes_are_stored_in_canonical_base64(value: str, stored: str) -> None:
    secret = compiled("io.k8s.api.core.v1.Secret")
    assert secret.decode({"data": {"a": value}})["data"] == {"a": stored}


@pytest.mark.parametrize(
    ("value", "position"),
    [("a", 0), ("abcdef", 4), ("ab*=", 2), ("abcd=", 4), ("ab=c", 2), ("ab=", 3), ("ab==x", 4), ("abc=x", 4)],
)
def test_what_is_not_base64_is_refused_with_the_position(value: str, position: int) -> None:
    secret = compiled("io.k8s.api.core.v1.Secret")
    with pytest.raises(BadRequest, match=f"^illegal base64 data at input byte {position}$"):
        secret.decode({"data": {"a": value}})


def test_micro_times_have_six_digits() -> None:
    lease = compiled("io.k8s.api.coordination.v1.Lease")
    good = {"metadata": {}, "spec": {"renewTime": "2026-01-02T03:04:05.000006Z"}}
    assert lease.decode(good) is good
    assert lease.decode({"spec": {"renewTime": "2026-01-02T05:04:05.123456+02:00"}})["spec"] == {
        "renewTime": "2026-01-02T03:04:05.123456Z"
    }
    with pytest.raises(BadRequest, match=r'cannot parse "Z" as "\.000000"'):
        lease.decode({"spec": {"renewTime": "2026-01-02T03:04:05Z"}})


def test_json_schemas_of_custom_resources_are_checked_to_their_depth() -> None:
    crd = compiled("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition")

    def definition(schema: Any) -> Any:
        return {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}

    good = definition(
        {"type": "object", "additionalProperties": {"type": "string"}, "properties": {"a": {"items": {"default": 1}}}}
    )
    assert crd.decode(good)["spec"]["versions"][0]["schema"] is good["spec"]["versions"][0]["schema"]
    unknown: list[str] = []
    crd.decode(definition({"additionalProperties": {"typo": 1}}), unknown)
    assert unknown == ["spec.versions[0].schema.openAPIV3Schema.additionalProperties.typo"]
    with pytest.raises(BadRequest, match="boolean or JSON schema expected"):
        crd.decode(definition({"additionalProperties": 1}))
    deep: dict[str, Any] = {}
    for _ in range(10_000):
        deep = {"not": deep}
    with pytest.raises(BadRequest, match="exceeded max depth"):
        crd.decode(definition(deep))


def test_missing_required_fields_are_reported_on_request() -> None:
    errors = POD.required_errors(
        pod(containers=[{"image": "x"}], volumes=[{"name": "v", "configMap": {"items": [{"key": "a"}]}}])
    )
    assert [str(error) for error in errors] == [
        "spec.containers[0].name: Required value",
        "spec.volumes[0].configMap.items[0].path: Required value",
    ]


def test_every_definition_compiles() -> None:
    from steersman.schema import definitions

    for name in definitions.names():
        try:
            compiled(name).decode({})
        except BadRequest as error:
            assert "object" in error.message or "quantities" in error.message


def test_the_message_of_a_body_that_cannot_be_decoded() -> None:
    error = structural.cannot_be_handled("Pod", "v1", "Pod", 'strict decoding error: unknown field "spec.foo"')
    assert error.http_code == 400
    assert error.message == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.foo"'
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["metadata", "spec", "containers", "name", "labels", "resources", "limits", "cpu", "x"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_decoding_is_idempotent_and_leaves_its_input_alone(value: Any) -> None:
    before = copy.deepcopy(value)
    try:
        stored = POD.decode(value)
    except BadRequest:
        stored = None
    assert value == before
    if stored is not None:
        again = POD.decode(stored)
        assert again == stored


@pytest.mark.parametrize(
    ("kind", "sent", "stored"),
    [
        ("rbac.v1.ClusterRole", {}, {"rules": None}),
        ("rbac.v1.ClusterRole", {"rules": None}, {"rules": None}),
        (
            "discovery.v1.EndpointSlice",
            {"addressType": "IPv4"},
            {"addressType": "IPv4", "endpoints": None, "ports": None},
        ),
        (
            "core.v1.PodCondition",
            {"type": "Ready", "status": "True"},
            {"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": None},
        ),
        ("core.v1.GRPCAction", {"port": 1}, {"port": 1, "service": None}),
        ("core.v1.PersistentVolumeClaimSpec", {}, {"resources": {}}),
    ],
)
def test_what_nobody_set_is_null_where_upstream_writes_null(kind: str, sent: Any, stored: Any) -> None:
    decode = compiled(f"io.k8s.api.{kind}").decode
    kept = {name: value for name, value in decode(sent).items() if name != "metadata"}
    assert kept == stored
    again = decode(sent)
    assert decode(again) is again
