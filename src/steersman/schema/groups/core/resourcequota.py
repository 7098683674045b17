"""ResourceQuota: what a namespace may use in all."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import RESOURCEQUOTAS
from steersman.schema.columns import AGE, NAME, computed, value_at
from steersman.schema.groups.core.resourcelist import default_amounts
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("hard"):
        default_amounts(spec["hard"])
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    for part in ("hard", "used"):
        if status.get(part):
            default_amounts(status[part])


def _used(obj: Object, *, limits: bool) -> str:
    """``pods: 1/10, requests.cpu: 0/4``: what is used of each resource and what may be."""
    hard, used = value_at(obj, "status", "hard") or {}, value_at(obj, "status", "used") or {}
    names = sorted(name for name in hard if name.startswith("limits.") == limits)
    return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in names)


KIND = Kind(
    resource=RESOURCEQUOTAS,
    definition="io.k8s.api.core.v1.ResourceQuota",
    singular="resourcequota",
    short_names=("quota",),
    subresources=(STATUS,),
    storage_prefix="resourcequotas",
    returns_deleted_object=True,
    has_status=True,
    delete_returns_object=True,
    default=default,
    columns=(
        NAME,
        computed(
            "Request",
            lambda obj, now: _used(obj, limits=False),
            description="Request represents a minimum amount of cpu/memory that a container may consume.",
        ),
        computed(
            "Limit",
            lambda obj, now: _used(obj, limits=True),
            description="Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
        ),
        AGE,
    ),
)
