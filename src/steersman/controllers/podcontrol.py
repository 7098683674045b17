"""Creating and deleting the pods of an owner, with the events that tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.client.informer import Informer
from steersman.controllers.podtemplate import pod_from
from steersman.controllers.runtime import Context
from steersman.meta import objects
from steersman.meta.errors import APIError, Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import PODS, Resource

NAMESPACE_TERMINATING = "NamespaceTerminating"


def namespace_is_terminating(error: APIError) -> bool:
    """The server refuses to create anything in a namespace that is being deleted: no failure of whoever tries."""
    return any(cause.get("reason") == NAMESPACE_TERMINATING for cause in error.causes())


class PodControl:
    """Writes pods for owners of one resource. Every write becomes an expectation of the key it was made for."""

    def __init__(self, context: Context, pods: Informer, owner_resource: Resource) -> None:
        self._context = context
        self._pods = pods
        self._resource = owner_resource

    async def create(self, key: str, template: Mapping[str, Any], owner: Object) -> Object | None:
        """Create one pod from ``template``; None where the namespace is being deleted. Raises what the server refuses with."""
        return await self.create_pod(key, pod_from(template, owner, self._resource), owner)

    async def create_pod(self, key: str, pod: Object, owner: Object) -> Object | None:
        """As ``create``, for a pod that is made already."""
        try:
            created = await self._context.client.create(PODS, pod)
        except APIError as error:
            if namespace_is_terminating(error):
                return None
            self._event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        self._context.expectations.wrote(key, self._pods, created)
        self._event(owner, "Normal", "SuccessfulCreate", f"Created pod: {objects.name(created)}")
        return created

    async def delete(self, key: str, pod: Object, owner: Object) -> None:
        """Delete ``pod`` if it is still the one that is cached."""
        name = objects.name(pod)
        try:
            await self._context.client.delete(PODS, name, namespace=objects.namespace(pod), uid=objects.uid(pod))
        except (NotFound, Conflict):
            return
        except APIError as error:
            self._event(owner, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            raise
        self._context.expectations.deleted(key, self._pods, pod)
        self._event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")

    def _event(self, owner: Object, kind: Any, reason: str, message: str) -> None:
        self._context.events.event(owner, self._resource, type=kind, reason=reason, message=message)
