"""ResourceSlice: devices that a driver offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.errors import FieldError, duplicate, invalid, required
from steersman.meta.names import label_errors, subdomain_errors
from steersman.meta.objects import Object
from steersman.meta.resources import RESOURCESLICES
from steersman.schema.columns import AGE, NAME, text, value_at
from steersman.schema.groups.core.podspec.placement import check_node_selector
from steersman.schema.groups.core.volumesources import check_csi_driver_name
from steersman.schema.groups.resource.devices import check_counters, check_device
from steersman.schema.groups.resource.naming import check_pool
from steersman.schema.kind import Kind
from steersman.schema.rules import check_immutable, check_name, check_positive, check_required_name, too_many
from steersman.schema.selectable import text_at

_DEVICES = 128
_SPECIAL_DEVICES = 64
_COUNTER_SETS = 8
_NODES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
_ONE_OF = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    pool, devices, counters = spec.get("pool") or {}, spec.get("devices"), spec.get("sharedCounters")
    check_csi_driver_name(errors, spec.get("driver"), "spec.driver")
    check_pool(errors, pool.get("name") or "", "spec.pool.name")
    check_positive(errors, pool.get("resourceSliceCount"), "spec.pool.resourceSliceCount")
    if (pool.get("generation") or 0) < 0:
        errors.append(invalid("spec.pool.generation", pool["generation"], "must be greater than or equal to zero"))
    _check_nodes(errors, spec)
    if counters is not None and devices is not None:
        errors.append(invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed"))
    _check_devices(errors, devices or (), chooses_nodes=bool(spec.get("perDeviceNodeSelection")))
    _check_counters(errors, counters or ())
    return errors


def _check_nodes(errors: list[FieldError], spec: Mapping[str, Any]) -> None:
    name, selector = spec.get("nodeName"), spec.get("nodeSelector")
    if name:
        check_name(errors, name, "spec.nodeName", subdomain_errors)
    elif name is not None:
        errors.append(invalid("spec.nodeName", name, "must be either unset or set to a non-empty string"))
    if selector is not None:
        check_node_selector(errors, selector, "spec.nodeSelector")
        terms = selector.get("nodeSelectorTerms") or []
        if len(terms) != 1:
            path = "spec.nodeSelector.nodeSelectorTerms"
            errors.append(invalid(path, terms, "must have exactly one node selector term"))
    errors.extend(
        invalid(f"spec.{field}", False, "must be either unset or set to true")
        for field in ("allNodes", "perDeviceNodeSelection")
        if spec.get(field) is False
    )
    given = [f"`{field}`" for field in _NODES if spec.get(field) or (field == "nodeSelector" and selector is not None)]
    if not given:
        errors.append(required("spec", _ONE_OF))
    elif len(given) > 1:
        errors.append(invalid("spec", f"{{{', '.join(given)}}}", f"{_ONE_OF}, but multiple fields are set"))


def _check_devices(errors: list[FieldError], devices: Sequence[Object], *, chooses_nodes: bool) -> None:
    is_special = any(device.get("taints") or device.get("consumesCounters") for device in devices)
    most = _SPECIAL_DEVICES if is_special else _DEVICES
    if len(devices) > most:
        errors.append(too_many("spec.devices", len(devices), most))
        return
    seen = set()
    for index, device in enumerate(devices):
        check_device(errors, device, f"spec.devices[{index}]", chooses_nodes=chooses_nodes)
    for index, device in enumerate(devices):
        if device.get("name") in seen:
            errors.append(duplicate(f"spec.devices[{index}]", device.get("name")))
        seen.add(device.get("name"))


def _check_counters(errors: list[FieldError], sets: Sequence[Object]) -> None:
    path = "spec.sharedCounters"
    if len(sets) > _COUNTER_SETS:
        errors.append(too_many(path, len(sets), _COUNTER_SETS))
        return
    seen = set()
    for index, entry in enumerate(sets):
        name = entry.get("name") or ""
        check_required_name(errors, name, f"{path}[{index}].name", label_errors)
        check_counters(errors, entry.get("counters") or {}, f"{path}[{index}].counters")
        if name in seen:
            errors.append(duplicate(f"{path}[{index}]", name))
        seen.add(name)


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for path in (("pool", "name"), ("driver",), ("nodeName",)):
        now, before = value_at(new, "spec", *path), value_at(old, "spec", *path)
        check_immutable(errors, now, before, f"spec.{'.'.join(path)}")
    return errors


def warnings(obj: Object) -> list[str]:
    driver = (obj.get("spec") or {}).get("driver") or ""
    if driver == driver.lower():
        return []
    return [f'spec.driver: driver names should be lowercase; "{driver}" contains uppercase characters']


KIND = Kind(
    resource=RESOURCESLICES,
    definition="io.k8s.api.resource.v1.ResourceSlice",
    singular="resourceslice",
    storage_prefix="resourceslices",
    returns_deleted_object=True,
    unselectable="field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {field}",
    selectable_fields={"spec.driver": text_at("spec", "driver"), "spec.nodeName": text_at("spec", "nodeName")},
    counts_generation=True,
    delete_returns_object=True,
    columns=(
        NAME,
        text("Node", "spec", "nodeName", documented_by="io.k8s.api.resource.v1.ResourceSliceSpec/nodeName"),
        text("Driver", "spec", "driver", documented_by="io.k8s.api.resource.v1.ResourceSliceSpec/driver"),
        text("Pool", "spec", "pool", "name", documented_by="io.k8s.api.resource.v1.ResourcePool/name"),
        AGE,
    ),
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
)
