"""PV protection: a volume that is bound to a claim is not removed.

watches: PersistentVolumes.
owns: the finalizer ``kubernetes.io/pv-protection``.
writes: PersistentVolumes (finalizers).
invariants: the finalizer goes only when the volume is being deleted and is not Bound.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.protection import with_finalizer
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMES, Resource

NAME = "persistentvolume-protection-controller"
FINALIZER = "kubernetes.io/pv-protection"
VOLUME_WATCH = Watch(resource=PERSISTENTVOLUMES)
WATCHES = (VOLUME_WATCH,)


class Plan(Struct, frozen=True, kw_only=True):
    """The volume with other finalizers, where they change."""

    update: Object | None = None


def plan(volume: Object) -> Plan:
    is_used = (volume.get("status") or {}).get("phase") == "Bound"
    wanted = with_finalizer(volume, FINALIZER, is_used=is_used)
    return Plan(update=None if wanted is volume else wanted)


class PVProtectionController:
    """Reconciles one PersistentVolume by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._volumes = context.informer(VOLUME_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        return (change.key,) if change.new is not None else ()

    async def reconcile(self, key: str) -> Result:
        volume = self._volumes.get(key)
        if volume is None:
            self._context.expectations.forget(key)
            return DONE
        todo = plan(volume)
        if todo.update is not None:
            updated = await self._context.client.update(PERSISTENTVOLUMES, todo.update)
            self._context.expectations.wrote(key, self._volumes, updated)
        return DONE


def _conforms(context: Context) -> Controller:
    return PVProtectionController(context)
