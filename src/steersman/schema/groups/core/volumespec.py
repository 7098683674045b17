"""The specification of a persistent volume, as in PersistentVolumes and in attachments of inline volumes."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from steersman.meta.errors import forbidden, invalid, not_supported, required
from steersman.meta.names import label_errors, subdomain_errors
from steersman.schema.groups.core.claimspec import VOLUME_MODES, check_access_modes
from steersman.schema.groups.core.paths import check_no_backsteps
from steersman.schema.groups.core.podspec.placement import check_node_selector
from steersman.schema.groups.core.resourcenames import check_amount
from steersman.schema.groups.core.volumesources import check_source
from steersman.schema.rules import NOT_ZERO, Errors, check_name, check_optional_choice

SOURCES = (
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
)
_NEVER_TOO_MANY = "flexVolume"
"""Upstream takes this one beside another."""
_TOLD = {"cephfs": "cephFS"}
RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
_CSI_SECRETS = (
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
)


def check_volume_spec(errors: Errors, spec: Mapping[str, Any], path: str, *, inline: bool = False) -> None:
    """``inline``: part of a VolumeAttachment rather than a volume of its own."""
    if inline:
        _check_inline(errors, spec, path)
    modes = spec.get("accessModes") or []
    if not modes:
        errors.append(required(f"{path}.accessModes"))
    check_access_modes(errors, modes, f"{path}.accessModes")
    if not inline:
        _check_capacity(errors, spec.get("capacity"), f"{path}.capacity")
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy and inline and policy != "Retain":
        detail = "may only be Retain in the context of inline volumes"
        errors.append(forbidden(f"{path}.persistentVolumeReclaimPolicy", detail))
    elif policy and policy not in RECLAIM_POLICIES:
        errors.append(not_supported(f"{path}.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES))
    _check_affinity(errors, spec.get("nodeAffinity"), f"{path}.nodeAffinity")
    _check_sources(errors, spec, path)
    if posixpath.normpath((spec.get("hostPath") or {}).get("path") or ".") == "/" and policy == "Recycle":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        errors.append(forbidden(f"{path}.persistentVolumeReclaimPolicy", detail))
    if spec.get("storageClassName") and not inline:
        check_name(errors, spec["storageClassName"], f"{path}.storageClassName", subdomain_errors)
    check_optional_choice(errors, spec.get("volumeMode"), f"{path}.volumeMode", VOLUME_MODES)
    _check_attributes_class(errors, spec, path)


def _check_inline(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    detail = "may not be specified in the context of inline volumes"
    errors.extend(
        forbidden(f"{path}.{name}", detail) for name in ("claimRef", "capacity", "storageClassName") if spec.get(name)
    )
    if spec.get("csi") is None:
        errors.append(required(f"{path}.csi", "has to be specified in the context of inline volumes"))


def _check_capacity(errors: Errors, capacity: Mapping[str, Any] | None, path: str) -> None:
    if not capacity:
        errors.append(required(path))
    if "storage" not in (capacity or ()) or len(capacity or ()) > 1:
        errors.append(not_supported(path, capacity, ("storage",)))
    for name, amount in (capacity or {}).items():
        value = check_amount(errors, name, amount, f"{path}[{name}]")
        if value is not None and value <= 0:
            errors.append(invalid(f"{path}[{name}]", amount, NOT_ZERO))


def _check_affinity(errors: Errors, affinity: Mapping[str, Any] | None, path: str) -> None:
    if affinity is None:
        return
    if affinity.get("required") is None:
        errors.append(required(f"{path}.required", "must specify required node constraints"))
    else:
        check_node_selector(errors, affinity["required"], f"{path}.required")


def _check_sources(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    found = [name for name in SOURCES if spec.get(name) is not None]
    if not found:
        errors.append(required(path, "must specify a volume type"))
        return
    for name in found[1:]:
        if name == _NEVER_TOO_MANY:
            check_source(errors, name, spec[name], f"{path}.{name}")
        else:
            detail = "may not specify more than 1 volume type"
            errors.append(forbidden(f"{path}.{_TOLD.get(name, name)}", detail))
    name, source = found[0], spec[found[0]]
    at = f"{path}.{name}"
    check_source(errors, name, source, at)
    match name:
        case "local":
            if not source.get("path"):
                errors.append(required(f"{at}.path"))
            else:
                check_no_backsteps(errors, source["path"], f"{at}.path")
            if spec.get("nodeAffinity") is None:
                errors.append(required(f"{path}.nodeAffinity", "Local volume requires node affinity"))
        case "csi":
            if not source.get("volumeHandle"):
                errors.append(required(f"{at}.volumeHandle"))
            for field in _CSI_SECRETS:
                if source.get(field) is not None:
                    _check_secret(errors, source[field], f"{at}.{field}")
        case "azureFile":
            if source.get("secretNamespace") == "":
                errors.append(required(f"{at}.secretNamespace"))
        case "glusterfs":
            space = source.get("endpointsNamespace")
            if space == "":
                detail = "if the endpointnamespace is set, it must be a valid namespace name"
                errors.append(invalid(f"{at}.endpointsNamespace", space, detail))
            elif space is not None:
                check_name(errors, space, f"{at}.endpointsNamespace", label_errors)
        case "cinder" | "storageos":
            reference = source.get("secretRef")
            if reference is not None and not reference.get("namespace"):
                errors.append(required(f"{at}.secretRef.namespace"))


def _check_secret(errors: Errors, reference: Mapping[str, Any], path: str) -> None:
    for field, rule in (("name", subdomain_errors), ("namespace", label_errors)):
        if not reference.get(field):
            errors.append(required(f"{path}.{field}"))
        else:
            check_name(errors, reference[field], f"{path}.{field}", rule)


def _check_attributes_class(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    name = spec.get("volumeAttributesClassName")
    if name is None:
        return
    if name == "":
        errors.append(required(f"{path}.volumeAttributesClassName", "an empty string is disallowed"))
    else:
        check_name(errors, name, f"{path}.volumeAttributesClassName", subdomain_errors)
    if spec.get("csi") is None:
        errors.append(required(f"{path}.csi", "has to be specified when using volumeAttributesClassName"))
