"""SelfSubjectRulesReview: what the caller may do in a namespace."""

from __future__ import annotations

from steersman.meta.resources import SELFSUBJECTRULESREVIEWS
from steersman.schema.kind import Kind

KIND = Kind(
    resource=SELFSUBJECTRULESREVIEWS,
    definition="io.k8s.api.authorization.v1.SelfSubjectRulesReview",
    singular="selfsubjectrulesreview",
    verbs=("create",),
    storage_prefix="",
    is_stored=False,
)
