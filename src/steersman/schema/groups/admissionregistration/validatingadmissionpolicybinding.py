"""ValidatingAdmissionPolicyBinding: where a ValidatingAdmissionPolicy applies."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import VALIDATINGADMISSIONPOLICYBINDINGS
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
)
