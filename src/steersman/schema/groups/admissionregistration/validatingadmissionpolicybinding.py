"""ValidatingAdmissionPolicyBinding: where a ValidatingAdmissionPolicy applies."""

from __future__ import annotations

from steersman.meta.errors import FieldError, invalid, required
from steersman.meta.objects import Object
from steersman.meta.resources import VALIDATINGADMISSIONPOLICYBINDINGS
from steersman.schema.columns import AGE, NAME, text
from steersman.schema.groups.admissionregistration.parameters import PARAM_REF
from steersman.schema.groups.admissionregistration.policies import check_binding
from steersman.schema.groups.admissionregistration.reservednames import reserved_name_warnings
from steersman.schema.groups.admissionregistration.webhook import default_constraints
from steersman.schema.kind import Kind
from steersman.schema.rules import check_distinct, check_optional_choice


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_constraints(spec.get("matchResources"))


ACTIONS = ("Audit", "Deny", "Warn")


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec, path = obj.get("spec") or {}, "spec.validationActions"
    check_binding(errors, spec)
    actions = spec.get("validationActions") or []
    for index, action in enumerate(actions):
        check_optional_choice(errors, action, f"{path}[{index}]", ACTIONS)
    check_distinct(errors, actions, path)
    if "Deny" in actions and "Warn" in actions:
        detail = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
            "headers serves no purpose)"
        )
        errors.append(invalid(path, actions, detail))
    if not actions:
        errors.append(required(path, "at least one validation action is required"))
    return errors


KIND = Kind(
    resource=VALIDATINGADMISSIONPOLICYBINDINGS,
    definition="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    singular="validatingadmissionpolicybinding",
    categories=("api-extensions",),
    qualifies_finalizers=False,
    storage_prefix="validatingadmissionpolicybindings",
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
