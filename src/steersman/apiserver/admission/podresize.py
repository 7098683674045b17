"""PodResizeValidator: a pod is not resized beyond what its node could ever give it, nor on a node that cannot resize."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, Reader, ValidatingPlugin
from steersman.apiserver.admission.errors import refused
from steersman.meta import objects
from steersman.meta.errors import Forbidden
from steersman.meta.objects import Object
from steersman.meta.podtotals import pod_totals, whole
from steersman.meta.quantities import quantity
from steersman.meta.resources import NODES, PODS

OS_LABEL = "kubernetes.io/os"


class PodResize:
    NAME = "PodResizeValidator"
    OPERATIONS = ("UPDATE",)
    RESOURCES = (PODS,)
    SUBRESOURCES = ("resize",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def validate(self, request: AdmissionRequest) -> None:
        pod, old = request.obj, request.old
        if request.kind.resource != PODS or request.subresource != "resize" or pod is None or old is None:
            return
        node_name = pod["spec"].get("nodeName")
        if not node_name or objects.generation(pod) == objects.generation(old):
            return
        node = self._reader.get(NODES, "", node_name)
        if node is None:
            raise refused(request, f'node "{node_name}" not found')
        system = objects.labels(node).get(OS_LABEL, "linux")
        if system != "linux":
            why = f'pod resize is only supported on linux nodes, node "{node_name}" is "{system}"'
            raise _refused(request.name, why, "UnsupportedPlatform")
        excess = _excess(pod, node)
        if excess:
            why = f"node didn't have enough allocatable resources: {'; '.join(excess)}"
            raise _refused(request.name, why, "NodeCapacity")


def _excess(pod: Object, node: Object) -> list[str]:
    requests = pod_totals(pod["spec"], "requests")
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    found = []
    for name in ("cpu", "memory"):
        wanted, there = requests.get(name, 0), whole(name, quantity(allocatable.get(name, 0)))
        if wanted > there:
            found.append(f"{name}, requested: {wanted}, allocatable: {there}")
    return found


def _refused(name: str, why: str, cause: str) -> Forbidden:
    error = Forbidden.of(PODS, name, why)
    error.details["causes"] = [{"reason": cause}]
    return error


def _conforms(reader: Reader) -> ValidatingPlugin:
    return PodResize(reader)
