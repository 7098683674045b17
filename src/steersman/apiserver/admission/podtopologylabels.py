"""PodTopologyLabels: a pod gets the zone and the region of its node as labels, when it is bound or created there."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, Reader
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import NODES, PODS

LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels:
    NAME = "PodTopologyLabels"
    OPERATIONS = ("CREATE",)
    RESOURCES = (PODS,)
    SUBRESOURCES = ("", "binding")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        obj = request.obj
        if request.kind.resource != PODS or obj is None:
            return None
        if request.subresource == "binding":
            target = obj.get("target") or {}
            node = target.get("name") if target.get("kind") == "Node" else ""
        elif request.subresource:
            return None
        else:
            node = (obj.get("spec") or {}).get("nodeName")
        if not node:
            return None
        known = objects.labels(self._reader.get(NODES, "", node) or {})
        wanted = {label: known[label] for label in LABELS if label in known}
        labels = objects.labels(obj)
        if all(labels.get(label) == value for label, value in wanted.items()):
            return None
        return objects.with_metadata(obj, labels={**labels, **wanted})


def _conforms(reader: Reader) -> MutatingPlugin:
    return PodTopologyLabels(reader)
