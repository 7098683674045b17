"""PodDisruptionBudget: how many pods may be disrupted at a time."""

from __future__ import annotations

from steersman.meta.resources import PODDISRUPTIONBUDGETS
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

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
)
