"""SubjectAccessReview: whether somebody may do something."""

from __future__ import annotations

from steersman.meta.errors import FieldError
from steersman.meta.objects import Object
from steersman.meta.resources import SUBJECTACCESSREVIEWS
from steersman.schema.groups.authorization.attributes import attribute_errors, metadata_errors, subject_errors
from steersman.schema.kind import Kind


def validate(obj: Object) -> list[FieldError]:
    return attribute_errors(obj) + subject_errors(obj) + metadata_errors(obj)


KIND = Kind(
    resource=SUBJECTACCESSREVIEWS,
    definition="io.k8s.api.authorization.v1.SubjectAccessReview",
    singular="subjectaccessreview",
    verbs=("create",),
    storage_prefix="",
    is_stored=False,
    validate=validate,
)
