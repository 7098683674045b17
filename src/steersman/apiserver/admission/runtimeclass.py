"""RuntimeClass: a pod gets the overhead and scheduling of its runtime class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, Reader, ValidatingPlugin
from steersman.apiserver.admission.errors import refused
from steersman.meta import tolerations
from steersman.meta.objects import Object
from steersman.meta.quantities import quantity
from steersman.meta.resources import PODS, RUNTIMECLASSES


class RuntimeClass:
    NAME = "RuntimeClass"
    OPERATIONS = ("CREATE",)
    RESOURCES = (PODS,)
    SUBRESOURCES = ("",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        pod = request.obj
        if pod is None or not _concerns(request):
            return None
        runtime_class = self._class_of(request, pod)
        if runtime_class is None:
            return None
        changed = dict(pod.get("spec") or {})
        overhead = _overhead(runtime_class)
        if overhead is not None:
            if changed.get("overhead") and not _are_same(changed["overhead"], overhead):
                raise refused(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            changed["overhead"] = overhead
        _set_scheduling(request, changed, runtime_class.get("scheduling") or {})
        return {**pod, "spec": changed}

    async def validate(self, request: AdmissionRequest) -> None:
        """Webhooks may have changed the overhead."""
        pod = request.obj
        if pod is None or not _concerns(request):
            return
        given = (pod.get("spec") or {}).get("overhead") or {}
        runtime_class = self._class_of(request, pod)
        overhead = None if runtime_class is None else _overhead(runtime_class)
        if overhead is None:
            if given:
                raise refused(
                    request, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
                )
        elif not _are_same(given, overhead):
            raise refused(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")

    def _class_of(self, request: AdmissionRequest, pod: Object) -> Object | None:
        """None where the pod names none."""
        name = (pod.get("spec") or {}).get("runtimeClassName")
        if name is None:
            return None
        found = self._reader.get(RUNTIMECLASSES, "", name)
        if found is None:
            raise refused(request, f'pod rejected: RuntimeClass "{name}" not found')
        return found


def _concerns(request: AdmissionRequest) -> bool:
    return request.kind.resource == PODS and not request.subresource


def _overhead(runtime_class: Object) -> Mapping[str, Any] | None:
    overhead = runtime_class.get("overhead")
    return None if overhead is None else overhead.get("podFixed") or {}


def _are_same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return {name: quantity(amount) for name, amount in first.items()} == {
        name: quantity(amount) for name, amount in second.items()
    }


def _set_scheduling(request: AdmissionRequest, spec: Object, scheduling: Object) -> None:
    selector = dict(spec.get("nodeSelector") or {})
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.setdefault(key, value) != value:
            raise refused(
                request,
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = "
                f"{selector[key]}",
            )
    if selector:
        spec["nodeSelector"] = selector
    if scheduling.get("tolerations"):
        spec["tolerations"] = tolerations.merged(spec.get("tolerations") or (), scheduling["tolerations"])


def _conforms(reader: Reader) -> tuple[MutatingPlugin, ValidatingPlugin]:
    return RuntimeClass(reader), RuntimeClass(reader)
