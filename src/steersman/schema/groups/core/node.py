"""Node: a machine that pods run on."""

from __future__ import annotations

from steersman.meta.resources import NODES
from steersman.schema.kind import Kind
from steersman.schema.selectable import flag_at
from steersman.schema.subresources import STATUS, proxy

KIND = Kind(
    resource=NODES,
    definition="io.k8s.api.core.v1.Node",
    singular="node",
    short_names=("no",),
    subresources=(
        proxy("NodeProxyOptions"),
        STATUS,
    ),
    storage_prefix="minions",
    selectable_fields={"spec.unschedulable": flag_at("spec", "unschedulable")},
    has_status=True,
    keeps_status_on_create=True,
)
