"""Persistent volume binder: gives each claim a volume, takes volumes back from claims that are gone, asks for new ones.

watches: PersistentVolumes, by access modes; PersistentVolumeClaims, those without a volume; StorageClasses; Pods, by claim.
owns: the bindings between volumes and claims; recycler pods in ``default``.
writes: PersistentVolumes and their status, PersistentVolumeClaims and their status, Pods (recyclers), Events.
invariants: a claim gets one volume and a volume one claim, by uid; a volume is reclaimed only when the server itself says that
its claim is gone or bound elsewhere; what is behind a volume is deleted or emptied before the volume is deleted or free again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from steersman.client.informer import Change
from steersman.controllers.pods import by_claim, has_stopped, node_name
from steersman.controllers.provisioning import Provisioner
from steersman.controllers.recycling import NAMESPACE, PREFIX, Recycler
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.controllers.standing import Notice, StandingEvents
from steersman.controllers.storageobjects import StorageObjects
from steersman.controllers.volumebinding import (
    bound_claim,
    bound_volume,
    is_released,
    plan_claim,
    plan_volume,
    unbound_volume,
    waits_for_consumer,
    with_annotation,
)
from steersman.controllers.volumeplugins import (
    VolumePluginError,
    delete_host_path,
    deleter_of,
    finalizers_of,
    migrated_driver,
)
from steersman.controllers.volumes import (
    BETA_STORAGE_PROVISIONER,
    BIND_COMPLETED,
    IN_TREE_FINALIZER,
    MIGRATED_TO,
    PROVISIONED_BY,
    STORAGE_PROVISIONER,
    best_match,
    claim_key_of,
    class_of,
    default_class,
    modes_of,
    phase_of,
    spec_of,
)
from steersman.meta import objects
from steersman.meta.errors import Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, PODS, STORAGECLASSES, Resource

NAME = "persistentvolume-binder-controller"
CLAIM = "claim/"
VOLUME = "volume/"
ANY = ""


def by_modes(volume: Object) -> Iterable[str]:
    """Index: the volume's access modes."""
    return (",".join(sorted(modes_of(volume))),)


def by_wish(claim: Object) -> Iterable[str]:
    """Index: the volume that the claim names; ``ANY`` where it names none."""
    return (spec_of(claim).get("volumeName") or ANY,)


VOLUME_WATCH = Watch(resource=PERSISTENTVOLUMES, indexers={"modes": by_modes})
CLAIM_WATCH = Watch(resource=PERSISTENTVOLUMECLAIMS, indexers={"wish": by_wish})
CLASS_WATCH = Watch(resource=STORAGECLASSES)
POD_WATCH = Watch(resource=PODS, indexers={"claim": by_claim})
WATCHES = (VOLUME_WATCH, CLAIM_WATCH, CLASS_WATCH, POD_WATCH)


