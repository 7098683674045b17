"""LimitRange: defaults and bounds of what one container, pod or claim in a namespace may ask for."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import LIMITRANGES
from steersman.schema.columns import CREATED_AT, NAME
from steersman.schema.groups.core.resourcelist import default_amounts
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    for item in (obj.get("spec") or {}).get("limits") or ():
        for part in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            if item.get(part):
                default_amounts(item[part])
        if item.get("type") == "Container":
            limits = {**(item.get("max") or {}), **(item.get("default") or {})}
            item["default"] = limits
            item["defaultRequest"] = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}


KIND = Kind(
    resource=LIMITRANGES,
    definition="io.k8s.api.core.v1.LimitRange",
    singular="limitrange",
    short_names=("limits",),
    storage_prefix="limitranges",
    allows_create_on_update=True,
    default=default,
    columns=(
        NAME,
        CREATED_AT,
    ),
)
