"""What is wrong with objects of the groups that are neither core nor workloads, and what may change in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.schema.groups.samples import (
    GONE,
    RULE,
    create_errors,
    kind_of,
    prepared,
    sample,
    status_errors,
    update_errors,
)

Row = tuple[str, Mapping[str, Any], list[str]]
IMMUTABLE = "field is immutable"
SERVICE = {"service": {"name": "s", "port": {"number": 80}}}
V2 = "autoscaling/v2/HorizontalPodAutoscaler"
V1 = "autoscaling/v1/HorizontalPodAutoscaler"
DEVICE = "spec.devices.requests.0"


def _path(**fields: Any) -> dict[str, Any]:
    return {"spec": {"rules": [{"http": {"paths": [{"backend": SERVICE, **fields}]}}]}}


def _ids(rows: list[Row]) -> list[str]:
    return [f"{name} {' '.join(changes)} {errors[0] if errors else ''}"[:120] for name, changes, errors in rows]


PATH = "spec.rules[0].http.paths[0]"
CREATED: list[Row] = [
    # networking
    ("Ingress", {"spec": {}}, ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]),
    ("Ingress", _path(), [f"{PATH}.pathType: Required value: pathType must be specified"]),
    ("Ingress", _path(pathType="Prefix", path="a"), [f'{PATH}.path: Invalid value: "a": must be an absolute path']),
    (
        "Ingress",
        _path(pathType="Exact", path="/a//b"),
        [f"{PATH}.path: Invalid value: \"/a//b\": must not contain '//'"],
    ),
    ("Ingress", _path(pathType="ImplementationSpecific"), []),
    (
        "Ingress",
        _path(pathType="Other", path="/"),
        [f'{PATH}.pathType: Unsupported value: "Other": supported values: "Exact", "ImplementationSpecific", "Prefix"'],
    ),
    (
        "Ingress",
        {"spec": {"defaultBackend": {"service": {"name": "s"}}}},
        ["spec.defaultBackend: Required value: port name or number is required"],
    ),
    (
        "Ingress",
        {"spec.rules": [{"host": "1.2.3.4"}]},
        ['spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address'],
    ),
    ("Ingress", {"spec.rules": [{"host": "*.example.com"}]}, []),
    (
        "Ingress",
        {"metadata.annotations": {"kubernetes.io/ingress.class": "a"}, "spec.ingressClassName": "b"},
        [
            'annotations.kubernetes.io/ingress.class: Invalid value: "a": must match `ingressClassName` when both are specified'
        ],
    ),
    (
        "IngressClass",
        {"spec.controller": "nginx"},
        ['spec.controller: Invalid value: "nginx": must be a domain-prefixed path (such as "acme.io/foo")'],
    ),
    (
        "IngressClass",
        {"spec.parameters": {"kind": "K", "name": "n", "scope": "Namespace"}},
        ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
    ),
    (
        "NetworkPolicy",
        {"spec.ingress": [{"from": [{}]}]},
        ["spec.ingress[0].from[0]: Required value: must specify a peer"],
    ),
    (
        "NetworkPolicy",
        {"spec.egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]},
        ['spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`'],
    ),
    (
        "NetworkPolicy",
        {"spec.ingress": [{"ports": [{"port": 80, "endPort": 79}]}]},
        ["spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`"],
    ),
    (
        "NetworkPolicy",
        {"spec.ingress": [{"ports": [{"port": "http", "endPort": 79}]}]},
        ["spec.ingress[0].ports[0].endPort: Invalid value: 79: may not be specified when `port` is non-numeric"],
    ),
    (
        "NetworkPolicy",
        {"spec.policyTypes": ["Sideways"]},
        ['spec.policyTypes[0]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"'],
    ),
    ("IPAddress", {"spec": {}}, ["spec.parentRef: Required value"]),
    ("ServiceCIDR", {"spec": {}}, ["spec.cidrs: Required value: at least one CIDR required"]),
    (
        "ServiceCIDR",
        {"spec.cidrs": ["10.0.0.0/24", "10.1.0.0/24"]},
        [
            'spec.cidrs: Invalid value: ["10.0.0.0/24","10.1.0.0/24"]: may specify no more than one IP for each IP family, i.e '
            "192.168.0.0/24 and 2001:db8::/64"
        ],
    ),
    # rbac
    ("Role", {"rules.0.verbs": []}, ["rules[0].verbs: Required value: verbs must contain at least one value"]),
    (
        "Role",
        {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/a"]}]},
        ['rules[0].nonResourceURLs: Invalid value: ["/a"]: namespaced rules cannot apply to non-resource URLs'],
    ),
    ("ClusterRole", {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/a"]}]}, []),
    (
        "ClusterRole",
        {"rules": [{"verbs": ["get"]}]},
        [
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[0].resources: Required value: resource rules must supply at least one resource",
        ],
    ),
    (
        "ClusterRoleBinding",
        {"roleRef.kind": "Role"},
        ['roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"'],
    ),
    ("ClusterRoleBinding", {"subjects.0.namespace": ""}, ["subjects[0].namespace: Required value"]),
    (
        "RoleBinding",
        {"subjects.0.kind": "Dog"},
        ['subjects[0].kind: Unsupported value: "Dog": supported values: "ServiceAccount", "User", "Group"'],
    ),
    # policy, scheduling, coordination, node, discovery
    (
        "PodDisruptionBudget",
        {"spec.maxUnavailable": "10%"},
        [
            'spec: Invalid value: {"MinAvailable":1,"Selector":{"matchLabels":{"a":"b"}},"MaxUnavailable":"10%",'
            '"UnhealthyPodEvictionPolicy":null}: minAvailable '
            "and maxUnavailable cannot be both set"
        ],
    ),
    (
        "PodDisruptionBudget",
        {"spec.minAvailable": "110%"},
        ['spec.minAvailable: Invalid value: "110%": must not be greater than 100%'],
    ),
    (
        "PriorityClass",
        {"value": 1000000001},
        ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
    ),
    (
        "PriorityClass",
        {"metadata.name": "system-mine"},
        [
            "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: "
            "system-mine is not a known system priority class"
        ],
    ),
    ("PriorityClass", {"metadata.name": "system-node-critical", "value": 2000001000}, []),
    (
        "Lease",
        {"spec.leaseDurationSeconds": 0},
        ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
    ),
    ("RuntimeClass", {"handler": ""}, ["handler: Required value"]),
    ("EndpointSlice", {"addressType": GONE}, ["addressType: Required value"]),
    (
        "EndpointSlice",
        {"endpoints.0.addresses": []},
        ["endpoints[0].addresses: Required value: must contain at least 1 address"],
    ),
    (
        "EndpointSlice",
        {"addressType": "IPv6"},
        ['endpoints[0].addresses: Invalid value: "10.0.0.1": must be an IPv6 address'],
    ),
    ("EndpointSlice", {"ports": [{}, {}]}, ['ports[1].name: Duplicate value: ""']),
    # storage
    ("StorageClass", {"provisioner": ""}, ["provisioner: Required value"]),
    (
        "StorageClass",
        {"reclaimPolicy": "Recycle"},
        ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'],
    ),
    (
        "VolumeAttachment",
        {"spec.source": {}},
        ["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"],
    ),
    (
        "VolumeAttributesClass",
        {"parameters": {}},
        ["parameters: Required value: must contain at least one key/value pair"],
    ),
    ("CSINode", {"spec.drivers.0.nodeID": ""}, ["spec.drivers[0].nodeID: Required value"]),
    (
        "CSIDriver",
        {"spec.tokenRequests": [{"audience": "a"}, {"audience": "a"}]},
        ['spec.tokenRequests[1].audience: Duplicate value: "a"'],
    ),
    ("CSIStorageCapacity", {"capacity": "-1"}, ['capacity: Invalid value: "-1": must be greater than or equal to 0']),
    # autoscaling
    *(
        (
            name,
            {"spec.maxReplicas": 0},
            [
                "spec.maxReplicas: Required value: must be set and greater than 0",
                "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
            ],
        )
        for name in (V1, V2)
    ),
    (
        V2,
        {"spec.scaleTargetRef.apiVersion": "v1"},
        ['spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group'],
    ),
    (
        V2,
        {"spec.metrics": [{"type": "Pods"}]},
        ["spec.metrics[0].pods: Required value: must populate information for the given metric source"],
    ),
    (
        V2,
        {"spec.metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}]},
        [
            "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a "
            "target utilization"
        ],
    ),
    (
        V2,
        {"spec.behavior": {"scaleUp": {"stabilizationWindowSeconds": 4000}}},
        ["spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to 3600"],
    ),
    # certificates
    (
        "CertificateSigningRequest",
        {"spec.request": "eA=="},
        ['spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST'],
    ),
    ("CertificateSigningRequest", {"spec.usages": []}, ["spec.usages: Required value"]),
    (
        "CertificateSigningRequest",
        {"spec.expirationSeconds": 10},
        ["spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 600 seconds (10 minutes)"],
    ),
    (
        "CertificateSigningRequest",
        {"spec.signerName": "kubernetes.io/legacy-unknown"},
        [
            'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this '
            "API version"
        ],
    ),
    # flow control
    (
        "FlowSchema",
        {"spec.matchingPrecedence": 1},
        ["spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1"],
    ),
    (
        "FlowSchema",
        {"spec.rules.0.nonResourceRules.0.nonResourceURLs": ["healthz"]},
        ['spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "healthz": must start with slash'],
    ),
    (
        "FlowSchema",
        {"spec.rules.0.subjects.0.group": {"name": "g"}},
        ["spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'"],
    ),
    (
        "PriorityLevelConfiguration",
        {"spec.type": "Exempt", "spec.limited": GONE},
        ["spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'"],
    ),
    (
        "PriorityLevelConfiguration",
        {"spec.limited.limitResponse.queuing": {"queues": 10, "handSize": 11}},
        ["spec.limited.limitResponse.queuing.handSize: Invalid value: 11: should not be greater than queues (10)"],
    ),
    # admission
    (
        "ValidatingWebhookConfiguration",
        {"webhooks.0.name": "short.name"},
        [
            'webhooks[0].name: Invalid value: "short.name": should be a domain with at least three segments separated by dots'
        ],
    ),
    (
        "MutatingWebhookConfiguration",
        {"webhooks.0.sideEffects": GONE},
        ["webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun"],
    ),
    (
        "MutatingWebhookConfiguration",
        {"webhooks.0.clientConfig": {"url": "http://example.com"}},
        [
            "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: "
            "https://host[/path]"
        ],
    ),
    (
        "ValidatingWebhookConfiguration",
        {"webhooks.0.rules": [{**RULE, "resources": ["*", "pods"]}]},
        [
            'webhooks[0].rules[0].resources: Invalid value: ["*","pods"]: if \'*\' is present, must not specify other '
            "resources without subresources"
        ],
    ),
    (
        "ValidatingWebhookConfiguration",
        {"webhooks.0.timeoutSeconds": 31},
        ["webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"],
    ),
    (
        "ValidatingWebhookConfiguration",
        {"webhooks.0.admissionReviewVersions": ["v2"]},
        ['webhooks[0].admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1'],
    ),
    (
        "ValidatingAdmissionPolicy",
        {"spec.validations": []},
        [
            "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
            "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
        ],
    ),
    (
        "ValidatingAdmissionPolicy",
        {"spec.variables": [{"name": "in", "expression": "1"}]},
        ['spec.variables[0].name: Invalid value: "in": must be a valid CEL identifier'],
    ),
    (
        "ValidatingAdmissionPolicyBinding",
        {"spec.validationActions": []},
        ["spec.validationActions: Required value: at least one validation action is required"],
    ),
    (
        "MutatingAdmissionPolicy",
        {"spec.matchConstraints.resourceRules": [{**RULE, "operations": ["DELETE"]}]},
        [
            'spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", '
            '"CREATE", "UPDATE"'
        ],
    ),
    (
        "MutatingAdmissionPolicyBinding",
        {"spec.paramRef": {"name": "p"}},
        ["spec.paramRef.parameterNotFoundAction: Required value"],
    ),
    # aggregation
    (
        "APIService",
        {"metadata.name": "v2.example.com"},
        ['metadata.name: Invalid value: "v2.example.com": must be `spec.version+"."+spec.group`: "v1.example.com"'],
    ),
    (
        "APIService",
        {"spec.versionPriority": 0},
        ["spec.versionPriority: Invalid value: 0: must be positive and less than 1000"],
    ),
    (
        "APIService",
        {"spec.service": GONE},
        ["spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify"],
    ),
    # devices
    (
        "ResourceClaim",
        {DEVICE: {"name": "a"}},
        ["spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"],
    ),
    (
        "ResourceClaim",
        {f"{DEVICE}.exactly.count": -1},
        ["spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero"],
    ),
    (
        "ResourceClaim",
        {"spec.devices.constraints": [{"requests": ["other"], "matchAttribute": "example.com/a"}]},
        [
            'spec.devices.constraints[0].requests[0]: Invalid value: "other": must be the name of a request in the claim or '
            "the name of a request and a subrequest separated by '/'"
        ],
    ),
    (
        "ResourceClaimTemplate",
        {"spec.spec.devices.requests.0.exactly.deviceClassName": ""},
        ["spec.spec.devices.requests[0].exactly.deviceClassName: Required value"],
    ),
    (
        "ResourceSlice",
        {"spec.nodeName": GONE},
        [
            "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
        ],
    ),
    (
        "ResourceSlice",
        {"spec.devices.0.attributes": {"a": {"version": "x"}}},
        [
            'spec.devices[0].attributes[a].version: Invalid value: "x": must be a string compatible with semver.org spec 2.0.0'
        ],
    ),
    (
        "DeviceClass",
        {"spec.selectors": [{}]},
        ["spec.selectors[0].cel: Required value"],
    ),
]


@pytest.mark.parametrize(("name", "changes", "expected"), CREATED, ids=_ids(CREATED))
def test_what_is_wrong_with_a_new_object(name: str, changes: Mapping[str, Any], expected: list[str]) -> None:
    assert create_errors(name, sample(name, changes)) == expected


UPDATED: list[Row] = [
    (
        "IngressClass",
        {"spec.controller": "example.com/other"},
        [f'spec.controller: Invalid value: "example.com/other": {IMMUTABLE}'],
    ),
    ("ServiceCIDR", {"spec.cidrs": ["10.0.0.0/24", "2001:db8::/64"]}, []),
    ("ServiceCIDR", {"spec.cidrs": ["10.1.0.0/24"]}, [f'spec.cidrs[0]: Invalid value: "10.1.0.0/24": {IMMUTABLE}']),
    (
        "RoleBinding",
        {"roleRef.name": "other"},
        [
            'roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"other"}: cannot change '
            "roleRef"
        ],
    ),
    ("PriorityClass", {"value": 6}, ["value: Forbidden: may not be changed in an update."]),
    ("PriorityClass", {"description": "x"}, []),
    ("RuntimeClass", {"handler": "other"}, [f'handler: Invalid value: "other": {IMMUTABLE}']),
    ("StorageClass", {"parameters": {"a": "b"}}, [f'parameters: Invalid value: {{"a":"b"}}: {IMMUTABLE}']),
    ("VolumeAttributesClass", {"parameters.a": "c"}, ["parameters: Forbidden: updates to parameters are forbidden."]),
    ("CSIDriver", {"spec.attachRequired": False}, [f"spec.attachedRequired: Invalid value: false: {IMMUTABLE}"]),
    ("CSINode", {"spec.drivers.0.allocatable": {"count": 3}}, []),
    (
        "CSINode",
        {"spec.drivers.0.nodeID": "m"},
        [f'spec.drivers: Invalid value: {{"name":"d.example.com","nodeID":"m"}}: {IMMUTABLE}'],
    ),
    ("CertificateSigningRequest", {"spec.usages": ["server auth"]}, []),
    ("ResourceSlice", {"spec.driver": "e.example.com"}, [f'spec.driver: Invalid value: "e.example.com": {IMMUTABLE}']),
    (V2, {"spec.maxReplicas": 5, "spec.minReplicas": 2}, []),
]


@pytest.mark.parametrize(("name", "changes", "expected"), UPDATED, ids=_ids(UPDATED))
def test_what_may_change(name: str, changes: Mapping[str, Any], expected: list[str]) -> None:
    assert update_errors(name, prepared(name, sample(name)), changes) == expected


APPROVED = {"type": "Approved", "status": "True", "reason": "Because"}
STATUSES: list[Row] = [
    (
        "CertificateSigningRequest",
        {"status.conditions": [APPROVED]},
        ['status.conditions: Forbidden: updates may not add a condition of type "Approved"'],
    ),
    (
        "PodDisruptionBudget",
        {"status.currentHealthy": -1},
        ["status.currentHealthy: Invalid value: -1: must be greater than or equal to 0"],
    ),
    (
        "Ingress",
        {"status.loadBalancer": {"ingress": [{"ip": "x"}]}},
        [
            'status.loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or '
            "2001:db8::ffff)"
        ],
    ),
    (
        "ResourceClaim",
        {"status.reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]},
        ["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"],
    ),
    ("FlowSchema", {"status.conditions": [{"type": ""}]}, ["status.conditions[0].type: Required value"]),
]


@pytest.mark.parametrize(("name", "changes", "expected"), STATUSES, ids=_ids(STATUSES))
def test_what_may_be_reported(name: str, changes: Mapping[str, Any], expected: list[str]) -> None:
    assert status_errors(name, prepared(name, sample(name)), changes) == expected


def test_approval_is_given_by_its_subresource_and_kept() -> None:
    kind = kind_of("CertificateSigningRequest")
    approval = next(part for part in kind.subresources if part.name == "approval")
    assert approval.prepare_update is not None
    assert approval.validate_update is not None
    old = prepared("CertificateSigningRequest", sample("CertificateSigningRequest"))
    new = {**old, "spec": {}, "status": {"conditions": [APPROVED], "certificate": "eA=="}}
    approval.prepare_update(new, old)
    assert approval.validate_update(new, old) == []
    assert (new["spec"], new["status"]) == (old["spec"], {"conditions": [APPROVED]})
    denied = {**new, "status": {"conditions": [APPROVED, {"type": "Denied", "status": "True"}]}}
    assert "Approved and Denied conditions are mutually exclusive" in str(approval.validate_update(denied, new)[0])
    withdrawn = {**new, "status": {}}
    assert [str(error) for error in approval.validate_update(withdrawn, new)] == [
        'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'
    ]


def test_status_of_some_kinds_leaves_labels_alone() -> None:
    old = prepared("VolumeAttachment", sample("VolumeAttachment"))
    new = {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}
    kind_of("VolumeAttachment").prepare_status_update(new, old)
    assert "labels" not in new["metadata"]


def test_changed_labels_of_an_endpoint_slice_are_a_generation() -> None:
    old = prepared("EndpointSlice", sample("EndpointSlice", {"metadata.generation": 3}))
    new = {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}
    kind_of("EndpointSlice").prepare_update(new, old)
    assert new["metadata"]["generation"] == 4


WARNINGS: list[Row] = [
    (
        "Ingress",
        {"metadata.annotations": {"kubernetes.io/ingress.class": "a"}},
        ["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"],
    ),
    ("EndpointSlice", {"addressType": "FQDN"}, ["spec.addressType: FQDN endpoints are deprecated"]),
    ("EndpointSlice", {}, []),
    ("Service", {}, []),
    (
        "Service",
        {"spec.type": "ClusterIP", "spec.externalIPs": ["2001:DB8::1"], "spec.externalName": "a.example.com"},
        [
            'spec.externalIPs[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")',
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
            'spec.externalName is ignored when spec.type is not "ExternalName"',
        ],
    ),
    (
        "Service",
        {"spec.type": "LoadBalancer", "spec.loadBalancerSourceRanges": ["10.0.0.1/8"]},
        [
            'spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context (should be "10.0.0.0/8" or '
            '"10.0.0.1/32"?)'
        ],
    ),
    (
        "StatefulSet",
        {"spec.revisionHistoryLimit": -1},
        ["spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"],
    ),
]


@pytest.mark.parametrize(("name", "changes", "expected"), WARNINGS, ids=_ids(WARNINGS))
def test_warnings(name: str, changes: Mapping[str, Any], expected: list[str]) -> None:
    warnings = kind_of(name).warnings
    assert warnings is not None
    assert warnings(sample(name, changes)) == expected


def test_what_is_wrong_with_the_labels_of_a_stateful_sets_template_is_said_twice() -> None:
    annotations = {"spec.template.metadata.annotations": {"a b": "c"}}
    errors = create_errors("StatefulSet", sample("StatefulSet", annotations))
    assert len(errors) == 2
    assert errors[0] == errors[1]
    assert len(create_errors("Deployment", sample("Deployment", annotations))) == 1
