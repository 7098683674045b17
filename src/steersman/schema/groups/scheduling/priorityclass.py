"""PriorityClass: a name for a priority of pods."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import PRIORITYCLASSES
from steersman.schema.columns import AGE, NAME, count, flag, text
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    if not obj.get("preemptionPolicy"):
        obj["preemptionPolicy"] = "PreemptLowerPriority"


def prepare_create(obj: Object) -> None:
    """Upstream starts the generation and never raises it."""
    obj["metadata"]["generation"] = 1


KIND = Kind(
    resource=PRIORITYCLASSES,
    definition="io.k8s.api.scheduling.v1.PriorityClass",
    singular="priorityclass",
    short_names=("pc",),
    storage_prefix="priorityclasses",
    default=default,
    prepare_create=prepare_create,
    columns=(
        NAME,
        count("Value", "value", documented_by="io.k8s.api.scheduling.v1.PriorityClass/value"),
        flag("Global-Default", "globalDefault", documented_by="io.k8s.api.scheduling.v1.PriorityClass/globalDefault"),
        AGE,
        text(
            "PreemptionPolicy",
            "preemptionPolicy",
            documented_by="io.k8s.api.scheduling.v1.PriorityClass/preemptionPolicy",
        ),
    ),
)
