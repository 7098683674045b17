"""One valid object of every stored kind, and what the kind says about changed copies of them."""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping
from functools import cache
from typing import Any

from steersman.meta.objects import Object
from steersman.schema.gatedfields import drop_gated_fields
from steersman.schema.groups import REGISTRY, SUBRESOURCE_KINDS
from steersman.schema.kind import Kind

GONE: Any = ...
"""Takes a field away."""
CONTAINER = {"name": "c", "image": "nginx"}
LABELS = {"a": "b"}
SELECTOR = {"matchLabels": LABELS}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [CONTAINER]}}
JOB_SPEC = {"template": {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}}
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
CLAIM = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}}
WEBHOOK = {
    "name": "a.example.com",
    "clientConfig": {"url": "https://example.com/hook"},
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "rules": [RULE],
}
CRD_VERSION = {
    "name": "v1",
    "served": True,
    "storage": True,
    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}},
}


@cache
def certificate_request() -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "joe")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


SAMPLES: Mapping[str, Object] = {
    "ConfigMap": {"data": {"k": "v"}},
    "Endpoints": {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]},
    "v1/Event": {"involvedObject": {"namespace": "ns", "kind": "Pod", "name": "p"}},
    "LimitRange": {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "1"}}]}},
    "Namespace": {},
    "Node": {},
    "PersistentVolumeClaim": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    },
    "PersistentVolume": {
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/a"}},
    },
    "Pod": {"spec": {"containers": [CONTAINER]}},
    "PodTemplate": {"template": TEMPLATE},
    "ReplicationController": {"spec": {"selector": LABELS, "template": TEMPLATE}},
    "ResourceQuota": {"spec": {"hard": {"pods": "3"}}},
    "Secret": {"data": {"k": "dg=="}},
    "ServiceAccount": {},
    "Service": {"spec": {"ports": [{"port": 80}], "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]}},
    "APIService": {
        "metadata": {"name": "v1.example.com"},
        "spec": {
            "group": "example.com",
            "version": "v1",
            "groupPriorityMinimum": 10,
            "versionPriority": 10,
            "service": {"namespace": "a", "name": "b"},
            "insecureSkipTLSVerify": True,
        },
    },
    "ControllerRevision": {"revision": 1, "data": {}},
    "DaemonSet": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "Deployment": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "ReplicaSet": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "StatefulSet": {"spec": {"selector": SELECTOR, "template": TEMPLATE, "serviceName": "s"}},
    "events.k8s.io/v1/Event": {
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"namespace": "ns", "kind": "Pod", "name": "p"},
        "reportingController": "example.com/c",
        "reportingInstance": "c-1",
        "action": "Act",
        "reason": "Because",
        "type": "Normal",
    },
    "autoscaling/v2/HorizontalPodAutoscaler": {
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}},
    },
    "autoscaling/v1/HorizontalPodAutoscaler": {
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}},
    },
    "CronJob": {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": JOB_SPEC}}},
    "Job": {"spec": JOB_SPEC},
    "CertificateSigningRequest": {
        "spec": {"request": certificate_request(), "signerName": "example.com/s", "usages": ["client auth"]},
    },
    "IngressClass": {"spec": {"controller": "example.com/ingress"}},
    "Ingress": {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
    "IPAddress": {
        "metadata": {"name": "10.0.0.1"},
        "spec": {"parentRef": {"resource": "services", "namespace": "ns", "name": "s"}},
    },
    "NetworkPolicy": {"spec": {"podSelector": {}}},
    "ServiceCIDR": {"spec": {"cidrs": ["10.0.0.0/24"]}},
    "PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": SELECTOR}},
    "ClusterRoleBinding": {
        "roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "ns", "name": "sa"}],
    },
    "ClusterRole": {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]},
    "RoleBinding": {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "joe"}]},
    "Role": {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]},
    "CSIDriver": {"spec": {}},
    "CSINode": {"spec": {"drivers": [{"name": "d.example.com", "nodeID": "n"}]}},
    "CSIStorageCapacity": {"storageClassName": "sc", "capacity": "1Gi"},
    "StorageClass": {"provisioner": "example.com/p"},
    "VolumeAttachment": {
        "spec": {"attacher": "d.example.com", "nodeName": "n", "source": {"persistentVolumeName": "pv"}},
    },
    "VolumeAttributesClass": {"driverName": "d.example.com", "parameters": {"a": "b"}},
    "MutatingAdmissionPolicy": {
        "spec": {
            "matchConstraints": {"resourceRules": [RULE]},
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'test'}]"}}],
            "reinvocationPolicy": "Never",
        },
    },
    "MutatingAdmissionPolicyBinding": {"spec": {"policyName": "p"}},
    "MutatingWebhookConfiguration": {"webhooks": [WEBHOOK]},
    "ValidatingAdmissionPolicy": {
        "spec": {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "true"}]},
    },
    "ValidatingAdmissionPolicyBinding": {"spec": {"policyName": "p", "validationActions": ["Deny"]}},
    "ValidatingWebhookConfiguration": {"webhooks": [WEBHOOK]},
    "CustomResourceDefinition": {
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "foos", "kind": "Foo"},
            "versions": [CRD_VERSION],
        },
    },
    "PriorityClass": {"value": 5},
    "Lease": {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}},
    "RuntimeClass": {"handler": "runc"},
    "EndpointSlice": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]},
    "DeviceClass": {"spec": {"selectors": [{"cel": {"expression": "true"}}]}},
    "ResourceClaim": {"spec": CLAIM},
    "ResourceClaimTemplate": {"spec": {"spec": CLAIM}},
    "ResourceSlice": {
        "spec": {
            "driver": "d.example.com",
            "pool": {"name": "p", "resourceSliceCount": 1},
            "nodeName": "n",
            "devices": [{"name": "gpu-0"}],
        },
    },
    "FlowSchema": {
        "spec": {
            "priorityLevelConfiguration": {"name": "workload-low"},
            "rules": [
                {
                    "subjects": [{"kind": "User", "user": {"name": "joe"}}],
                    "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}],
                }
            ],
        },
    },
    "PriorityLevelConfiguration": {
        "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}},
    },
}


