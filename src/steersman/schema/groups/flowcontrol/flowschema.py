"""FlowSchema: which requests go to which priority level."""

from __future__ import annotations

from steersman.meta.errors import FieldError, invalid, not_supported, required
from steersman.meta.names import subdomain_errors
from steersman.meta.objects import Object, condition
from steersman.meta.resources import FLOWSCHEMAS
from steersman.schema import goforms
from steersman.schema.cells import NONE
from steersman.schema.columns import AGE, NAME, computed, count, text
from steersman.schema.equality import same
from steersman.schema.groups.flowcontrol.flowrules import check_flow_rule, condition_errors
from steersman.schema.groups.flowcontrol.mandatory import EXEMPT, FLOW_SCHEMAS
from steersman.schema.kind import Kind
from steersman.schema.rules import check_name
from steersman.schema.statuswrites import keep_metadata
from steersman.schema.subresources import STATUS

_METHOD = "flowcontrol.v1.FlowDistinguisherMethod"


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000
    if obj.get("status") is None:
        obj["status"] = {}


def _missing(obj: Object, now: float) -> str:
    dangling = condition(obj, "Dangling")
    return "?" if dangling is None else str(dangling.get("status"))


_LARGEST_PRECEDENCE = 10000
_DISTINGUISHERS = ("ByNamespace", "ByUser")


def prepare_create(obj: Object) -> None:
    obj["status"] = {}


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    name, spec = obj["metadata"].get("name") or "", obj.get("spec") or {}
    precedence, path = spec.get("matchingPrecedence") or 0, "spec.matchingPrecedence"
    if precedence <= 0:
        errors.append(invalid(path, precedence, "must be a positive value"))
    if precedence > _LARGEST_PRECEDENCE:
        errors.append(invalid(path, precedence, f"must not be greater than {_LARGEST_PRECEDENCE}"))
    if precedence == 1 and name != EXEMPT:
        detail = "only the schema named 'exempt' may have matchingPrecedence 1"
        errors.append(invalid(path, precedence, detail))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in _DISTINGUISHERS:
        errors.append(
            not_supported("spec.distinguisherMethod.type", goforms.internal(_METHOD, method), _DISTINGUISHERS)
        )
    level = (spec.get("priorityLevelConfiguration") or {}).get("name")
    if level:
        check_name(errors, level, "spec.priorityLevelConfiguration.name", subdomain_errors)
    else:
        errors.append(required("spec.priorityLevelConfiguration.name", "must reference a priority level"))
    for index, rule in enumerate(spec.get("rules") or ()):
        check_flow_rule(errors, rule, f"spec.rules[{index}]")
    fixed = FLOW_SCHEMAS.get(name)
    if fixed is not None and not same(spec, fixed):
        errors.append(invalid("spec", dict(spec), f"spec of '{name}' must equal the fixed value"))
    return errors


def _precedence(obj: Object) -> tuple[int, str]:
    """Where the schema comes when requests are matched."""
    return obj["spec"].get("matchingPrecedence") or 0, obj["metadata"]["name"]


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    return condition_errors(new)


KIND = Kind(
    resource=FLOWSCHEMAS,
    definition="io.k8s.api.flowcontrol.v1.FlowSchema",
    singular="flowschema",
    subresources=(STATUS,),
    storage_prefix="flowschemas",
    has_status=True,
    counts_generation=True,
    default=default,
    prepare_status_update=keep_metadata,
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
    row_order=_precedence,
    prepare_create=prepare_create,
    validate=validate,
    validate_status_update=validate_status_update,
)
