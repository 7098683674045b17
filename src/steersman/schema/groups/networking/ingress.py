"""Ingress: HTTP routes from outside to Services."""

from __future__ import annotations

from steersman.meta.resources import INGRESSES
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

KIND = Kind(
    resource=INGRESSES,
    definition="io.k8s.api.networking.v1.Ingress",
    singular="ingress",
    short_names=("ing",),
    subresources=(STATUS,),
    storage_prefix="ingress",
    has_status=True,
    counts_generation=True,
)
