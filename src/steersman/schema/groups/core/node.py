"""Node: a machine that pods run on."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import NODES
from steersman.schema.groups.core.resourcelist import default_amounts
from steersman.schema.kind import Kind
from steersman.schema.selectable import flag_at
from steersman.schema.subresources import STATUS, proxy

NODE_INFO_FIELDS = (
    "architecture",
    "bootID",
    "containerRuntimeVersion",
    "kernelVersion",
    "kubeProxyVersion",
    "kubeletVersion",
    "machineID",
    "operatingSystem",
    "osImage",
    "systemUUID",
)


def default(obj: Object) -> None:
    if obj.get("spec") is None:
        obj["spec"] = {}
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    capacity = status.get("capacity")
    if capacity:
        default_amounts(capacity)
    if status.get("allocatable"):
        default_amounts(status["allocatable"])
    elif capacity and status.get("allocatable") is None:
        status["allocatable"] = dict(capacity)
    if not status.get("daemonEndpoints"):
        status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": 0}}
    if status.get("nodeInfo") is None:
        status["nodeInfo"] = dict.fromkeys(NODE_INFO_FIELDS, "")


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
    default=default,
)
