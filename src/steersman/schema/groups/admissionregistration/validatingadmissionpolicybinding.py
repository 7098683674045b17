"""ValidatingAdmissionPolicyBinding: where a ValidatingAdmissionPolicy applies."""

from __future__ import annotations

from steersman.meta.resources import VALIDATINGADMISSIONPOLICYBINDINGS
from steersman.schema.kind import Kind

KIND = Kind(
    resource=VALIDATINGADMISSIONPOLICYBINDINGS,
    definition="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    singular="validatingadmissionpolicybinding",
    categories=("api-extensions",),
    storage_prefix="validatingadmissionpolicybindings",
    counts_generation=True,
    allows_unconditional_update=False,
)
