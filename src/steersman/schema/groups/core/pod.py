"""Pod: containers that run together on one node."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import PODS
from steersman.schema.groups.core.podspec.defaults import default_pod
from steersman.schema.groups.core.podtable import COLUMNS
from steersman.schema.kind import Kind, Subresource
from steersman.schema.selectable import flag_at, text_at
from steersman.schema.subresources import STATUS, proxy, upgrade


def _no_text(obj: Object) -> str:
    """Upstream accepts ``status.podIPs`` in field selectors and compares it with nothing."""
    return ""


KIND = Kind(
    resource=PODS,
    definition="io.k8s.api.core.v1.Pod",
    singular="pod",
    short_names=("po",),
    categories=("all",),
    subresources=(
        upgrade("attach", "PodAttachOptions"),
        Subresource(name="binding", verbs=("create",), kind="Binding"),
        Subresource(name="ephemeralcontainers", verbs=("get", "patch", "update")),
        Subresource(name="eviction", verbs=("create",), kind="Eviction", group="policy", version="v1"),
        upgrade("exec", "PodExecOptions"),
        Subresource(name="log", verbs=("get",)),
        upgrade("portforward", "PodPortForwardOptions"),
        proxy("PodProxyOptions"),
        Subresource(name="resize", verbs=("get", "patch", "update")),
        STATUS,
    ),
    storage_prefix="pods",
    selectable_fields={
        "spec.hostNetwork": flag_at("spec", "hostNetwork"),
        "spec.nodeName": text_at("spec", "nodeName"),
        "spec.restartPolicy": text_at("spec", "restartPolicy"),
        "spec.schedulerName": text_at("spec", "schedulerName"),
        "spec.serviceAccountName": text_at("spec", "serviceAccountName"),
        "status.nominatedNodeName": text_at("status", "nominatedNodeName"),
        "status.phase": text_at("status", "phase"),
        "status.podIP": text_at("status", "podIP"),
        "status.podIPs": _no_text,
    },
    has_status=True,
    delete_returns_object=True,
    default=default_pod,
    columns=COLUMNS,
)
