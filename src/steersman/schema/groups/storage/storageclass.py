"""StorageClass: how volumes are provisioned."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.meta.errors import FieldError, duplicate, required
from steersman.meta.names import label_key_errors
from steersman.meta.objects import Object
from steersman.meta.objects import annotations as annotations_of
from steersman.meta.resources import STORAGECLASSES
from steersman.schema.columns import AGE, flag, named, own_name, text
from steersman.schema.groups.core.nodelabels import NODE_LABELS
from steersman.schema.groups.storage.parameters import check_parameters, check_provisioner
from steersman.schema.kind import Kind
from steersman.schema.rules import check_distinct, check_immutable, check_name, check_optional_choice


def default(obj: Object) -> None:
    if obj.get("reclaimPolicy") is None:
        obj["reclaimPolicy"] = "Delete"
    if obj.get("volumeBindingMode") is None:
        obj["volumeBindingMode"] = "Immediate"


def _name(obj: Object, now: float) -> str:
    marks = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
    is_default = any(annotations_of(obj).get(mark) == "true" for mark in marks)
    return f"{own_name(obj, now)} (default)" if is_default else own_name(obj, now)


_RECLAIM_POLICIES = ("Delete", "Retain")
BINDING_MODES = ("Immediate", "WaitForFirstConsumer")


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_provisioner(errors, obj.get("provisioner") or "", "provisioner")
    check_parameters(errors, obj.get("parameters") or {}, "parameters")
    check_optional_choice(errors, obj.get("reclaimPolicy") or None, "reclaimPolicy", _RECLAIM_POLICIES)
    check_optional_choice(errors, obj.get("volumeBindingMode"), "volumeBindingMode", BINDING_MODES)
    seen: list[Mapping[str, set[str]]] = []
    for index, term in enumerate(obj.get("allowedTopologies") or ()):
        path = f"allowedTopologies[{index}]"
        values = _check_term(errors, term, path)
        if values in seen:
            errors.append(duplicate(f"{path}.matchLabelExpressions", ""))
        seen.append(values)
    return errors


def _check_term(errors: list[FieldError], term: Object, path: str) -> Mapping[str, set[str]]:
    """The values by key."""
    found: dict[str, set[str]] = {}
    for index, entry in enumerate(term.get("matchLabelExpressions") or ()):
        at, key, values = f"{path}.matchLabelExpressions[{index}]", entry.get("key") or "", entry.get("values") or ()
        if not values:
            errors.append(required(f"{at}.values"))
        check_distinct(errors, values, f"{at}.values")
        check_name(errors, key, f"{at}.key", label_key_errors)
        if key in found:
            errors.append(duplicate(f"{at}.key", key))
        found[key] = set(values)
    return found


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
        check_immutable(errors, new.get(name), old.get(name), name)
    return errors


def warnings(obj: Object) -> list[str]:
    return [
        f"allowedTopologies[{index}].matchLabelExpressions[{number}].key: {NODE_LABELS[expression['key']]}"
        for index, topology in enumerate(obj.get("allowedTopologies") or ())
        for number, expression in enumerate(topology.get("matchLabelExpressions") or ())
        if expression.get("key") in NODE_LABELS
    ]


KIND = Kind(
    resource=STORAGECLASSES,
    definition="io.k8s.api.storage.v1.StorageClass",
    singular="storageclass",
    short_names=("sc",),
    storage_prefix="storageclasses",
    returns_deleted_object=True,
    delete_returns_object=True,
    default=default,
    columns=(
        named(_name),
        text("Provisioner", "provisioner", documented_by="io.k8s.api.storage.v1.StorageClass/provisioner"),
        text(
            "ReclaimPolicy",
            "reclaimPolicy",
            empty="Delete",
            documented_by="io.k8s.api.storage.v1.StorageClass/reclaimPolicy",
        ),
        text(
            "VolumeBindingMode",
            "volumeBindingMode",
            empty="Immediate",
            documented_by="io.k8s.api.storage.v1.StorageClass/volumeBindingMode",
        ),
        flag(
            "AllowVolumeExpansion",
            "allowVolumeExpansion",
            type="string",
            documented_by="io.k8s.api.storage.v1.StorageClass/allowVolumeExpansion",
        ),
        AGE,
    ),
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
)
