"""NodeDeclaredFeatureValidator: a pod is not changed in a way that its node has not said it can carry out (KEP-5328)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from steersman.apiserver.admission.api import AdmissionRequest, Reader, ValidatingPlugin
from steersman.apiserver.admission.errors import refused
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import NODES, PODS
from steersman.schema.equality import same


def _resizes_pod(new: Object, old: Object) -> bool:
    return not same(new.get("resources"), old.get("resources"))


def _resizes_init_container(new: Object, old: Object) -> bool:
    """One that is no sidecar."""
    return any(
        before.get("restartPolicy") != "Always" and before.get("resources") != after.get("resources")
        for before, after in zip(old.get("initContainers") or (), new.get("initContainers") or (), strict=False)
    )


NEEDED_BY_UPDATES: Mapping[str, Callable[[Object, Object], bool]] = {
    "InPlacePodLevelResourcesVerticalScaling": _resizes_pod,
    "InPlacePodVerticalScalingInitContainers": _resizes_init_container,
}
"""Feature -> whether a change from the second pod spec to the first needs it; in the order of their names."""


class NodeDeclaredFeatureValidator:
    NAME = "NodeDeclaredFeatureValidator"
    OPERATIONS = ("UPDATE",)
    RESOURCES = (PODS,)
    SUBRESOURCES = ("", "resize")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def validate(self, request: AdmissionRequest) -> None:
        pod, old = request.obj, request.old
        if request.kind.resource != PODS or pod is None or old is None:
            return
        if request.subresource not in ("", "resize"):
            return
        spec = pod.get("spec") or {}
        name = spec.get("nodeName")
        if not name or objects.generation(pod) == objects.generation(old):
            return
        needed = [feature for feature, is_needed in NEEDED_BY_UPDATES.items() if is_needed(spec, old.get("spec") or {})]
        if not needed:
            return
        node = self._reader.get(NODES, "", name)
        if node is None:
            raise refused(request, f'node "{name}" not found')
        declared = (node.get("status") or {}).get("declaredFeatures") or ()
        missing = [feature for feature in needed if feature not in declared]
        if missing:
            why = f'pod update requires features {", ".join(missing)} which are not available on node "{name}"'
            raise refused(request, why)


def _conforms(reader: Reader) -> ValidatingPlugin:
    return NodeDeclaredFeatureValidator(reader)
