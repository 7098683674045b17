"""ValidatingAdmissionPolicy: admission rules written in CEL."""

from __future__ import annotations

from steersman.meta.resources import VALIDATINGADMISSIONPOLICIES
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

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
)
