"""What happens to the instances of a custom resource whose definition is deleted: they are deleted first."""

from __future__ import annotations

import logging

from steersman.aio.clock import Clock
from steersman.apiserver import deletion
from steersman.apiserver.api import API
from steersman.apiserver.authn.api import User
from steersman.apiserver.call import Call
from steersman.apiserver.extensions.resource import CustomResource
from steersman.apiserver.extensions.served import CustomServed
from steersman.apiserver.options import DeleteOptions
from steersman.apiserver.requestinfo import RequestInfo
from steersman.client.api import Client
from steersman.meta.errors import APIError, Conflict, NotFound
from steersman.meta.objects import Object, is_true
from steersman.meta.resources import CUSTOMRESOURCEDEFINITIONS
from steersman.meta.wire import Request
from steersman.schema.groups.apiextensions import conditions
from steersman.store.api import StoreUnavailable

log = logging.getLogger(__name__)
CHECK_S = 60.0
"""How long instances may take to go before the definition says so; they are waited for none the less."""
RETRY_S = 1.0
_USER = User(name="system:apiserver", groups=("system:masters",))


class _AsStored(CustomServed):
    """Instances in whatever version they are stored: they go, also where the webhook that converts them is gone already."""

    def from_storage(self, obj: Object) -> Object:
        return obj

    def to_storage(self, obj: Object) -> Object:
        return obj


class Cleanup:
    """The cleanup of one definition."""

    def __init__(self, api: API, client: Client, *, clock: Clock) -> None:
        self._api = api
        self._client = client
        self._clock = clock

    async def run(self, name: str, custom: CustomResource | None) -> None:
        """Until the definition's finalizer is off. ``custom`` None: it never was served."""
        while True:
            try:
                if await self._attempt(name, custom):
                    return
            except (Conflict, NotFound):
                pass
            except (APIError, StoreUnavailable) as error:
                log.warning("instances of %s could not be deleted: %s", name, error)
                await self._clock.sleep(RETRY_S)

    async def _attempt(self, name: str, custom: CustomResource | None) -> bool:
        """True where there is nothing left to do. Raises ``APIError``."""
        try:
            crd: Object = await self._client.get(CUSTOMRESOURCEDEFINITIONS, name)
        except NotFound:
            return True
        if not conditions.is_cleaning_up(crd):
            return True
        if custom is None or not is_true(crd, "Established"):
            await self._finish(crd, "NeverEstablished", "resource was never established")
            return True
        crd = await self._tell(crd, "InstanceDeletionInProgress", "CustomResource deletion is in progress")
        served = _AsStored(custom, custom.versions[custom.storage_version])
        try:
            await self._delete_instances(served)
        except APIError as error:
            await self._tell(crd, "InstanceDeletionFailed", f"could not issue all deletes: {error.message}")
            raise
        try:
            await self._clock.wait_for(self._until_gone(served), CHECK_S)
        except TimeoutError:
            why = "could not confirm zero CustomResources remaining: timed out waiting for the condition"
            await self._tell(crd, "InstanceDeletionCheck", why)
            return False
        await self._finish(crd, "InstanceDeletionCompleted", "removed all instances")
        return True

    async def _tell(self, crd: Object, reason: str, message: str) -> Object:
        told = conditions.with_condition(crd, "Terminating", "True", reason, message, self._clock.now())
        if told is crd:
            return crd
        return await self._client.update(CUSTOMRESOURCEDEFINITIONS, told, subresource="status")

    async def _finish(self, crd: Object, reason: str, message: str) -> None:
        done = conditions.cleaned_up(crd, reason, message, self._clock.now())
        await self._client.update(CUSTOMRESOURCEDEFINITIONS, done, subresource="status")

    async def _delete_instances(self, served: CustomServed) -> None:
        for stored in self._api.objects.cached_list(served.prefix).items:
            metadata = stored.obj["metadata"]
            call = Call(
                request=Request(method="DELETE", path=served.resource.path()),
                info=RequestInfo(path=served.resource.path(), verb="delete", is_resource=True),
                received_s=self._clock.monotonic(),
                user=_USER,
            )
            try:
                await deletion.delete_object(
                    self._api,
                    served,
                    call,
                    metadata.get("namespace") or "",
                    metadata["name"],
                    DeleteOptions(),
                    admits=False,
                )
            except NotFound:
                continue

    async def _until_gone(self, served: CustomServed) -> None:
        """Instances with finalizers take as long as their controllers do."""
        subscription = self._api.objects.watch(served.prefix, start_revision=None)
        try:
            while self._api.objects.cached_list(served.prefix, limit=1).items:
                await subscription.__anext__()
        finally:
            subscription.close()