def kind_of(name: str) -> Kind:
    """``Pod`` or, where several groups have it, ``autoscaling/v1/HorizontalPodAutoscaler``."""
    version, _, kind = name.rpartition("/")
    return next(
        entry
        for entry in (*REGISTRY, *SUBRESOURCE_KINDS)
        if entry.resource.kind == kind and version in ("", entry.resource.api_version)
    )


def sample(name: str, changes: Mapping[str, Any] | None = None) -> Object:
    """The valid object with values put at paths such as ``spec.containers.0.image``."""
    kind = kind_of(name)
    obj = {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind, **copy.deepcopy(SAMPLES[name])}
    metadata = obj.setdefault("metadata", {})
    metadata.setdefault("name", "a")
    if kind.resource.namespaced:
        metadata["namespace"] = "ns"
    return changed(obj, changes or {})


def changed(obj: Object, changes: Mapping[str, Any]) -> Object:
    made = copy.deepcopy(obj)
    for path, value in changes.items():
        names = path.split(".")
        at: Any = made
        for name in names[:-1]:
            at = at[int(name)] if isinstance(at, list) else at.setdefault(name, {})
        last: Any = int(names[-1]) if isinstance(at, list) else names[-1]
        if value is GONE:
            del at[last]
        else:
            at[last] = copy.deepcopy(value)
    return made


def prepared(name: str, obj: Object) -> Object:
    """As the API server takes a new object before it looks at the rules."""
    kind = kind_of(name)
    made = copy.deepcopy(obj)
    kind.default(made)
    if kind.has_status and not kind.keeps_status_on_create:
        made.pop("status", None)
    drop_gated_fields(kind.definition, made, None)
    kind.prepare_create(made)
    return made


def create_errors(name: str, obj: Object) -> list[str]:
    kind = kind_of(name)
    made = prepared(name, obj)
    if kind.validate_created is not None:
        return [str(error) for error in kind.validate_created(made)]
    return [str(error) for error in kind.validate(made) + kind.validate_create(made)]


def update_errors(name: str, old: Object, changes: Mapping[str, Any]) -> list[str]:
    """Of a stored object and the changes that a client makes to it."""
    kind = kind_of(name)
    new = changed(old, changes)
    kind.default(new)
    drop_gated_fields(kind.definition, new, old)
    kind.prepare_update(new, old)
    return [str(error) for error in kind.validate(new) + kind.validate_update(new, old)]


def status_errors(name: str, old: Object, changes: Mapping[str, Any]) -> list[str]:
    kind = kind_of(name)
    new = changed(old, changes)
    kind.default(new)
    drop_gated_fields(kind.definition, new, old)
    kind.prepare_status_update(new, old)
    return [str(error) for error in kind.validate_status_update(new, old)]
