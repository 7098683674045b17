"""RuntimeClass: a pod gets the overhead and scheduling of its runtime class."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, Reader
from steersman.meta.errors import Forbidden
from steersman.meta.objects import Object
from steersman.meta.quantities import quantity
from steersman.meta.resources import PODS, RUNTIMECLASSES


class RuntimeClass:
    NAME = "RuntimeClass"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        pod = request.obj
        if request.kind.resource != PODS or request.subresource or request.operation != "CREATE" or pod is None:
            return None
        spec = pod.get("spec") or {}
        name = spec.get("runtimeClassName")
        if not name:
            if spec.get("overhead"):
                raise Forbidden.of(
                    PODS,
                    request.name,
                    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
                )
            return None
        runtime_class = self._reader.get(RUNTIMECLASSES, "", name)
        if runtime_class is None:
            raise Forbidden.of(PODS, request.name, f'pod rejected: RuntimeClass "{name}" not found')
        changed = dict(spec)
        self._set_overhead(request, changed, runtime_class)
        self._set_scheduling(request, changed, runtime_class.get("scheduling") or {})
        return {**pod, "spec": changed}

    def _set_overhead(self, request: AdmissionRequest, spec: Object, runtime_class: Object) -> None:
        wanted = (runtime_class.get("overhead") or {}).get("podFixed")
        given = spec.get("overhead")
        if not wanted:
            if given:
                raise Forbidden.of(
                    PODS,
                    request.name,
                    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
                )
            return
        if given and {key: quantity(value) for key, value in given.items()} != {
            key: quantity(value) for key, value in wanted.items()
        }:
            raise Forbidden.of(
                PODS, request.name, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            )
        spec["overhead"] = wanted

    def _set_scheduling(self, request: AdmissionRequest, spec: Object, scheduling: Object) -> None:
        selector = dict(spec.get("nodeSelector") or {})
        for key, value in (scheduling.get("nodeSelector") or {}).items():
            if selector.setdefault(key, value) != value:
                raise Forbidden.of(
                    PODS,
                    request.name,
                    f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = "
                    f"{selector[key]}",
                )
        if selector:
            spec["nodeSelector"] = selector
        tolerations = list(spec.get("tolerations") or ())
        added = [entry for entry in scheduling.get("tolerations") or () if entry not in tolerations]
        if added:
            spec["tolerations"] = [*tolerations, *added]


def _conforms(reader: Reader) -> MutatingPlugin:
    return RuntimeClass(reader)
