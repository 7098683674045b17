"""OwnerReferencesPermissionEnforcement: who changes owners must be allowed to delete the object, as that is what an owner's end
does to it; and who makes an owner wait for it must be allowed to set the owner's finalizers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from steersman.apiserver.admission.api import AdmissionRequest, ValidatingPlugin
from steersman.apiserver.admission.errors import refused
from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes, Authorizer
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PODS, Resource
from steersman.schema.equality import same

_NO_ERROR = ", <nil>"
"""What upstream prints for the error that an authorizer did not return."""


class KindFinder(Protocol):
    def resource_of(self, api_version: str, kind: str) -> Resource | None:
        """The resource whose objects have this ``apiVersion`` and ``kind``; None where none is served."""


class OwnerReferencesPermissionEnforcement:
    NAME = "OwnerReferencesPermissionEnforcement"
    OPERATIONS = ("CREATE", "UPDATE")

    def __init__(self, authorizer: Authorizer, kinds: KindFinder) -> None:
        self._authorizer = authorizer
        self._kinds = kinds

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None:
            return
        owners, before = objects.owner_references(request.obj), objects.owner_references(request.old or {})
        if len(owners) == len(before) and all(map(same, owners, before)):
            return
        if request.kind.resource == PODS and request.subresource == "status":
            return  # which never changes owners
        await self._check_deletion(request)
        blocking = list(_newly_blocking(owners, before))
        if blocking and not await self._may_finalize_anything(request.user):
            for owner in blocking:
                await self._check_finalizers(request, owner)

    async def _check_deletion(self, request: AdmissionRequest) -> None:
        if request.operation == "CREATE":
            return  # whoever creates it could as well not have
        resource = request.kind.resource
        decision = await self._authorizer.authorize(
            Attributes(
                user=request.user,
                verb="delete",
                namespace=request.namespace,
                group=resource.group,
                version=resource.version,
                resource=resource.plural,
                subresource=request.subresource,
                name=request.name,
            )
        )
        if not decision.allowed:
            why = f"cannot set an ownerRef on a resource you can't delete: {decision.reason}{_NO_ERROR}"
            raise refused(request, why)

    async def _may_finalize_anything(self, user: User) -> bool:
        attributes = Attributes(
            user=user, verb="update", group="*", version="*", resource="*", subresource="finalizers", name="*"
        )
        return (await self._authorizer.authorize(attributes)).allowed

    async def _check_finalizers(self, request: AdmissionRequest, owner: Object) -> None:
        api_version, kind = owner.get("apiVersion") or "", owner.get("kind") or ""
        resource = self._kinds.resource_of(api_version, kind)
        if resource is None:
            why = (
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion "
                f'{api_version} Kind {kind}: no matches for kind "{kind}" in version "{api_version}"'
            )
            raise refused(request, why)
        decision = await self._authorizer.authorize(
            Attributes(
                user=request.user,
                verb="update",
                namespace=request.namespace if resource.namespaced else "",
                group=resource.group,
                version=resource.version,
                resource=resource.plural,
                subresource="finalizers",
                name=owner.get("name") or "",
            )
        )
        if not decision.allowed:
            why = (
                "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: "
                f"{decision.reason}{_NO_ERROR}"
            )
            raise refused(request, why)


def _newly_blocking(owners: list[Object], before: list[Object]) -> Iterator[Object]:
    """Owners that from now on wait for this object before they go."""
    known = {owner.get("uid"): owner for owner in before}
    for owner in owners:
        if owner.get("blockOwnerDeletion") and not known.get(owner.get("uid"), {}).get("blockOwnerDeletion"):
            yield owner


def _conforms(authorizer: Authorizer, kinds: KindFinder) -> ValidatingPlugin:
    return OwnerReferencesPermissionEnforcement(authorizer, kinds)
