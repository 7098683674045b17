"""ExtendedResourceToleration: a pod that asks for a device tolerates the taint of nodes that are dedicated to that device."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin
from steersman.meta.objects import Object
from steersman.meta.resources import PODS
from steersman.schema.groups.core.resourcenames import is_extended


class ExtendedResourceToleration:
    NAME = "ExtendedResourceToleration"
    OPERATIONS = ("CREATE", "UPDATE")
    RESOURCES = (PODS,)
    SUBRESOURCES = ("",)

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        pod = request.obj
        if request.kind.resource != PODS or request.subresource or pod is None:
            return None
        spec = pod.get("spec") or {}
        devices = {
            name
            for field in ("containers", "initContainers")
            for container in spec.get(field) or ()
            for name in (container.get("resources") or {}).get("requests") or {}
            if is_extended(name)
        }
        given = spec.get("tolerations") or []
        added = [toleration for name in sorted(devices) if (toleration := _of(name)) not in given]
        return {**pod, "spec": {**spec, "tolerations": [*given, *added]}} if added else None


def _of(device: str) -> Object:
    return {"key": device, "operator": "Exists", "effect": "NoSchedule"}


def _conforms() -> MutatingPlugin:
    return ExtendedResourceToleration()
