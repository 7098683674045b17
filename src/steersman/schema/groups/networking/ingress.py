"""Ingress: HTTP routes from outside to Services."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import INGRESSES
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if status.get("loadBalancer") is None:
        status["loadBalancer"] = {}


KIND = Kind(
    resource=INGRESSES,
    definition="io.k8s.api.networking.v1.Ingress",
    singular="ingress",
    short_names=("ing",),
    subresources=(STATUS,),
    storage_prefix="ingress",
    has_status=True,
    counts_generation=True,
    default=default,
)
