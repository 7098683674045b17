"""The specification of a volume claim, as in PersistentVolumeClaims, StatefulSets and ephemeral volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.errors import forbidden, invalid, not_supported, required
from steersman.meta.names import label_errors, subdomain_errors
from steersman.meta.objects import Object
from steersman.schema.groups.core.resourcelist import default_requirements
from steersman.schema.rules import (
    NOT_ZERO,
    Errors,
    check_annotations,
    check_label_selector,
    check_labels,
    check_name,
    check_optional_choice,
    check_present,
    check_quantity,
)

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def default_claim_spec(spec: Object) -> None:
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    if spec.get("resources") is None:
        spec["resources"] = {}
    else:
        default_requirements(spec["resources"])


def default_claim_template(claim: Object) -> None:
    """A claim inside a StatefulSet, which carries a whole object."""
    claim.setdefault("apiVersion", "v1")
    claim.setdefault("kind", "PersistentVolumeClaim")
    default_claim_spec(claim.setdefault("spec", {}))
    status = claim.get("status") or {}
    if not status.get("phase"):
        claim["status"] = {**status, "phase": "Pending"}


def check_claim_template(errors: Errors, template: Mapping[str, Any], path: str) -> None:
    """The claim that an ephemeral volume makes: labels, annotations and a specification, nothing else."""
    check_template_metadata(errors, template.get("metadata") or {}, f"{path}.metadata")
    check_claim_spec(errors, template.get("spec") or {}, f"{path}.spec")


_NOT_IN_TEMPLATES = {
    "name": "name", "generateName": "generateName", "namespace": "namespace", "selfLink": "selfLink", "uid": "uID",
    "resourceVersion": "resourceVersion", "generation": "generation", "creationTimestamp": "creationTimestamp",
    "deletionTimestamp": "deletionTimestamp", "deletionGracePeriodSeconds": "deletionGracePeriodSeconds",
    "ownerReferences": "ownerReferences", "finalizers": "finalizers", "managedFields": "managedFields",
}  # fmt: skip
"""Fields, and what upstream calls them here: by their names in Go."""


def check_template_metadata(errors: Errors, metadata: Mapping[str, Any], path: str) -> None:
    """Of what is made from a template of claims: labels and annotations, nothing else."""
    check_annotations(errors, metadata.get("annotations"), f"{path}.annotations")
    check_labels(errors, metadata.get("labels"), f"{path}.labels")
    errors.extend(
        forbidden(f"{path}.{told}", "cannot be set")
        for name, told in _NOT_IN_TEMPLATES.items()
        if metadata.get(name) or (name == "deletionGracePeriodSeconds" and metadata.get(name) is not None)
    )


def check_claim_spec(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    modes = spec.get("accessModes") or []
    if not modes:
        errors.append(required(f"{path}.accessModes", "at least 1 access mode is required"))
    check_label_selector(errors, spec.get("selector"), f"{path}.selector")
    check_access_modes(errors, modes, f"{path}.accessModes")
    _check_storage(errors, spec, f"{path}.resources[storage]")
    for field in ("storageClassName", "volumeAttributesClassName"):
        if spec.get(field):
            check_name(errors, spec[field], f"{path}.{field}", subdomain_errors)
    check_optional_choice(errors, spec.get("volumeMode"), f"{path}.volumeMode", VOLUME_MODES)
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None:
        _check_data_source(errors, source, f"{path}.dataSource")
    if reference is not None:
        _check_data_source(errors, reference, f"{path}.dataSourceRef")
        if reference.get("namespace"):
            check_name(errors, reference["namespace"], f"{path}.dataSourceRef.namespace", label_errors)
    if source is not None and reference is not None:
        if reference.get("namespace"):
            detail = "may not be specified when dataSourceRef.namespace is specified"
            errors.append(invalid(path, f"{path}.dataSource", detail))
        elif any(source.get(field) != reference.get(field) for field in ("apiGroup", "kind", "name")):
            errors.append(invalid(path, f"{path}.dataSource", "must match dataSourceRef"))


def check_access_modes(errors: Errors, modes: Sequence[str], path: str) -> None:
    errors.extend(not_supported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES)
    known = {mode for mode in modes if mode in ACCESS_MODES}
    if "ReadWriteOncePod" in known and len(known) > 1:
        errors.append(forbidden(path, "may not use ReadWriteOncePod with other access modes"))


def _check_storage(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    amount = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if amount is None:
        errors.append(required(path))
        return
    value = check_quantity(errors, amount, path)
    if value is not None and value <= 0:
        errors.append(invalid(path, amount, NOT_ZERO))


def _check_data_source(errors: Errors, source: Mapping[str, Any], path: str) -> None:
    check_present(errors, source, path, "name", "kind")
    group = source.get("apiGroup") or ""
    if not group and source.get("kind") != "PersistentVolumeClaim":
        detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errors.append(invalid(path, source.get("kind") or "", detail))
    if group:
        check_name(errors, group, f"{path}.apiGroup", subdomain_errors)
