"""LocalSubjectAccessReview: whether somebody may do something in one namespace."""

from __future__ import annotations

from steersman.meta.resources import LOCALSUBJECTACCESSREVIEWS
from steersman.schema.kind import Kind

KIND = Kind(
    resource=LOCALSUBJECTACCESSREVIEWS,
    definition="io.k8s.api.authorization.v1.LocalSubjectAccessReview",
    singular="localsubjectaccessreview",
    verbs=("create",),
    storage_prefix="",
    is_stored=False,
)
