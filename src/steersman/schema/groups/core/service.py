"""Service: a stable address for a set of pods."""

from __future__ import annotations

from steersman.meta.names import label_errors
from steersman.meta.resources import SERVICES
from steersman.schema.kind import Kind
from steersman.schema.selectable import text_at
from steersman.schema.subresources import STATUS, proxy

KIND = Kind(
    resource=SERVICES,
    definition="io.k8s.api.core.v1.Service",
    singular="service",
    short_names=("svc",),
    categories=("all",),
    subresources=(
        proxy("ServiceProxyOptions"),
        STATUS,
    ),
    storage_prefix="services/specs",
    selectable_fields={"spec.clusterIP": text_at("spec", "clusterIP"), "spec.type": text_at("spec", "type")},
    name_errors=label_errors,
    allows_create_on_update=True,
    has_status=True,
    delete_returns_object=True,
)
