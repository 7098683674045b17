"""What quotas say to requests, in upstream's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import pytest

from steersman.apiserver.admission.api import AdmissionRequest, Operation
from steersman.apiserver.admission.errors import Unwrapped
from steersman.apiserver.admission.quotacheck import (
    LimitedResource,
    Question,
    RunningQuota,
    charge,
    handles,
    missing_amounts,
)
from steersman.apiserver.authn.api import User
from steersman.meta import quotas
from steersman.meta.errors import Forbidden
from steersman.meta.objects import Object
from steersman.meta.quotas import Scope
from steersman.meta.resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    EVENTS,
    PERSISTENTVOLUMECLAIMS,
    PODS,
    RESOURCECLAIMS,
    SERVICES,
    Resource,
)
from steersman.schema.groups import REGISTRY

KINDS = {kind.resource: kind for kind in REGISTRY}


def _quota(hard: Mapping[str, str], used: Mapping[str, str] | None = None, **spec: Any) -> Object:
    status = {"hard": dict(hard), "used": dict.fromkeys(hard, "0") if used is None else dict(used)}
    return {"metadata": {"name": "q"}, "spec": {"hard": dict(hard), **spec}, "status": status}


def _pod(*, name: str = "p", **spec: Any) -> Object:
    containers = spec.pop("containers", None) or [{"name": "c", "resources": spec.pop("resources", {})}]
    return {"metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def _request(
    resource: Resource,
    obj: Object,
    old: Object | None = None,
    *,
    operation: Operation = "CREATE",
    subresource: str = "",
) -> AdmissionRequest:
    return AdmissionRequest(
        operation="UPDATE" if old is not None else operation,
        kind=KINDS[resource],
        namespace="default",
        name=obj["metadata"]["name"],
        subresource=subresource,
        obj=obj,
        old=old,
        user=User(name="joe"),
    )


def _charge(
    found: Sequence[Object],
    resource: Resource,
    obj: Object,
    old: Object | None = None,
    *,
    subresource: str = "",
    limited: Sequence[LimitedResource] = (),
    dry_run: bool = False,
) -> list[Object]:
    request = _request(resource, obj, old, subresource=subresource)
    question = Question(
        request=request,
        now_s=0.0,
        usage=quotas.usage_of(resource, obj, 0.0),
        usage_before=None if old is None else quotas.usage_of(resource, old, 0.0),
        limited=limited,
    )
    running = [RunningQuota.of(quota) for quota in found]
    charge(running, question, dry_run=dry_run)
    return [entry.charged_object() for entry in running]


@pytest.mark.parametrize(
    ("quota", "pod", "message"),
    [
        (
            _quota({"pods": "5"}, {"pods": "5"}),
            _pod(),
            'pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5',
        ),
        (
            _quota(
                {"requests.memory": "1Gi", "cpu": "2", "pods": "9"},
                {"requests.memory": "512Mi", "cpu": "1500m", "pods": "1"},
            ),
            _pod(resources={"requests": {"cpu": "600m", "memory": "768Mi"}}),
            'pods "p" is forbidden: exceeded quota: q, requested: cpu=600m,requests.memory=768Mi, '
            "used: cpu=1500m,requests.memory=512Mi, limited: cpu=2,requests.memory=1Gi",
        ),
        (
            _quota({"cpu": "2", "limits.memory": "2Gi"}),
            _pod(containers=[{"name": "b"}, {"name": "a", "resources": {"requests": {"cpu": "1"}}}]),
            'pods "p" is forbidden: failed quota: q: must specify cpu for: b; limits.memory for: a,b',
        ),
        (
            _quota({"pods": "5", "cpu": "2"}, {}),
            _pod(resources={"requests": {"cpu": "1"}}),
            'pods "p" is forbidden: status unknown for quota: q, resources: cpu,pods',
        ),
        (
            _quota({"requests.example.com/gpu": "3"}, {"requests.example.com/gpu": "2"}),
            _pod(resources={"requests": {"example.com/gpu": "2"}}),
            'pods "p" is forbidden: exceeded quota: q, requested: requests.example.com/gpu=2, '
            "used: requests.example.com/gpu=2, limited: requests.example.com/gpu=3",
        ),
        (
            _quota({"count/pods": "0"}),
            _pod(),
            'pods "p" is forbidden: exceeded quota: q, requested: count/pods=1, used: count/pods=0, limited: count/pods=0',
        ),
    ],
)
def test_refusals(quota: Object, pod: Object, message: str) -> None:
    with pytest.raises(Forbidden) as caught:
        _charge([quota], PODS, pod)
    assert caught.value.message == message


def test_what_fits_is_charged() -> None:
    quota = _quota({"pods": "5", "requests.cpu": "2", "limits.memory": "2Gi", "configmaps": "1"}, {"pods": "1", "requests.cpu": "1", "limits.memory": "0", "configmaps": "1"})  # fmt: skip
    pod = _pod(resources={"requests": {"cpu": "250m"}, "limits": {"memory": "512Mi"}})
    [charged] = _charge([quota], PODS, pod)
    assert charged["status"]["used"] == {
        "pods": "2",
        "requests.cpu": "1250m",
        "limits.memory": "512Mi",
        "configmaps": "1",
    }
    assert quota["status"]["used"]["pods"] == "1"


def test_nothing_is_charged_where_one_quota_refuses() -> None:
    running = [RunningQuota.of(_quota({"pods": "5"})), RunningQuota.of(_quota({"pods": "0"}))]
    question = Question(request=_request(PODS, _pod()), now_s=0.0, usage=quotas.usage_of(PODS, _pod(), 0.0))
    with pytest.raises(Forbidden):
        charge(running, question, dry_run=False)
    assert not any(entry.is_changed for entry in running)


def test_a_dry_run_is_checked_and_not_charged() -> None:
    assert _charge([_quota({"pods": "1"})], PODS, _pod(), dry_run=True)[0]["status"]["used"] == {"pods": "0"}
    with pytest.raises(Forbidden):
        _charge([_quota({"pods": "0"})], PODS, _pod(), dry_run=True)


@pytest.mark.parametrize(
    ("spec", "pod", "is_charged"),
    [
        ({"scopes": ["Terminating"]}, _pod(activeDeadlineSeconds=5), True),
        ({"scopes": ["Terminating"]}, _pod(), False),
        ({"scopes": ["NotTerminating"]}, _pod(), True),
        ({"scopes": ["BestEffort"]}, _pod(), True),
        ({"scopes": ["BestEffort"]}, _pod(resources={"limits": {"cpu": "1"}}), False),
        ({"scopes": ["BestEffort"]}, _pod(resources={"requests": {"cpu": "0"}}), True),
        ({"scopes": ["NotBestEffort", "NotTerminating"]}, _pod(resources={"requests": {"memory": "1"}}), True),
        ({"scopes": ["PriorityClass"]}, _pod(priorityClassName="high"), True),
        ({"scopes": ["PriorityClass"]}, _pod(), False),
        *(
            (
                {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": ["high", "low"]}]}},
                _pod(**({"priorityClassName": name} if name else {})),
                expected,
            )
            for operator, name, expected in (
                ("In", "high", True),
                ("In", "other", False),
                ("In", "", False),
                ("NotIn", "high", False),
                ("NotIn", "other", True),
                ("NotIn", "", True),
                ("Exists", "other", True),
                ("DoesNotExist", "other", False),
                ("DoesNotExist", "", True),
            )
        ),
        (
            {"scopes": ["CrossNamespacePodAffinity"]},
            _pod(affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["x"]}]}}),
            True,
        ),
        (
            {"scopes": ["CrossNamespacePodAffinity"]},
            _pod(affinity={"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": {"namespaceSelector": {}}}]}}),
            True,
        ),
        (
            {"scopes": ["CrossNamespacePodAffinity"]},
            _pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a"}]}}),
            False,
        ),
        ({"scopes": ["VolumeAttributesClass"]}, _pod(), False),
    ],
)  # fmt: skip
def test_scopes(spec: Mapping[str, Any], pod: Object, is_charged: bool) -> None:
    [quota] = _charge([_quota({"pods": "5"}, **spec)], PODS, pod)
    assert quota["status"]["used"]["pods"] == ("1" if is_charged else "0")


def test_quotas_with_scopes_count_no_objects_of_other_kinds() -> None:
    [quota] = _charge(
        [_quota({"count/configmaps": "1"}, scopes=["NotBestEffort"])], CONFIGMAPS, {"metadata": {"name": "a"}}
    )
    assert quota["status"]["used"] == {"count/configmaps": "0"}


@pytest.mark.parametrize(
    ("resource", "name"),
    [(CONFIGMAPS, "configmaps"), (CONFIGMAPS, "count/configmaps"), (DEPLOYMENTS, "count/deployments.apps")],
)
def test_objects_are_counted(resource: Resource, name: str) -> None:
    [quota] = _charge([_quota({name: "1"})], resource, {"metadata": {"name": "a"}})
    assert quota["status"]["used"] == {name: "1"}
    with pytest.raises(Forbidden, match=f"exceeded quota: q, requested: {name}=1, used: {name}=1, limited: {name}=1"):
        _charge([quota], resource, {"metadata": {"name": "b"}})


def _service(kind: str, ports: int = 1, **spec: Any) -> Object:
    return {
        "metadata": {"name": "s"},
        "spec": {"type": kind, "ports": [{"port": 80 + index} for index in range(ports)], **spec},
    }


@pytest.mark.parametrize(
    ("service", "used"),
    [
        (_service("ClusterIP"), ("1", "0", "0")),
        (_service("NodePort", 2), ("1", "2", "0")),
        (_service("LoadBalancer", 3), ("1", "3", "1")),
        (_service("LoadBalancer", 3, allocateLoadBalancerNodePorts=False), ("1", "0", "1")),
    ],
)
def test_services(service: Object, used: tuple[str, ...]) -> None:
    names = ("services", "services.nodeports", "services.loadbalancers")
    [quota] = _charge([_quota(dict.fromkeys(names, "5"))], SERVICES, service)
    assert quota["status"]["used"] == dict(zip(names, used, strict=True))


def test_a_service_that_changes_its_type_is_charged_the_difference() -> None:
    quota = _quota({"services": "5", "services.nodeports": "1"}, {"services": "1", "services.nodeports": "0"})
    [changed] = _charge([quota], SERVICES, _service("NodePort"), _service("ClusterIP"))
    assert changed["status"]["used"] == {"services": "1", "services.nodeports": "1"}
    [back] = _charge([changed], SERVICES, _service("ClusterIP"), _service("NodePort"))
    assert back == changed


def _claim(storage: str, storage_class: str = "", **spec: Any) -> Object:
    found = {"resources": {"requests": {"storage": storage}}, **spec}
    if storage_class:
        found["storageClassName"] = storage_class
    return {"metadata": {"name": "v"}, "spec": found}


def test_claims_take_storage_of_their_class_and_grow() -> None:
    gold = "gold.storageclass.storage.k8s.io"
    hard = {"requests.storage": "3Gi", f"{gold}/requests.storage": "2Gi", f"{gold}/persistentvolumeclaims": "1"}
    [quota] = _charge([_quota(hard)], PERSISTENTVOLUMECLAIMS, _claim("1Gi", "gold"))
    assert quota["status"]["used"] == {
        "requests.storage": "1Gi",
        f"{gold}/requests.storage": "1Gi",
        f"{gold}/persistentvolumeclaims": "1",
    }
    [other] = _charge([quota], PERSISTENTVOLUMECLAIMS, _claim("1Gi", "silver"))
    assert other["status"]["used"]["requests.storage"] == "2Gi"
    with pytest.raises(
        Forbidden,
        match=r"requested: gold\.storageclass\.storage\.k8s\.io/requests.storage=2Gi,requests.storage=2Gi, used: gold",
    ):
        _charge([other], PERSISTENTVOLUMECLAIMS, _claim("3Gi", "gold"), _claim("1Gi", "gold"))
    [grown] = _charge([other], PERSISTENTVOLUMECLAIMS, _claim("1536Mi", "gold"), _claim("1Gi", "gold"))
    assert grown["status"]["used"][f"{gold}/requests.storage"] == "1536Mi"


def test_a_claim_takes_what_was_allocated_also_beyond_the_quota() -> None:
    old = _claim("1Gi")
    new = {**old, "status": {"allocatedResources": {"storage": "9Gi"}}}
    [quota] = _charge(
        [_quota({"requests.storage": "2Gi"}, {"requests.storage": "1Gi"})],
        PERSISTENTVOLUMECLAIMS,
        new,
        old,
        subresource="status",
    )
    assert quota["status"]["used"] == {"requests.storage": "9Gi"}


def test_claims_by_volume_attributes_class() -> None:
    spec: dict[str, Any] = {
        "scopeSelector": {
            "matchExpressions": [{"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["fast"]}]
        }
    }
    quota = _quota({"persistentvolumeclaims": "1"}, **spec)
    assert _charge([quota], PERSISTENTVOLUMECLAIMS, _claim("1Gi"))[0] == quota
    [charged] = _charge([quota], PERSISTENTVOLUMECLAIMS, _claim("1Gi", volumeAttributesClassName="fast"))
    assert charged["status"]["used"] == {"persistentvolumeclaims": "1"}
    slow = _claim("1Gi", volumeAttributesClassName="slow")
    turning = {**slow, "status": {"modifyVolumeStatus": {"targetVolumeAttributesClassName": "fast"}}}
    with pytest.raises(Forbidden):
        _charge([charged], PERSISTENTVOLUMECLAIMS, {**turning, "spec": {**turning["spec"]}}, slow)


def test_device_claims_take_devices_by_class_in_the_worst_case() -> None:
    requests = [
        {"name": "a", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}},
        {
            "name": "b",
            "firstAvailable": [
                {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1},
                {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 4},
                {"deviceClassName": "fpga", "allocationMode": "All"},
            ],
        },
    ]
    claim = {"metadata": {"name": "c"}, "spec": {"devices": {"requests": requests}}}
    usage = quotas.usage_of(RESOURCECLAIMS, claim, 0.0, extended={"gpu": "example.com/gpu"})
    assert usage == {
        "count/resourceclaims.resource.k8s.io": Fraction(1),
        "gpu.deviceclass.resource.k8s.io/devices": Fraction(6),
        "fpga.deviceclass.resource.k8s.io/devices": Fraction(32),
        "requests.deviceclass.resource.kubernetes.io/gpu": Fraction(6),
        "requests.deviceclass.resource.kubernetes.io/fpga": Fraction(32),
        "requests.example.com/gpu": Fraction(6),
    }
    with pytest.raises(Forbidden, match=r"exceeded quota: q, requested: gpu\.deviceclass\.resource\.k8s\.io/devices=6"):
        _charge([_quota({"gpu.deviceclass.resource.k8s.io/devices": "5"})], RESOURCECLAIMS, claim)


def test_a_resize_is_charged_what_it_adds() -> None:
    old = _pod(resources={"requests": {"cpu": "1"}})
    new = _pod(resources={"requests": {"cpu": "3"}})
    quota = _quota({"cpu": "4"}, {"cpu": "1"})
    assert _charge([quota], PODS, new, old, subresource="resize")[0]["status"]["used"] == {"cpu": "3"}
    with pytest.raises(Forbidden, match="requested: cpu=2, used: cpu=3, limited: cpu=4"):
        _charge([_quota({"cpu": "4"}, {"cpu": "3"})], PODS, new, old, subresource="resize")


def test_a_pod_that_enters_a_scope_is_charged_in_full() -> None:
    old, new = _pod(), _pod(activeDeadlineSeconds=60)
    found = [
        _quota({"pods": "1"}, scopes=["Terminating"]),
        _quota({"pods": "1"}, {"pods": "1"}, scopes=["NotTerminating"]),
    ]
    terminating, other = _charge(found, PODS, new, old)
    assert terminating["status"]["used"] == {"pods": "1"}
    assert other["status"]["used"] == {"pods": "1"}


# -- limited by default

GOLD = LimitedResource(
    group="",
    plural="persistentvolumeclaims",
    match_contains=(".storageclass.storage.k8s.io/requests.storage",),
    match_scopes=(),
)
CLUSTER_SERVICES = LimitedResource(
    group="",
    plural="pods",
    match_contains=(),
    match_scopes=(Scope.of({"scopeName": "PriorityClass", "operator": "In", "values": ["cluster-services", "core"]}),),
)


def test_limited_resources_need_a_quota_that_covers_them() -> None:
    name = "gold.storageclass.storage.k8s.io/requests.storage"
    with pytest.raises(Forbidden) as caught:
        _charge([], PERSISTENTVOLUMECLAIMS, _claim("1Gi", "gold"), limited=(GOLD,))
    assert caught.value.message == f'persistentvolumeclaims "v" is forbidden: insufficient quota to consume: {name}'
    assert _charge([], PERSISTENTVOLUMECLAIMS, _claim("1Gi"), limited=(GOLD,)) == []
    [covered] = _charge([_quota({name: "2Gi"})], PERSISTENTVOLUMECLAIMS, _claim("1Gi", "gold"), limited=(GOLD,))
    assert covered["status"]["used"] == {name: "1Gi"}


def test_limited_scopes_need_a_quota_of_that_scope() -> None:
    pod = _pod(priorityClassName="core")
    with pytest.raises(Unwrapped) as caught:
        _charge([_quota({"pods": "5"})], PODS, pod, limited=(CLUSTER_SERVICES,))
    assert (
        caught.value.message == "insufficient quota to match these scopes: [{PriorityClass In [cluster-services core]}]"
    )
    spec: dict[str, Any] = {
        "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["core"]}]}
    }
    [quota] = _charge([_quota({"pods": "5"}, **spec)], PODS, pod, limited=(CLUSTER_SERVICES,))
    assert quota["status"]["used"] == {"pods": "1"}
    _charge([], PODS, _pod(priorityClassName="other"), limited=(CLUSTER_SERVICES,))


# -- what concerns quotas at all


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (_request(PODS, _pod()), True),
        (_request(PODS, _pod(), _pod()), False),
        (_request(PODS, _pod(activeDeadlineSeconds=1), _pod()), True),
        (_request(PODS, _pod(), _pod(), subresource="status"), False),
        (_request(PODS, _pod(), _pod(), subresource="resize"), True),
        (_request(PODS, _pod(), subresource="binding"), False),
        (_request(SERVICES, _service("NodePort"), _service("ClusterIP")), True),
        (_request(SERVICES, _service("NodePort"), _service("ClusterIP"), subresource="status"), False),
        (_request(PERSISTENTVOLUMECLAIMS, _claim("1"), _claim("1"), subresource="status"), True),
        (_request(CONFIGMAPS, {"metadata": {"name": "a"}}), True),
        (_request(CONFIGMAPS, {"metadata": {"name": "a"}}, {"metadata": {"name": "a"}}), False),
        (_request(EVENTS, {"metadata": {"name": "a"}}), False),
        (_request(CONFIGMAPS, {"metadata": {"name": "a"}}, operation="CONNECT"), False),
    ],
)
def test_what_quotas_have_to_do_with(request_: AdmissionRequest, expected: bool) -> None:
    assert handles(request_) is expected


def test_amounts_of_the_whole_pod_are_enough() -> None:
    pod = _pod(resources={}, initContainers=[{"name": "i"}])
    assert missing_amounts(pod, ["cpu", "pods"]) == "cpu for: c,i"
    pod["spec"]["resources"] = {"requests": {"cpu": "1"}}
    assert missing_amounts(pod, ["cpu", "memory"]) == ""
