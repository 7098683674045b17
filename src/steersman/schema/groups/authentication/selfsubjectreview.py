"""SelfSubjectReview: who the API server thinks the caller is."""

from __future__ import annotations

from steersman.meta.resources import SELFSUBJECTREVIEWS
from steersman.schema.kind import Kind

KIND = Kind(
    resource=SELFSUBJECTREVIEWS,
    definition="io.k8s.api.authentication.v1.SelfSubjectReview",
    singular="selfsubjectreview",
    verbs=("create",),
    storage_prefix="",
    is_stored=False,
)
