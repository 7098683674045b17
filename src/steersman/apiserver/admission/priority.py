"""Priority: a pod's ``priorityClassName`` becomes its ``priority`` and ``preemptionPolicy``; one class at most is the default."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, Reader, ValidatingPlugin
from steersman.apiserver.admission.errors import refused
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PODS, PRIORITYCLASSES

_KEPT = ("priority", "preemptionPolicy")
"""What a replacement that does not mention them does not take away."""


class Priority:
    NAME = "Priority"
    OPERATIONS = ("CREATE", "UPDATE", "DELETE")
    RESOURCES = (PODS, PRIORITYCLASSES)
    SUBRESOURCES = ("",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        pod = request.obj
        if request.kind.resource != PODS or request.subresource or request.operation == "DELETE" or pod is None:
            return None
        spec = pod.get("spec") or {}
        if request.operation == "UPDATE":
            before = (request.old or {}).get("spec") or {}
            kept = {name: before[name] for name in _KEPT if before.get(name) is not None and spec.get(name) is None}
            return {**pod, "spec": {**spec, **kept}} if kept else None
        name, value, policy = self._resolve(request, spec)
        if spec.get("priority") is not None and spec["priority"] != value:
            raise refused(
                request,
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; priority admission "
                f"controller computed {value} from the given PriorityClass name",
            )
        if spec.get("preemptionPolicy") is not None and spec["preemptionPolicy"] != policy:
            raise refused(
                request,
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name",
            )
        changed = {**spec, "priority": value, "preemptionPolicy": policy}
        if name:
            changed["priorityClassName"] = name
        return {**pod, "spec": changed}

    def _resolve(self, request: AdmissionRequest, spec: Object) -> tuple[str, int, str]:
        name = spec.get("priorityClassName") or ""
        if not name:
            default = self._default()
            if default is None:
                return "", 0, "PreemptLowerPriority"
            return objects.name(default), *_values(default)
        found = self._reader.get(PRIORITYCLASSES, "", name)
        if found is None:
            raise refused(request, f"no PriorityClass with name {name} was found")
        return name, *_values(found)

    def _default(self) -> Object | None:
        defaults = [entry for entry in self._reader.list(PRIORITYCLASSES) if entry.get("globalDefault")]
        return min(defaults, key=lambda entry: entry.get("value") or 0, default=None)

    async def validate(self, request: AdmissionRequest) -> None:
        new = request.obj
        if request.kind.resource != PRIORITYCLASSES or request.operation not in ("CREATE", "UPDATE") or new is None:
            return
        if not new.get("globalDefault"):
            return
        for other in self._reader.list(PRIORITYCLASSES):
            if other.get("globalDefault") and objects.name(other) != objects.name(new):
                raise refused(
                    request,
                    f"PriorityClass {objects.name(other)} is already marked as default. Only one default can exist",
                )


def _values(entry: Object) -> tuple[int, str]:
    return int(entry.get("value") or 0), entry.get("preemptionPolicy") or "PreemptLowerPriority"


def _conforms(reader: Reader) -> tuple[MutatingPlugin, ValidatingPlugin]:
    return Priority(reader), Priority(reader)
