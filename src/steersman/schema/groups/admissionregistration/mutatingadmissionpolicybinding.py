"""MutatingAdmissionPolicyBinding: where a MutatingAdmissionPolicy applies."""

from __future__ import annotations

from steersman.meta.resources import MUTATINGADMISSIONPOLICYBINDINGS
from steersman.schema.kind import Kind

KIND = Kind(
    resource=MUTATINGADMISSIONPOLICYBINDINGS,
    definition="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
    singular="mutatingadmissionpolicybinding",
    categories=("api-extensions",),
    storage_prefix="mutatingadmissionpolicybindings",
    counts_generation=True,
    allows_unconditional_update=False,
)
