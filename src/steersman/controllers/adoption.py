"""Which objects a controller owns: those that refer to it and still match, plus matching orphans that it adopts.

The controller reference decides ownership, the selector decides adoption and release. Source: "Garbage collection / owner
references" and the controller-ref design proposal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.client.api import STRATEGIC_MERGE_PATCH, Client
from steersman.client.informer import Informer
from steersman.controllers.expectations import Expectations
from steersman.controllers.pods import orphans_of
from steersman.meta import objects
from steersman.meta.errors import Conflict, Invalid, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.meta.selectors import LabelSelector


class Claims(Struct, frozen=True, kw_only=True):
    """What to do about candidates so that ownership is as the selector says."""

    owned: Sequence[Object]
    adopt: Sequence[Object] = ()
    release: Sequence[Object] = ()

    @property
    def settled(self) -> bool:
        return not self.adopt and not self.release


def claims(owner: Mapping[str, Any], selector: LabelSelector, candidates: Iterable[Object]) -> Claims:
    """Sort ``candidates`` (objects that ``owner`` controls, and orphans of its namespace). An owner that is being deleted
    neither adopts nor releases."""
    owned, adopt, release = [], [], []
    owner_uid, deleting = objects.uid(owner), objects.is_deleting(owner)
    for candidate in candidates:
        reference = objects.controller_of(candidate)
        matches = selector.matches(candidate["metadata"].get("labels"))
        if reference is not None:
            if reference["uid"] != owner_uid:
                continue
            if matches:
                owned.append(candidate)
            elif not deleting:
                release.append(candidate)
        elif matches and not deleting and not objects.is_deleting(candidate):
            adopt.append(candidate)
    return Claims(owned=owned, adopt=adopt, release=release)


def candidates(informer: Informer, owner: Mapping[str, Any], index: str = "controller") -> list[Object]:
    """What ``owner`` controls and the orphans of its namespace, from an informer indexed by ``pods.by_controller``."""
    return [
        *informer.by_index(index, objects.uid(owner)),
        *informer.by_index(index, orphans_of(objects.namespace(owner))),
    ]


class Ownership(Struct, frozen=True, kw_only=True):
    """Adopts and releases dependents of one resource for owners of another."""

    client: Client
    owner_resource: Resource
    dependents: Informer
    expectations: Expectations
    finalizers: Sequence[str] = ()
    """Finalizers that adoption adds and release removes."""

    async def settle(self, key: str, owner: Object, wanted: Claims) -> list[Object]:
        """Carry out ``wanted`` and return what ``owner`` owns now.

        Before adopting, the owner is read from the server: a cache may not know yet that it is being deleted.
        """
        for orphan_to_be in wanted.release:
            await self._release(key, owner, orphan_to_be)
        if not wanted.adopt:
            return list(wanted.owned)
        fresh = await self.client.get(self.owner_resource, objects.name(owner), namespace=objects.namespace(owner))
        if objects.uid(fresh) != objects.uid(owner):
            raise Conflict.of(self.owner_resource, objects.name(owner), "it was replaced by another of the same name")
        if objects.is_deleting(fresh):
            raise Conflict.of(self.owner_resource, objects.name(owner), "it has just been deleted")
        adopted = [await self._adopt(key, owner, orphan) for orphan in wanted.adopt]
        return [*wanted.owned, *(found for found in adopted if found is not None)]

    async def _adopt(self, key: str, owner: Object, orphan: Object) -> Object | None:
        reference = objects.controller_reference(owner, self.owner_resource)
        metadata: Object = {"ownerReferences": [reference], "uid": objects.uid(orphan)}
        if self.finalizers:
            metadata["finalizers"] = list(self.finalizers)
        return await self._patch(key, orphan, metadata)

    async def _release(self, key: str, owner: Object, dependent: Object) -> None:
        metadata: Object = {
            "ownerReferences": [{"$patch": "delete", "uid": objects.uid(owner)}],
            "uid": objects.uid(dependent),
        }
        if self.finalizers:
            metadata["$deleteFromPrimitiveList/finalizers"] = list(self.finalizers)
        await self._patch(key, dependent, metadata)

    async def _patch(self, key: str, dependent: Object, metadata: Object) -> Object | None:
        """None where the dependent is gone, or is another one of that name (the uid in the patch does not fit)."""
        try:
            patched = await self.client.patch(
                self.dependents.resource,
                objects.name(dependent),
                {"metadata": metadata},
                namespace=objects.namespace(dependent),
                patch_type=STRATEGIC_MERGE_PATCH,
            )
        except (NotFound, Invalid):
            return None
        self.expectations.wrote(key, self.dependents, patched)
        return patched
