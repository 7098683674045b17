"""NamespaceLifecycle: nothing is created in a namespace that is absent or going, and some namespaces always stay."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, Reader
from steersman.meta import objects
from steersman.meta.errors import Forbidden, NotFound
from steersman.meta.resources import NAMESPACES

IMMORTAL = ("default", "kube-system", "kube-public")
_ALWAYS_ALLOWED = frozenset({"subjectaccessreviews", "localsubjectaccessreviews"})


class NamespaceLifecycle:
    NAME = "NamespaceLifecycle"
    OPERATIONS = ("CREATE", "UPDATE", "DELETE")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def mutate(self, request: AdmissionRequest) -> None:
        """Refuses only; it stands among the mutating plugins so that nothing else looks at such a write."""
        resource = request.kind.resource
        if resource == NAMESPACES:
            if request.operation == "DELETE" and request.name in IMMORTAL:
                raise Forbidden.of(resource, request.name, "this namespace may not be deleted")
            return
        if request.operation != "CREATE" or not request.namespace or resource.plural in _ALWAYS_ALLOWED:
            return
        namespace = self._reader.get(NAMESPACES, "", request.namespace)
        if namespace is None:
            raise NotFound.of(NAMESPACES, request.namespace)
        if objects.is_deleting(namespace):
            error = Forbidden.of(
                resource,
                request.name,
                f"unable to create new content in namespace {request.namespace} because it is being terminated",
            )
            error.details["causes"] = [
                {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {request.namespace} is being terminated",
                    "field": "metadata.namespace",
                }
            ]
            raise error


def _conforms(reader: Reader) -> MutatingPlugin:
    return NamespaceLifecycle(reader)
