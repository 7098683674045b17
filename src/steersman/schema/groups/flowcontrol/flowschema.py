"""FlowSchema: which requests go to which priority level."""

from __future__ import annotations

from steersman.meta.objects import Object, condition
from steersman.meta.resources import FLOWSCHEMAS
from steersman.schema.cells import NONE
from steersman.schema.columns import AGE, NAME, computed, count, text
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000
    if obj.get("status") is None:
        obj["status"] = {}


def _missing(obj: Object, now: float) -> str:
    dangling = condition(obj, "Dangling")
    return "?" if dangling is None else str(dangling.get("status"))


KIND = Kind(
    resource=FLOWSCHEMAS,
    definition="io.k8s.api.flowcontrol.v1.FlowSchema",
    singular="flowschema",
    subresources=(STATUS,),
    storage_prefix="flowschemas",
    has_status=True,
    counts_generation=True,
    default=default,
    columns=(
        NAME,
        text(
            "PriorityLevel",
            "spec",
            "priorityLevelConfiguration",
            "name",
            documented_by="io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationReference/name",
        ),
        count(
            "MatchingPrecedence",
            "spec",
            "matchingPrecedence",
            type="string",
            documented_by="io.k8s.api.flowcontrol.v1.FlowSchemaSpec/matchingPrecedence",
        ),
        text(
            "DistinguisherMethod",
            "spec",
            "distinguisherMethod",
            "type",
            empty=NONE,
            documented_by="io.k8s.api.flowcontrol.v1.FlowSchemaSpec/distinguisherMethod",
        ),
        AGE,
        computed("MissingPL", _missing, description="references a broken or non-existent PriorityLevelConfiguration"),
    ),
)
