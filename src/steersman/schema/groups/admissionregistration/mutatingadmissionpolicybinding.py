"""MutatingAdmissionPolicyBinding: where a MutatingAdmissionPolicy applies."""

from __future__ import annotations

from steersman.meta.errors import FieldError
from steersman.meta.objects import Object
from steersman.meta.resources import MUTATINGADMISSIONPOLICYBINDINGS
from steersman.schema.columns import AGE, NAME, text
from steersman.schema.groups.admissionregistration.matching import check_mutated_operations
from steersman.schema.groups.admissionregistration.parameters import PARAM_REF
from steersman.schema.groups.admissionregistration.policies import check_binding
from steersman.schema.groups.admissionregistration.reservednames import reserved_name_warnings
from steersman.schema.groups.admissionregistration.webhook import default_constraints
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_constraints(spec.get("matchResources"))


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    check_binding(errors, spec)
    check_mutated_operations(errors, spec.get("matchResources") or {}, "spec.matchResources")
    return errors


KIND = Kind(
    resource=MUTATINGADMISSIONPOLICYBINDINGS,
    definition="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
    singular="mutatingadmissionpolicybinding",
    categories=("api-extensions",),
    qualifies_finalizers=False,
    storage_prefix="mutatingadmissionpolicybindings",
    counts_generation=True,
    allows_unconditional_update=False,
    default=default,
    columns=(
        NAME,
        text(
            "PolicyName",
            "spec",
            "policyName",
            description="PolicyName indicates the policy definition which the policy binding binded to",
        ),
        PARAM_REF,
        AGE,
    ),
    validate=validate,
    warnings=reserved_name_warnings,
)
