"""SelfSubjectAccessReview: whether the caller may do something."""

from __future__ import annotations

from steersman.meta.resources import SELFSUBJECTACCESSREVIEWS
from steersman.schema.kind import Kind

KIND = Kind(
    resource=SELFSUBJECTACCESSREVIEWS,
    definition="io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    singular="selfsubjectaccessreview",
    verbs=("create",),
    storage_prefix="",
    is_stored=False,
)
