"""IngressClass: which controller serves an Ingress."""

from __future__ import annotations

from steersman.meta.resources import INGRESSCLASSES
from steersman.schema.kind import Kind

KIND = Kind(
    resource=INGRESSCLASSES,
    definition="io.k8s.api.networking.v1.IngressClass",
    singular="ingressclass",
    storage_prefix="ingressclasses",
    counts_generation=True,
)
