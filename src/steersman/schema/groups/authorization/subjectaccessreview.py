"""SubjectAccessReview: whether somebody may do something."""

from __future__ import annotations

from steersman.meta.resources import SUBJECTACCESSREVIEWS
from steersman.schema.kind import Kind

KIND = Kind(
    resource=SUBJECTACCESSREVIEWS,
    definition="io.k8s.api.authorization.v1.SubjectAccessReview",
    singular="subjectaccessreview",
    verbs=("create",),
    storage_prefix="",
    is_stored=False,
)
