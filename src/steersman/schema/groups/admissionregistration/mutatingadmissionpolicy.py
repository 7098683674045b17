"""MutatingAdmissionPolicy: admission changes written in CEL."""

from __future__ import annotations

from steersman.meta.resources import MUTATINGADMISSIONPOLICIES
from steersman.schema.kind import Kind

KIND = Kind(
    resource=MUTATINGADMISSIONPOLICIES,
    definition="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
    singular="mutatingadmissionpolicy",
    categories=("api-extensions",),
    storage_prefix="mutatingadmissionpolicies",
    counts_generation=True,
    allows_unconditional_update=False,
)
