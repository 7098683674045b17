"""DefaultIngressClass: a new Ingress that names no class gets the default one."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, Reader
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import INGRESSCLASSES, INGRESSES

IS_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
LEGACY_CLASS = "kubernetes.io/ingress.class"


class DefaultIngressClass:
    NAME = "DefaultIngressClass"
    OPERATIONS = ("CREATE",)
    RESOURCES = (INGRESSES,)
    SUBRESOURCES = ("",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        ingress = request.obj
        if request.kind.resource != INGRESSES or request.subresource or ingress is None:
            return None
        spec = ingress.get("spec") or {}
        if (
            request.operation != "CREATE"
            or spec.get("ingressClassName")
            or LEGACY_CLASS in objects.annotations(ingress)
        ):
            return None
        marked = [
            entry for entry in self._reader.list(INGRESSCLASSES) if objects.annotations(entry).get(IS_DEFAULT) == "true"
        ]
        if not marked:
            return None
        marked.sort(key=objects.name)
        newest = max(marked, key=lambda entry: objects.metadata(entry).get("creationTimestamp") or "")
        return {**ingress, "spec": {**spec, "ingressClassName": objects.name(newest)}}


def _conforms(reader: Reader) -> MutatingPlugin:
    return DefaultIngressClass(reader)
