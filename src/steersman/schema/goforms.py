"""Structures as upstream's messages show them: Go's JSON of the value that is wrong.

Most values are checked in types that are internal to upstream, whose JSON has Go's names and every field:
``{"Type":"","LocalhostProfile":null}``. Those of meta/v1 have the API's own form with fields in the order of their struct.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from steersman.schema.protobuf import tables
from steersman.schema.protobuf.tables import SCALARS, Field

_INITIALISMS = {
    "api": "API", "aws": "AWS", "cel": "CEL", "cephfs": "CephFS", "csi": "CSI", "dns": "DNS", "fc": "FC", "fs": "FS",
    "gce": "GCE", "gmsa": "GMSA", "grpc": "GRPC", "http": "HTTP", "iscsi": "ISCSI", "nfs": "NFS", "os": "OS", "rbd": "RBD", "se": "SE",
    "tcp": "TCP", "tty": "TTY", "uid": "UID", "url": "URL",
}  # fmt: skip
_METADATA = "meta.v1.ObjectMeta"
_ORDER: Mapping[str, Sequence[str]] = {
    "core.v1.SecurityContext": (
        "capabilities", "privileged", "seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup", "runAsNonRoot",
        "readOnlyRootFilesystem", "allowPrivilegeEscalation", "procMount", "seccompProfile", "appArmorProfile",
    ),
    "core.v1.PodSpec": (
        "volumes", "initContainers", "containers", "ephemeralContainers", "restartPolicy",
        "terminationGracePeriodSeconds", "activeDeadlineSeconds", "dnsPolicy", "nodeSelector", "serviceAccountName",
        "automountServiceAccountToken", "nodeName", "securityContext", "imagePullSecrets", "hostname", "subdomain",
        "setHostnameAsFQDN", "affinity", "schedulerName", "tolerations", "hostAliases", "priorityClassName", "priority",
        "preemptionPolicy", "dnsConfig", "readinessGates", "runtimeClassName", "overhead", "enableServiceLinks",
        "topologySpreadConstraints", "os", "schedulingGates", "resourceClaims", "resources", "hostnameOverride",
        "schedulingGroup",
    ),
    "core.v1.Container": (
        "name", "image", "command", "args", "workingDir", "ports", "envFrom", "env", "resources", "resizePolicy",
        "restartPolicy", "restartPolicyRules", "volumeMounts", "volumeDevices", "livenessProbe", "readinessProbe",
        "startupProbe", "lifecycle", "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy",
        "securityContext", "stdin", "stdinOnce", "tty",
    ),
    "core.v1.PodSecurityContext": (
        "seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup", "runAsNonRoot", "supplementalGroups",
        "supplementalGroupsPolicy", "fsGroup", "fsGroupChangePolicy", "sysctls", "seccompProfile", "appArmorProfile",
        "seLinuxChangePolicy",
    ),
    "core.v1.VolumeMount": (
        "name", "readOnly", "recursiveReadOnly", "mountPath", "subPath", "mountPropagation", "subPathExpr",
    ),
    "meta.v1.OwnerReference": ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"),
    "core.v1.ContainerPort": ("name", "hostPort", "containerPort", "protocol", "hostIP"),
    "core.v1.ServicePort": ("name", "protocol", "appProtocol", "port", "targetPort", "nodePort"),
    "apiextensions.v1.CustomResourceDefinitionVersion": (
        "name", "served", "storage", "deprecated", "deprecationWarning", "schema", "subresources",
        "additionalPrinterColumns", "selectableFields",
    ),
}  # fmt: skip
"""Fields of structures that stand in another order internally than on the wire."""
_ZEROS: Mapping[str, Any] = {
    "string": "", "bool": False, "int32": 0, "int64": 0, "double": 0, "bytes": None,
    "resource.Quantity": "0", "intstr.IntOrString": 0,
}  # fmt: skip


def internal(message: str, value: Mapping[str, Any] | None) -> Any:
    """A structure, called as in the tables (``core.v1.SeccompProfile``), in upstream's internal form."""
    if value is None or not isinstance(value, Mapping):
        return value
    if message == "core.v1.PodSpec":
        return _pod_spec(value)
    shown: dict[str, Any] = {}
    for field in _fields(message):
        if field.type == _METADATA:
            shown |= external(_METADATA, value.get(field.name)) or {}
        else:
            shown[_go_name(field.name)] = _internal_field(field, value.get(field.name))
    return shown


_HOST_FIELDS = {
    "hostNetwork": False,
    "hostPID": False,
    "hostIPC": False,
    "shareProcessNamespace": None,
    "hostUsers": None,
}
"""Fields of a pod that are its security context's internally, and their zeros."""


def _pod_spec(value: Mapping[str, Any]) -> Any:
    order = _ORDER["core.v1.PodSpec"]
    fields = {field.name: field for field in _own_fields("core.v1.PodSpec")}
    shown = {_go_name(name): _internal_field(fields[name], value.get(name)) for name in order}
    if shown["SecurityContext"] is not None:
        host = {_go_name(name): value.get(name, zero) for name, zero in _HOST_FIELDS.items()}
        shown["SecurityContext"] = host | shown["SecurityContext"]
    return shown


def external(message: str, value: Mapping[str, Any] | None) -> Any:
    """A structure in the API's form, with its fields in order and the entries of maps sorted."""
    if value is None or not isinstance(value, Mapping):
        return value
    return {
        field.name: _external_field(field, value[field.name])
        for field in _fields(message)
        if value.get(field.name) is not None
    }


def label_selector(value: Mapping[str, Any] | None) -> Any:
    return external("meta.v1.LabelSelector", value)


def _fields(message: str) -> Sequence[Field]:
    fields = list(_own_fields(message))
    order = _ORDER.get(message)
    return sorted(fields, key=lambda field: order.index(field.name)) if order else fields


def _own_fields(message: str) -> Iterator[Field]:
    for field in tables.message(message).fields:
        if field.is_inline:
            yield from _own_fields(field.type)
        else:
            yield field


def _internal_field(field: Field, value: Any) -> Any:
    if value is None:
        return None if field.is_pointer or field.shape else _zero(field.type)
    return _nested(field, value, internal if not field.type.startswith("meta.") else external)


def _external_field(field: Field, value: Any) -> Any:
    return _nested(field, value, external)


def _nested(field: Field, value: Any, form: Any) -> Any:
    if field.shape == "map" and isinstance(value, Mapping):
        return {key: _one(field.type, entry, form) for key, entry in sorted(value.items())}
    if field.shape == "list" and isinstance(value, list):
        return [_one(field.type, entry, form) for entry in value]
    return _one(field.type, value, form)


def _one(type_name: str, value: Any, form: Any) -> Any:
    return form(type_name, value) if tables.exists(type_name) else value


def _zero(type_name: str) -> Any:
    if type_name in _ZEROS or type_name in SCALARS or not tables.exists(type_name):
        return _ZEROS.get(type_name)
    return external(type_name, {}) if type_name.startswith("meta.") else internal(type_name, {})


def _go_name(name: str) -> str:
    for prefix, written in _INITIALISMS.items():
        if name == prefix or (name.startswith(prefix) and name[len(prefix) : len(prefix) + 1].isupper()):
            return written + name[len(prefix) :]
    return name[:1].upper() + name[1:]
