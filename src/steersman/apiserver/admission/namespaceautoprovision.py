"""NamespaceAutoProvision and NamespaceExists: what to do about a namespace that is not there.

NamespaceLifecycle, which is on by default, refuses creations in such a namespace by itself.
"""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, Reader, ValidatingPlugin
from steersman.apiserver.admission.errors import refused
from steersman.client.api import Client
from steersman.meta.errors import AlreadyExists, APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import NAMESPACES


def _lacks_namespace(request: AdmissionRequest, reader: Reader) -> bool:
    """Names a namespace that is not there."""
    if not request.namespace or request.kind.resource == NAMESPACES:
        return False
    return reader.get(NAMESPACES, "", request.namespace) is None


class NamespaceAutoProvision:
    """Creates the namespace."""

    NAME = "NamespaceAutoProvision"
    OPERATIONS = ("CREATE",)

    def __init__(self, reader: Reader, client: Client) -> None:
        self._reader = reader
        self._client = client

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        if request.dry_run or not _lacks_namespace(request, self._reader):
            return None
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": request.namespace}}
        try:
            await self._client.create(NAMESPACES, namespace)
        except AlreadyExists:
            pass
        except APIError as error:
            raise refused(request, error.message) from error
        return None


class NamespaceExists:
    """Refuses the request."""

    NAME = "NamespaceExists"
    OPERATIONS = ("CREATE", "UPDATE", "DELETE")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def validate(self, request: AdmissionRequest) -> None:
        if _lacks_namespace(request, self._reader):
            raise NotFound.of(NAMESPACES, request.namespace)


def _conforms(reader: Reader, client: Client) -> tuple[MutatingPlugin, ValidatingPlugin]:
    return NamespaceAutoProvision(reader, client), NamespaceExists(reader)
