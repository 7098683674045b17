"""MutatingAdmissionPolicyBinding: where a MutatingAdmissionPolicy applies."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import MUTATINGADMISSIONPOLICYBINDINGS
from steersman.schema.groups.admissionregistration.webhook import default_constraints
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_constraints(spec.get("matchResources"))


KIND = Kind(
    resource=MUTATINGADMISSIONPOLICYBINDINGS,
    definition="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
    singular="mutatingadmissionpolicybinding",
    categories=("api-extensions",),
    storage_prefix="mutatingadmissionpolicybindings",
    counts_generation=True,
    allows_unconditional_update=False,
    default=default,
)
