"""Persistent volume expander: tells who has to enlarge a volume whose claim asks for more.

watches: PersistentVolumeClaims, PersistentVolumes.
owns: nothing.
writes: PersistentVolumeClaims (the annotation that names the CSI driver's resizer), Events.
invariants: only claims that are bound to a volume that is bound to them; no built-in volume type can be enlarged any more, so an
external resizer does the work.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.controllers.standing import Notice, StandingEvents
from steersman.controllers.volumebinding import with_annotation
from steersman.controllers.volumeplugins import MIGRATED, in_tree_type
from steersman.controllers.volumes import PRE_RESIZE_CAPACITY, phase_of, spec_of
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import quantity
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, Resource

NAME = "persistentvolume-expander-controller"
RESIZER = "volume.kubernetes.io/storage-resizer"
REPEAT_S = 3600.0
"""Upstream tells it when the claim changes, and never again: an hour is the life of an Event."""
CLAIM_WATCH = Watch(resource=PERSISTENTVOLUMECLAIMS)
VOLUME_WATCH = Watch(resource=PERSISTENTVOLUMES)
WATCHES = (CLAIM_WATCH, VOLUME_WATCH)


class Plan(Struct, frozen=True, kw_only=True):
    """What to tell, and the claim with its annotation where that changes."""

    notice: Notice | None = None
    update: Object | None = None


def plan(claim: Object, volume: Object) -> Plan:
    """``volume`` is bound to ``claim``."""
    wanted = ((spec_of(claim).get("resources") or {}).get("requests") or {}).get("storage") or "0"
    has = ((claim.get("status") or {}).get("capacity") or {}).get("storage") or "0"
    if quantity(wanted) <= quantity(has) and PRE_RESIZE_CAPACITY not in objects.annotations(volume):
        return Plan()
    in_tree = in_tree_type(volume)
    if in_tree not in MIGRATED:
        text = "waiting for an external controller to expand this PVC"
        return Plan(notice=Notice(type="Normal", reason="ExternalExpanding", message=text))
    text = f"CSI migration enabled for {in_tree}; waiting for external resizer to expand the pvc"
    marked = claim
    if objects.annotations(claim).get(RESIZER) != MIGRATED[in_tree]:
        marked = with_annotation(claim, RESIZER, MIGRATED[in_tree])
    return Plan(
        notice=Notice(type="Normal", reason="ExternalExpanding", message=text),
        update=None if marked is claim else marked,
    )


class PersistentVolumeExpander:
    """Reconciles one PersistentVolumeClaim by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._claims = context.informer(CLAIM_WATCH)
        self._volumes = context.informer(VOLUME_WATCH)
        self._standing = StandingEvents(context, period_s=REPEAT_S)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is PERSISTENTVOLUMECLAIMS:
            return (change.key,) if change.new is not None and phase_of(change.new) == "Bound" else ()
        reference = spec_of(change.object).get("claimRef")
        if not reference or change.new is None or PRE_RESIZE_CAPACITY not in objects.annotations(change.new):
            return ()
        return (objects.make_key(reference.get("namespace") or "", reference.get("name") or ""),)

    async def reconcile(self, key: str) -> Result:
        claim = self._claims.get(key)
        if claim is None or phase_of(claim) != "Bound":
            self._context.expectations.forget(key)
            return DONE
        volume = self._volumes.get(spec_of(claim).get("volumeName") or "")
        if volume is None or (spec_of(volume).get("claimRef") or {}).get("uid") != objects.uid(claim):
            return DONE
        todo = plan(claim, volume)
        if todo.notice is not None:
            self._standing.tell(claim, PERSISTENTVOLUMECLAIMS, todo.notice)
        if todo.update is not None:
            updated = await self._context.client.update(PERSISTENTVOLUMECLAIMS, todo.update)
            self._context.expectations.wrote(key, self._claims, updated)
        return DONE


def _conforms(context: Context) -> Controller:
    return PersistentVolumeExpander(context)
