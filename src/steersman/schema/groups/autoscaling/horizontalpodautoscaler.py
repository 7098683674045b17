"""HorizontalPodAutoscaler: scales a workload by what its pods use. Stored as v2; v1 knows CPU utilization only."""

from __future__ import annotations

from steersman.meta.resources import HORIZONTALPODAUTOSCALERS, HORIZONTALPODAUTOSCALERS_V1
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

V2 = Kind(
    resource=HORIZONTALPODAUTOSCALERS,
    definition="io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    subresources=(STATUS,),
    storage_prefix="horizontalpodautoscalers",
    has_status=True,
)

V1 = Kind(
    resource=HORIZONTALPODAUTOSCALERS_V1,
    definition="io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    subresources=(STATUS,),
    storage_prefix="horizontalpodautoscalers",
    storage_version="v2",
    has_status=True,
)

KINDS = (V2, V1)