class PersistentVolumeBinder:
    """Reconciles one volume by ``volume/<name>`` or one claim by ``claim/<namespace>/<name>``; one worker, so that no two claims
    choose at the same time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._storage = StorageObjects(
            context.client, volumes=context.informer(VOLUME_WATCH), claims=context.informer(CLAIM_WATCH)
        )
        self._wishes = context.informer(CLAIM_WATCH)
        self._classes = context.informer(CLASS_WATCH)
        self._pods = context.informer(POD_WATCH)
        self._period_s = context.config.pv_claim_binder_sync_period_s
        self._standing = StandingEvents(context, period_s=self._period_s)
        self._recycler = Recycler(context, retry_s=self._period_s)
        self._provisioner = Provisioner(context, self._storage, self._standing)
        self._mode_sets: set[frozenset[str]] = set()

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is PERSISTENTVOLUMES:
            return self._concerned_by_volume(change)
        if resource is PERSISTENTVOLUMECLAIMS:
            volume = spec_of(change.object).get("volumeName")
            return (CLAIM + change.key, *((VOLUME + volume,) if volume else ()))
        if resource is STORAGECLASSES:
            return [CLAIM + objects.key_of(claim) for claim in self._wishes.by_index("wish", ANY)]
        keys = [CLAIM + key for key in by_claim(change.object) if self._is_pending(key)]
        name = objects.name(change.object)
        if name.startswith(PREFIX) and objects.namespace(change.object) == NAMESPACE:
            keys.append(VOLUME + name.removeprefix(PREFIX))
        return keys

    def _concerned_by_volume(self, change: Change) -> list[str]:
        volume = change.object
        self._mode_sets.add(modes_of(volume))
        wishes = self._wishes.by_index("wish", objects.name(volume))
        keys = [VOLUME + change.key, *(CLAIM + objects.key_of(claim) for claim in wishes)]
        claim = claim_key_of(volume)
        if claim:
            keys.append(CLAIM + claim)
        elif change.new is not None and phase_of(volume) == "Available":
            keys += [CLAIM + objects.key_of(claim) for claim in self._wishes.by_index("wish", ANY)]
        return keys

    def _is_pending(self, key: str) -> bool:
        claim = self._storage.claims.get(key)
        return claim is not None and not spec_of(claim).get("volumeName")

    async def reconcile(self, key: str) -> Result:
        if key.startswith(CLAIM):
            claim = self._storage.claims.get(key.removeprefix(CLAIM))
            return await self._sync_claim(claim) if claim is not None else DONE
        volume = self._storage.volumes.get(key.removeprefix(VOLUME))
        if volume is None:
            await self._recycler.give_up(key.removeprefix(VOLUME))
            return DONE
        return await self._sync_volume(volume)

    async def _sync_claim(self, claim: Object) -> Result:
        claim = await self._migrated(claim, PERSISTENTVOLUMECLAIMS, STORAGE_PROVISIONER, BETA_STORAGE_PROVISIONER)
        storage_class = self._classes.get(class_of(claim)) if class_of(claim) else None
        named = spec_of(claim).get("volumeName")
        is_open = not named and BIND_COMPLETED not in objects.annotations(claim)
        todo = plan_claim(
            claim,
            named=self._storage.volumes.get(named) if named else None,
            match=self._match(claim, promised_only=waits_for_consumer(storage_class)) if is_open else None,
            storage_class=storage_class,
            default=default_class(self._classes.list()) if is_open else None,
            unscheduled=self._unscheduled(claim) if is_open else (),
        )
        if todo.bind is not None:
            await self._bind(todo.bind, claim)
            return DONE
        if todo.set_class:
            wanted = {**claim, "spec": {**spec_of(claim), "storageClassName": todo.set_class}}
            await self._storage.save_claim(claim, wanted)
            return DONE
        if todo.provision is not None:
            await self._provisioner.provision(claim, todo.provision)
            return Result(requeue_after_s=self._period_s)
        changed = todo.phase is not None and await self._storage.set_claim_phase(claim, todo.phase, None) is not claim
        if todo.notice is not None and (changed or not todo.on_change):
            self._standing.tell(claim, PERSISTENTVOLUMECLAIMS, todo.notice)
        if todo.is_invalid:
            raise Conflict(f"invalid binding of claim {objects.key_of(claim)!r} to volume {named!r}")
        return Result(requeue_after_s=self._period_s) if todo.notice is not None and not todo.on_change else DONE

    def _match(self, claim: Object, *, promised_only: bool) -> Object | None:
        """The best volume among those with the fewest access modes that are enough."""
        wanted = modes_of(claim)
        for modes in sorted((modes for modes in self._mode_sets if wanted <= modes), key=lambda m: (len(m), sorted(m))):
            volumes = self._storage.volumes.by_index("modes", ",".join(sorted(modes)))
            found = best_match(claim, volumes, promised_only=promised_only)
            if found is not None:
                return found
        return None

    def _unscheduled(self, claim: Object) -> list[str]:
        users = self._pods.by_index("claim", objects.key_of(claim))
        return [objects.name(pod) for pod in users if not has_stopped(pod) and not node_name(pod)]

    async def _bind(self, volume: Object, claim: Object) -> None:
        """The four writes of a binding, each where it is still to be made."""
        volume = await self._storage.save_volume(volume, bound_volume(volume, claim))
        volume = await self._storage.set_volume_phase(volume, "Bound")
        claim = await self._storage.save_claim(claim, bound_claim(claim, volume))
        await self._storage.set_claim_phase(claim, "Bound", volume)

    async def _sync_volume(self, volume: Object) -> Result:
        volume = await self._migrated(volume, PERSISTENTVOLUMES, PROVISIONED_BY)
        finalizers = finalizers_of(volume)
        if finalizers != objects.finalizers(volume):
            volume = await self._storage.save_volume(
                volume, objects.with_metadata(volume, finalizers=finalizers or None)
            )
        claim = await self._claim_of(volume)
        todo = plan_volume(volume, claim)
        if todo.phase is not None:
            volume = await self._storage.set_volume_phase(volume, todo.phase)
        if todo.reclaim:
            return await self._reclaim(volume)
        if todo.unbind:
            await self._unbind(volume)
        if todo.wake_claim:
            self._context.queue.add(CLAIM + claim_key_of(volume))
        if todo.is_mismatched and claim is not None:
            self._tell_mismatch(volume, claim)
            return Result(requeue_after_s=self._period_s)
        return DONE

    async def _claim_of(self, volume: Object) -> Object | None:
        """The claim that the volume is bound to. The server is asked before a claim counts as gone: the cache may be behind."""
        reference = spec_of(volume).get("claimRef") or {}
        if not reference.get("uid"):
            return None
        claim = self._storage.claims.get(claim_key_of(volume))
        if claim is not None and objects.uid(claim) == reference["uid"]:
            return claim
        if claim is None and phase_of(volume) in ("Released", "Failed"):
            return None
        try:
            found = await self._client.get(
                PERSISTENTVOLUMECLAIMS, reference["name"], namespace=reference.get("namespace") or ""
            )
        except NotFound:
            return None
        return found if objects.uid(found) == reference["uid"] else None

    def _tell_mismatch(self, volume: Object, claim: Object) -> None:
        texts = (
            (volume, PERSISTENTVOLUMES, f'PersistentVolume to requested PersistentVolumeClaim "{objects.name(claim)}"'),
            (claim, PERSISTENTVOLUMECLAIMS, f'PersistentVolume "{objects.name(volume)}" to requested PersistentVolumeClaim'),
        )  # fmt: skip
        for obj, resource, what in texts:
            message = f"Cannot bind {what} due to incompatible volumeMode."
            self._standing.tell(obj, resource, Notice(type="Warning", reason="VolumeMismatch", message=message))

    async def _reclaim(self, volume: Object) -> Result:
        if objects.annotations(volume).get(MIGRATED_TO):
            return DONE
        match spec_of(volume).get("persistentVolumeReclaimPolicy"):
            case "Retain":
                return DONE
            case "Delete":
                return await self._delete(volume)
            case "Recycle":
                return await self._recycle(volume)
            case _:
                text = "Volume has unrecognized PersistentVolumeReclaimPolicy"
                await self._fail(volume, "VolumeUnknownReclaimPolicy", text)
                return DONE

    async def _delete(self, volume: Object) -> Result:
        try:
            if deleter_of(volume) == "external":
                return DONE
            fresh = await self._released(volume)
            if fresh is None:
                return DONE
            await delete_host_path(fresh, self._context.config.host_paths)
        except VolumePluginError as error:
            await self._fail(volume, "VolumeFailedDelete", str(error))
            return Result(requeue_after_s=self._period_s)
        kept = [name for name in objects.finalizers(fresh) if name != IN_TREE_FINALIZER]
        fresh = await self._storage.save_volume(fresh, objects.with_metadata(fresh, finalizers=kept or None))
        if not objects.is_deleting(fresh):
            await self._client.delete(PERSISTENTVOLUMES, objects.name(fresh), uid=objects.uid(fresh))
        return DONE

    async def _recycle(self, volume: Object) -> Result:
        fresh = await self._released(volume)
        if fresh is None:
            return DONE
        users = self._pods.by_index("claim", claim_key_of(fresh))
        busy = sorted(objects.key_of(pod) for pod in users if not has_stopped(pod))
        if busy and self._storage.claims.get(claim_key_of(fresh)) is None:
            text = f"Volume is used by pods: {','.join(busy)}"
            self._standing.tell(
                fresh, PERSISTENTVOLUMES, Notice(type="Normal", reason="VolumeFailedRecycle", message=text)
            )
            return Result(requeue_after_s=self._period_s)
        try:
            progress = await self._recycler.advance(fresh)
        except VolumePluginError as error:
            await self._fail(fresh, "VolumeFailedRecycle", str(error))
            return Result(requeue_after_s=self._period_s)
        if progress.is_empty:
            self._event(fresh, PERSISTENTVOLUMES, "Normal", "VolumeRecycled", "Volume recycled")
            await self._unbind(fresh)
        return Result(requeue_after_s=progress.again_after_s)

    async def _released(self, volume: Object) -> Object | None:
        """``volume`` as the server has it, if it is still to be reclaimed."""
        try:
            fresh = await self._client.get(PERSISTENTVOLUMES, objects.name(volume))
        except NotFound:
            return None
        if objects.uid(fresh) != objects.uid(volume):
            return None
        return fresh if is_released(fresh, self._storage.claims.get(claim_key_of(fresh))) else None

    async def _unbind(self, volume: Object) -> None:
        freed = await self._storage.save_volume(volume, unbound_volume(volume))
        await self._storage.set_volume_phase(freed, "Available")

    async def _fail(self, volume: Object, reason: str, message: str) -> None:
        if phase_of(volume) == "Failed":
            return
        failed = await self._storage.set_volume_phase(volume, "Failed", message)
        self._event(failed, PERSISTENTVOLUMES, "Warning", reason, message)

    async def _migrated(self, obj: Object, resource: Resource, *annotations: str) -> Object:
        """``obj`` marked with the CSI driver that carries out its in-tree provisioner's work."""
        driver = migrated_driver(obj, *annotations)
        if driver is None or driver == objects.annotations(obj).get(MIGRATED_TO, ""):
            return obj
        marked = with_annotation(obj, MIGRATED_TO, driver or None)
        save = self._storage.save_volume if resource is PERSISTENTVOLUMES else self._storage.save_claim
        return await save(obj, marked)

    def _event(self, obj: Object, resource: Resource, kind: Any, reason: str, message: str) -> None:
        self._context.events.event(obj, resource, type=kind, reason=reason, message=message)


def _conforms(context: Context) -> Controller:
    return PersistentVolumeBinder(context)
