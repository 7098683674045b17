"""PodDisruptionBudget: how many pods may be disrupted at a time."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import PODDISRUPTIONBUDGETS
from steersman.schema.columns import AGE, NAME, computed, count, value_at
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    if obj.get("spec") is None:
        obj["spec"] = {}
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    for name in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
        status.setdefault(name, 0)


def _bound(obj: Object, name: str) -> str:
    bound = value_at(obj, "spec", name)
    return "N/A" if bound is None else str(bound)


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
    columns=(
        NAME,
        computed(
            "Min Available",
            lambda obj, now: _bound(obj, "minAvailable"),
            description="The minimum number of pods that must be available.",
        ),
        computed(
            "Max Unavailable",
            lambda obj, now: _bound(obj, "maxUnavailable"),
            description="The maximum number of pods that may be unavailable.",
        ),
        count(
            "Allowed Disruptions",
            "status",
            "disruptionsAllowed",
            description="Calculated number of pods that may be disrupted at this time.",
        ),
        AGE,
    ),
)
