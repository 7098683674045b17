"""Every kind that v1.36 serves by default is registered, with the facts that discovery tells."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import msgspec
import pytest

from steersman.schema.groups import REGISTRY, SUBRESOURCE_KINDS
from steersman.schema.kind import Kind

DEFINITIONS: dict[str, dict[str, Any]] = msgspec.msgpack.decode(
    (files("steersman.schema") / "_built" / "definitions.msgpack").read_bytes()
)

# As ``kubectl api-resources -o wide --sort-by=name`` prints for upstream v1.36: plural, short names, group version, namespaced,
# kind, verbs, categories.
ALL = "create,delete,deletecollection,get,list,patch,update,watch"
DISCOVERY = [
    ("bindings", "", "v1", True, "Binding", "create", ""),
    ("componentstatuses", "cs", "v1", False, "ComponentStatus", "get,list", ""),
    ("configmaps", "cm", "v1", True, "ConfigMap", ALL, ""),
    ("endpoints", "ep", "v1", True, "Endpoints", ALL, ""),
    ("events", "ev", "v1", True, "Event", ALL, ""),
    ("limitranges", "limits", "v1", True, "LimitRange", ALL, ""),
    ("namespaces", "ns", "v1", False, "Namespace", "create,delete,get,list,patch,update,watch", ""),
    ("nodes", "no", "v1", False, "Node", ALL, ""),
    ("persistentvolumeclaims", "pvc", "v1", True, "PersistentVolumeClaim", ALL, ""),
    ("persistentvolumes", "pv", "v1", False, "PersistentVolume", ALL, ""),
    ("pods", "po", "v1", True, "Pod", ALL, "all"),
    ("podtemplates", "", "v1", True, "PodTemplate", ALL, ""),
    ("replicationcontrollers", "rc", "v1", True, "ReplicationController", ALL, "all"),
    ("resourcequotas", "quota", "v1", True, "ResourceQuota", ALL, ""),
    ("secrets", "", "v1", True, "Secret", ALL, ""),
    ("serviceaccounts", "sa", "v1", True, "ServiceAccount", ALL, ""),
    ("services", "svc", "v1", True, "Service", ALL, "all"),
    ("apiservices", "", "apiregistration.k8s.io/v1", False, "APIService", ALL, "api-extensions"),
    ("controllerrevisions", "", "apps/v1", True, "ControllerRevision", ALL, ""),
    ("daemonsets", "ds", "apps/v1", True, "DaemonSet", ALL, "all"),
    ("deployments", "deploy", "apps/v1", True, "Deployment", ALL, "all"),
    ("replicasets", "rs", "apps/v1", True, "ReplicaSet", ALL, "all"),
    ("statefulsets", "sts", "apps/v1", True, "StatefulSet", ALL, "all"),
    ("events", "ev", "events.k8s.io/v1", True, "Event", ALL, ""),
    ("selfsubjectreviews", "", "authentication.k8s.io/v1", False, "SelfSubjectReview", "create", ""),
    ("tokenreviews", "", "authentication.k8s.io/v1", False, "TokenReview", "create", ""),
    ("localsubjectaccessreviews", "", "authorization.k8s.io/v1", True, "LocalSubjectAccessReview", "create", ""),
    ("selfsubjectaccessreviews", "", "authorization.k8s.io/v1", False, "SelfSubjectAccessReview", "create", ""),
    ("selfsubjectrulesreviews", "", "authorization.k8s.io/v1", False, "SelfSubjectRulesReview", "create", ""),
    ("subjectaccessreviews", "", "authorization.k8s.io/v1", False, "SubjectAccessReview", "create", ""),
    ("horizontalpodautoscalers", "hpa", "autoscaling/v2", True, "HorizontalPodAutoscaler", ALL, "all"),
    ("horizontalpodautoscalers", "hpa", "autoscaling/v1", True, "HorizontalPodAutoscaler", ALL, "all"),
    ("cronjobs", "cj", "batch/v1", True, "CronJob", ALL, "all"),
    ("jobs", "", "batch/v1", True, "Job", ALL, "all"),
    ("certificatesigningrequests", "csr", "certificates.k8s.io/v1", False, "CertificateSigningRequest", ALL, ""),
    ("ingressclasses", "", "networking.k8s.io/v1", False, "IngressClass", ALL, ""),
    ("ingresses", "ing", "networking.k8s.io/v1", True, "Ingress", ALL, ""),
    ("ipaddresses", "ip", "networking.k8s.io/v1", False, "IPAddress", ALL, ""),
    ("networkpolicies", "netpol", "networking.k8s.io/v1", True, "NetworkPolicy", ALL, ""),
    ("servicecidrs", "", "networking.k8s.io/v1", False, "ServiceCIDR", ALL, ""),
    ("poddisruptionbudgets", "pdb", "policy/v1", True, "PodDisruptionBudget", ALL, ""),
    ("clusterrolebindings", "", "rbac.authorization.k8s.io/v1", False, "ClusterRoleBinding", ALL, ""),
    ("clusterroles", "", "rbac.authorization.k8s.io/v1", False, "ClusterRole", ALL, ""),
    ("rolebindings", "", "rbac.authorization.k8s.io/v1", True, "RoleBinding", ALL, ""),
    ("roles", "", "rbac.authorization.k8s.io/v1", True, "Role", ALL, ""),
    ("csidrivers", "", "storage.k8s.io/v1", False, "CSIDriver", ALL, ""),
    ("csinodes", "", "storage.k8s.io/v1", False, "CSINode", ALL, ""),
    ("csistoragecapacities", "", "storage.k8s.io/v1", True, "CSIStorageCapacity", ALL, ""),
    ("storageclasses", "sc", "storage.k8s.io/v1", False, "StorageClass", ALL, ""),
    ("volumeattachments", "", "storage.k8s.io/v1", False, "VolumeAttachment", ALL, ""),
    ("volumeattributesclasses", "vac", "storage.k8s.io/v1", False, "VolumeAttributesClass", ALL, ""),
    ("mutatingadmissionpolicies", "", "admissionregistration.k8s.io/v1", False, "MutatingAdmissionPolicy", ALL, "api-extensions"),
    ("mutatingadmissionpolicybindings", "", "admissionregistration.k8s.io/v1", False, "MutatingAdmissionPolicyBinding", ALL, "api-extensions"),
    ("mutatingwebhookconfigurations", "", "admissionregistration.k8s.io/v1", False, "MutatingWebhookConfiguration", ALL, "api-extensions"),
    ("validatingadmissionpolicies", "", "admissionregistration.k8s.io/v1", False, "ValidatingAdmissionPolicy", ALL, "api-extensions"),
    ("validatingadmissionpolicybindings", "", "admissionregistration.k8s.io/v1", False, "ValidatingAdmissionPolicyBinding", ALL, "api-extensions"),
    ("validatingwebhookconfigurations", "", "admissionregistration.k8s.io/v1", False, "ValidatingWebhookConfiguration", ALL, "api-extensions"),
    ("customresourcedefinitions", "crd,crds", "apiextensions.k8s.io/v1", False, "CustomResourceDefinition", ALL, "api-extensions"),
    ("priorityclasses", "pc", "scheduling.k8s.io/v1", False, "PriorityClass", ALL, ""),
    ("leases", "", "coordination.k8s.io/v1", True, "Lease", ALL, ""),
    ("runtimeclasses", "", "node.k8s.io/v1", False, "RuntimeClass", ALL, ""),
    ("endpointslices", "", "discovery.k8s.io/v1", True, "EndpointSlice", ALL, ""),
    ("deviceclasses", "", "resource.k8s.io/v1", False, "DeviceClass", ALL, ""),
    ("resourceclaims", "", "resource.k8s.io/v1", True, "ResourceClaim", ALL, ""),
    ("resourceclaimtemplates", "", "resource.k8s.io/v1", True, "ResourceClaimTemplate", ALL, ""),
    ("resourceslices", "", "resource.k8s.io/v1", False, "ResourceSlice", ALL, ""),
    ("flowschemas", "", "flowcontrol.apiserver.k8s.io/v1", False, "FlowSchema", ALL, ""),
    ("prioritylevelconfigurations", "", "flowcontrol.apiserver.k8s.io/v1", False, "PriorityLevelConfiguration", ALL, ""),
]  # fmt: skip

# Paths below an object, as discovery lists them (verbs; the kind where it is another one).
SUBRESOURCES = {
    "namespaces": {"finalize": "update", "status": "get,patch,update"},
    "nodes": {"proxy": "create,delete,get,patch,update NodeProxyOptions", "status": "get,patch,update"},
    "pods": {
        "attach": "create,get PodAttachOptions",
        "binding": "create Binding",
        "ephemeralcontainers": "get,patch,update",
        "eviction": "create Eviction",
        "exec": "create,get PodExecOptions",
        "log": "get",
        "portforward": "create,get PodPortForwardOptions",
        "proxy": "create,delete,get,patch,update PodProxyOptions",
        "resize": "get,patch,update",
        "status": "get,patch,update",
    },
    "replicationcontrollers": {"scale": "get,patch,update Scale", "status": "get,patch,update"},
    "serviceaccounts": {"token": "create TokenRequest"},
    "services": {"proxy": "create,delete,get,patch,update ServiceProxyOptions", "status": "get,patch,update"},
    "deployments": {"scale": "get,patch,update Scale", "status": "get,patch,update"},
    "certificatesigningrequests": {"approval": "get,patch,update", "status": "get,patch,update"},
    "daemonsets": {"status": "get,patch,update"},
    "jobs": {"status": "get,patch,update"},
    "csidrivers": {},
    "leases": {},
}

KEYS = {
    "pods": "pods",
    "nodes": "minions",
    "services": "services/specs",
    "endpoints": "services/endpoints",
    "replicationcontrollers": "controllers",
    "ingresses": "ingress",
    "leases": "leases",
    "deployments": "deployments",
    "customresourcedefinitions": "apiextensions.k8s.io/customresourcedefinitions",
    "apiservices": "apiregistration.k8s.io/apiservices",
}


def test_discovery_lists_what_upstream_lists_in_its_order() -> None:
    listed = [
        (
            kind.resource.plural,
            ",".join(kind.short_names),
            kind.resource.api_version,
            kind.resource.namespaced,
            kind.resource.kind,
            ",".join(kind.verbs),
            ",".join(kind.categories),
        )
        for kind in REGISTRY
    ]
    assert listed == DISCOVERY


@pytest.mark.parametrize("kind", [*REGISTRY, *SUBRESOURCE_KINDS], ids=lambda kind: kind.definition)
def test_definition_is_of_that_group_version_and_kind(kind: Kind) -> None:
    resource = kind.resource
    names = DEFINITIONS[kind.definition]["x-kubernetes-group-version-kind"]
    assert {"group": resource.group, "version": resource.version, "kind": resource.kind} in names


@pytest.mark.parametrize("kind", REGISTRY, ids=lambda kind: kind.definition)
def test_status_subresource_stands_with_the_flag_and_the_schema(kind: Kind) -> None:
    named = {subresource.name for subresource in kind.subresources}
    assert kind.has_status == ("status" in named)
    if kind.has_status:
        assert "status" in DEFINITIONS[kind.definition]["properties"]


@pytest.mark.parametrize("plural", SUBRESOURCES)
def test_subresources_are_upstreams(plural: str) -> None:
    kind = next(kind for kind in REGISTRY if kind.resource.plural == plural)
    listed = {entry.name: f"{','.join(entry.verbs)} {entry.kind}".strip() for entry in kind.subresources}
    assert listed == SUBRESOURCES[plural]
    assert list(listed) == sorted(listed)


@pytest.mark.parametrize("plural", KEYS)
def test_objects_are_stored_where_upstream_stores_them(plural: str) -> None:
    kind = next(kind for kind in REGISTRY if kind.resource.plural == plural)
    assert kind.storage_prefix == KEYS[plural]


def test_versions_of_one_kind_share_their_place_and_convert() -> None:
    by_place: dict[str, list[Kind]] = {}
    for kind in REGISTRY:
        if kind.is_stored:
            by_place.setdefault(kind.storage_prefix, []).append(kind)
    shared = {place: kinds for place, kinds in by_place.items() if len(kinds) > 1}
    assert sorted(shared) == ["events", "horizontalpodautoscalers"]


def test_no_kind_stands_twice() -> None:
    assert len({(kind.resource.api_version, kind.resource.plural) for kind in REGISTRY}) == len(REGISTRY)
