"""DaemonSet: a pod on every matching node."""

from __future__ import annotations

from steersman.meta.resources import DAEMONSETS
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

KIND = Kind(
    resource=DAEMONSETS,
    definition="io.k8s.api.apps.v1.DaemonSet",
    singular="daemonset",
    short_names=("ds",),
    categories=("all",),
    subresources=(STATUS,),
    storage_prefix="daemonsets",
    has_status=True,
    counts_generation=True,
)
