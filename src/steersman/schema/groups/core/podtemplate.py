"""PodTemplate: a pod template that stands alone."""

from __future__ import annotations

from steersman.meta.resources import PODTEMPLATES
from steersman.schema.kind import Kind

KIND = Kind(
    resource=PODTEMPLATES,
    definition="io.k8s.api.core.v1.PodTemplate",
    singular="podtemplate",
    storage_prefix="podtemplates",
    counts_generation=True,
    delete_returns_object=True,
)
