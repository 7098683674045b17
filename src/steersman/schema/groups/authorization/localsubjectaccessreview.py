"""LocalSubjectAccessReview: whether somebody may do something in one namespace."""

from __future__ import annotations

from steersman.meta.errors import FieldError, invalid
from steersman.meta.objects import Object
from steersman.meta.resources import LOCALSUBJECTACCESSREVIEWS
from steersman.schema.groups.authorization.attributes import attribute_errors, metadata_errors, subject_errors
from steersman.schema.kind import Kind


def validate(obj: Object) -> list[FieldError]:
    errors = attribute_errors(obj) + subject_errors(obj) + metadata_errors(obj, allows_namespace=True)
    spec, namespace = obj.get("spec") or {}, obj["metadata"].get("namespace") or ""
    resource, url = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and (resource.get("namespace") or "") != namespace:
        asked = resource.get("namespace") or ""
        errors.append(invalid("spec.resourceAttributes.namespace", asked, "must match metadata.namespace"))
    if url is not None:
        errors.append(invalid("spec.nonResourceAttributes", url, "disallowed on this kind of request"))
    return errors


KIND = Kind(
    resource=LOCALSUBJECTACCESSREVIEWS,
    definition="io.k8s.api.authorization.v1.LocalSubjectAccessReview",
    singular="localsubjectaccessreview",
    verbs=("create",),
    storage_prefix="",
    is_stored=False,
    validate=validate,
)
