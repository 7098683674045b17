"""MutatingAdmissionPolicy: admission changes written in CEL."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import MUTATINGADMISSIONPOLICIES
from steersman.schema.columns import AGE, NAME, length
from steersman.schema.groups.admissionregistration.parameters import PARAM_KIND
from steersman.schema.groups.admissionregistration.webhook import default_constraints
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("failurePolicy"):
        spec["failurePolicy"] = "Fail"
    default_constraints(spec.get("matchConstraints"))


KIND = Kind(
    resource=MUTATINGADMISSIONPOLICIES,
    definition="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
    singular="mutatingadmissionpolicy",
    categories=("api-extensions",),
    storage_prefix="mutatingadmissionpolicies",
    counts_generation=True,
    allows_unconditional_update=False,
    default=default,
    columns=(
        NAME,
        length(
            "Mutations",
            ("spec", "mutations"),
            description="Mutation indicates the number of mutations rules defined in this configuration",
        ),
        PARAM_KIND,
        AGE,
    ),
)
