"""CSINode: CSI drivers that are installed on a node."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.meta.errors import FieldError, duplicate, invalid, required
from steersman.meta.names import label_key_errors
from steersman.meta.objects import Object
from steersman.meta.resources import CSINODES
from steersman.schema.columns import AGE, NAME, length, value_at
from steersman.schema.groups.core.volumesources import check_csi_driver_name
from steersman.schema.kind import Kind
from steersman.schema.rules import check_counts, check_immutable, check_name

_NODE_ID_LENGTH = 256


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    seen = set()
    for index, driver in enumerate(value_at(obj, "spec", "drivers") or ()):
        path, name, node = f"spec.drivers[{index}]", driver.get("name") or "", driver.get("nodeID") or ""
        check_csi_driver_name(errors, name, f"{path}.name")
        if not node:
            errors.append(required(f"{path}.nodeID"))
        if len(node) > _NODE_ID_LENGTH:
            errors.append(invalid(f"{path}.nodeID", node, f"must be {_NODE_ID_LENGTH} characters or less"))
        check_counts(errors, driver.get("allocatable") or {}, f"{path}.allocatable", "count")
        if name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
        _check_topology(errors, driver.get("topologyKeys") or (), path)
    return errors


def _check_topology(errors: list[FieldError], keys: Sequence[str], path: str) -> None:
    for index, key in enumerate(keys):
        if not key:
            errors.append(required(path))
        if key in keys[:index]:
            errors.append(duplicate(path, key))
        check_name(errors, key, path, label_key_errors)


def validate_update(new: Object, old: Object) -> list[FieldError]:
    """A driver comes and goes, and how many volumes it takes may change."""
    errors: list[FieldError] = []
    before = {driver.get("name"): driver for driver in value_at(old, "spec", "drivers") or ()}
    for driver in value_at(new, "spec", "drivers") or ():
        was = before.get(driver.get("name"))
        if was is not None:
            check_immutable(errors, _identity(driver), _identity(was), "spec.drivers")
    return errors


def _identity(driver: Object) -> Object:
    return {name: value for name, value in driver.items() if name != "allocatable"}


KIND = Kind(
    resource=CSINODES,
    definition="io.k8s.api.storage.v1.CSINode",
    singular="csinode",
    storage_prefix="csinodes",
    returns_deleted_object=True,
    allows_unconditional_update=False,
    delete_returns_object=True,
    columns=(
        NAME,
        length(
            "Drivers",
            ("spec", "drivers"),
            description="Drivers indicates the number of CSI drivers registered on the node",
        ),
        AGE,
    ),
    validate=validate,
    validate_update=validate_update,
)
