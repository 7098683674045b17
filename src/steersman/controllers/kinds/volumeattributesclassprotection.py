"""VolumeAttributesClass protection: a class that a claim or a volume refers to is not removed.

watches: VolumeAttributesClasses; PersistentVolumeClaims and PersistentVolumes, by class.
owns: the finalizer ``kubernetes.io/vac-protection``.
writes: VolumeAttributesClasses (finalizers).
invariants: the finalizer goes only when no cached claim or volume names the class as wanted, current or being applied.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.protection import with_finalizer
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, VOLUMEATTRIBUTESCLASSES, Resource

NAME = "volumeattributesclass-protection-controller"
FINALIZER = "kubernetes.io/vac-protection"


def by_attributes_class(obj: Object) -> Iterable[str]:
    """Index: the classes that a claim or a volume refers to."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    names = (
        spec.get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return {name for name in names if name}


CLASS_WATCH = Watch(resource=VOLUMEATTRIBUTESCLASSES)
CLAIM_WATCH = Watch(resource=PERSISTENTVOLUMECLAIMS, indexers={"attributes-class": by_attributes_class})
VOLUME_WATCH = Watch(resource=PERSISTENTVOLUMES, indexers={"attributes-class": by_attributes_class})
WATCHES = (CLASS_WATCH, CLAIM_WATCH, VOLUME_WATCH)


class Plan(Struct, frozen=True, kw_only=True):
    """The class with other finalizers, where they change."""

    update: Object | None = None


def plan(found: Object, *, is_used: bool) -> Plan:
    wanted = with_finalizer(found, FINALIZER, is_used=is_used)
    return Plan(update=None if wanted is found else wanted)


class VolumeAttributesClassProtectionController:
    """Reconciles one VolumeAttributesClass by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._classes = context.informer(CLASS_WATCH)
        self._users = (context.informer(CLAIM_WATCH), context.informer(VOLUME_WATCH))

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is VOLUMEATTRIBUTESCLASSES:
            return (change.key,) if change.new is not None else ()
        if change.old is None:
            return ()
        still = by_attributes_class(change.new) if change.new is not None else ()
        return set(by_attributes_class(change.old)).difference(still)

    async def reconcile(self, key: str) -> Result:
        found = self._classes.get(key)
        if found is None:
            self._context.expectations.forget(key)
            return DONE
        is_used = any(users.by_index("attributes-class", key) for users in self._users)
        todo = plan(found, is_used=is_used)
        if todo.update is not None:
            updated = await self._context.client.update(VOLUMEATTRIBUTESCLASSES, todo.update)
            self._context.expectations.wrote(key, self._classes, updated)
        return DONE


def _conforms(context: Context) -> Controller:
    return VolumeAttributesClassProtectionController(context)
