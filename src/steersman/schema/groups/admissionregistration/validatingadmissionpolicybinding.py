"""ValidatingAdmissionPolicyBinding: where a ValidatingAdmissionPolicy applies."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import VALIDATINGADMISSIONPOLICYBINDINGS
from steersman.schema.columns import AGE, NAME, text
from steersman.schema.groups.admissionregistration.parameters import PARAM_REF
from steersman.schema.groups.admissionregistration.webhook import default_constraints
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_constraints(spec.get("matchResources"))


KIND = Kind(
    resource=VALIDATINGADMISSIONPOLICYBINDINGS,
    definition="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    singular="validatingadmissionpolicybinding",
    categories=("api-extensions",),
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
)
