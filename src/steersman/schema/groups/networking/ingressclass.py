"""IngressClass: which controller serves an Ingress."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import INGRESSCLASSES
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    parameters = (obj.get("spec") or {}).get("parameters")
    if parameters is not None and not parameters.get("scope"):
        parameters["scope"] = "Cluster"


KIND = Kind(
    resource=INGRESSCLASSES,
    definition="io.k8s.api.networking.v1.IngressClass",
    singular="ingressclass",
    storage_prefix="ingressclasses",
    counts_generation=True,
    default=default,
)
