"""Node: a machine that pods run on."""

from __future__ import annotations

from collections.abc import Callable

from steersman.meta.objects import Object, condition, labels
from steersman.meta.resources import NODES
from steersman.schema.cells import NONE, UNKNOWN
from steersman.schema.columns import AGE, NAME, computed, text, value_at
from steersman.schema.groups.core.resourcelist import default_amounts
from steersman.schema.kind import Kind
from steersman.schema.selectable import flag_at
from steersman.schema.subresources import STATUS, proxy

_ROLE_PREFIX = "node-role.kubernetes.io/"
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


def _status(obj: Object, now: float) -> str:
    ready = condition(obj, "Ready")
    words = ["Unknown"] if ready is None else ["Ready" if ready.get("status") == "True" else "NotReady"]
    if value_at(obj, "spec", "unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(obj: Object, now: float) -> str:
    roles = set()
    for key, value in labels(obj).items():
        if key.startswith(_ROLE_PREFIX):
            roles.add(key.removeprefix(_ROLE_PREFIX))
        elif key == "kubernetes.io/role":
            roles.add(value)
    return ",".join(sorted(roles - {""})) or NONE


def _address(kind: str) -> Callable[[Object, float], str]:
    def cell(obj: Object, now: float) -> str:
        entries = value_at(obj, "status", "addresses") or ()
        return next((str(entry["address"]) for entry in entries if entry.get("type") == kind), NONE)

    return cell


def _kernel(obj: Object, now: float) -> str:
    info = value_at(obj, "status", "nodeInfo") or {}
    version = info.get("kernelVersion") or UNKNOWN
    return f"{version} ({info['architecture']})" if info.get("architecture") else version


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
    columns=(
        NAME,
        computed("Status", _status, description="The status of the node"),
        computed("Roles", _roles, description="The roles of the node"),
        AGE,
        text(
            "Version",
            "status",
            "nodeInfo",
            "kubeletVersion",
            documented_by="io.k8s.api.core.v1.NodeSystemInfo/kubeletVersion",
        ),
        computed(
            "Internal-IP", _address("InternalIP"), priority=1, documented_by="io.k8s.api.core.v1.NodeStatus/addresses"
        ),
        computed(
            "External-IP", _address("ExternalIP"), priority=1, documented_by="io.k8s.api.core.v1.NodeStatus/addresses"
        ),
        text(
            "OS-Image",
            "status",
            "nodeInfo",
            "osImage",
            empty=UNKNOWN,
            priority=1,
            documented_by="io.k8s.api.core.v1.NodeSystemInfo/osImage",
        ),
        computed(
            "Kernel-Version", _kernel, priority=1, documented_by="io.k8s.api.core.v1.NodeSystemInfo/kernelVersion"
        ),
        text(
            "Container-Runtime",
            "status",
            "nodeInfo",
            "containerRuntimeVersion",
            empty=UNKNOWN,
            priority=1,
            documented_by="io.k8s.api.core.v1.NodeSystemInfo/containerRuntimeVersion",
        ),
    ),
)
