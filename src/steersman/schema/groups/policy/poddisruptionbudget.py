"""PodDisruptionBudget: how many pods may be disrupted at a time."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import PODDISRUPTIONBUDGETS
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    if obj.get("spec") is None:
        obj["spec"] = {}
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    for count in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
        status.setdefault(count, 0)


KIND = Kind(
    resource=PODDISRUPTIONBUDGETS,
    definition="io.k8s.api.policy.v1.PodDisruptionBudget",
    singular="poddisruptionbudget",
    short_names=("pdb",),
    subresources=(STATUS,),
    storage_prefix="poddisruptionbudgets",
    has_status=True,
    counts_generation=True,
    allows_unconditional_update=False,
    default=default,
)
