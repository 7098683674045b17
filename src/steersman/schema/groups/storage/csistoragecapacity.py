"""CSIStorageCapacity: how much a CSI driver can still provision in a topology segment."""

from __future__ import annotations

from steersman.meta.errors import FieldError, invalid
from steersman.meta.names import subdomain_errors
from steersman.meta.objects import Object
from steersman.meta.resources import CSISTORAGECAPACITIES
from steersman.schema.cells import UNSET
from steersman.schema.columns import NAME, text
from steersman.schema.groups.core.nodelabels import node_label_selector_warnings
from steersman.schema.kind import Kind
from steersman.schema.rules import NOT_NEGATIVE, check_immutable, check_label_selector, check_name, check_quantity


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_label_selector(errors, obj.get("nodeTopology"), "nodeTopology")
    check_name(errors, obj.get("storageClassName") or "", "storageClassName", subdomain_errors)
    if obj.get("capacity") is not None:
        amount = check_quantity(errors, obj["capacity"], "capacity")
        if amount is not None and amount < 0:
            errors.append(invalid("capacity", obj["capacity"], NOT_NEGATIVE))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("nodeTopology", "storageClassName"):
        check_immutable(errors, new.get(name), old.get(name), name)
    return errors


def warnings(obj: Object) -> list[str]:
    return node_label_selector_warnings(obj.get("nodeTopology"), "nodeTopology")


KIND = Kind(
    resource=CSISTORAGECAPACITIES,
    definition="io.k8s.api.storage.v1.CSIStorageCapacity",
    singular="csistoragecapacity",
    storage_prefix="csistoragecapacities",
    allows_unconditional_update=False,
    columns=(
        NAME,
        text(
            "StorageClassName",
            "storageClassName",
            documented_by="io.k8s.api.storage.v1.CSIStorageCapacity/storageClassName",
        ),
        text("Capacity", "capacity", empty=UNSET, documented_by="io.k8s.api.storage.v1.CSIStorageCapacity/capacity"),
    ),
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
)
