"""ValidatingAdmissionPolicy: admission rules written in CEL."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import VALIDATINGADMISSIONPOLICIES
from steersman.schema.columns import AGE, NAME, length
from steersman.schema.groups.admissionregistration.parameters import PARAM_KIND
from steersman.schema.groups.admissionregistration.webhook import default_constraints
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("failurePolicy"):
        spec["failurePolicy"] = "Fail"
    default_constraints(spec.get("matchConstraints"))


KIND = Kind(
    resource=VALIDATINGADMISSIONPOLICIES,
    definition="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
    singular="validatingadmissionpolicy",
    categories=("api-extensions",),
    subresources=(STATUS,),
    storage_prefix="validatingadmissionpolicies",
    has_status=True,
    counts_generation=True,
    allows_unconditional_update=False,
    default=default,
    columns=(
        NAME,
        length(
            "Validations",
            ("spec", "validations"),
            description="Validations indicates the number of validation rules defined in this configuration",
        ),
        PARAM_KIND,
        AGE,
    ),
)
