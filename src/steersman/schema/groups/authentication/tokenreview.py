"""TokenReview: whether a bearer token is good, and whose."""

from __future__ import annotations

from steersman.meta.resources import TOKENREVIEWS
from steersman.schema.kind import Kind

KIND = Kind(
    resource=TOKENREVIEWS,
    definition="io.k8s.api.authentication.v1.TokenReview",
    singular="tokenreview",
    verbs=("create",),
    storage_prefix="",
    is_stored=False,
)
