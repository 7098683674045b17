"""Ephemeral volumes: a claim for each generic ephemeral volume of a pod.

watches: Pods, by claim; PersistentVolumeClaims.
owns: the claims ``<pod>-<volume>``, which go with their pod by garbage collection.
writes: PersistentVolumeClaims (create), Events.
invariants: a claim of that name that the pod does not control is never used nor changed; pods that are being deleted get none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.pods import by_claim
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects
from steersman.meta.errors import APIError, Invalid
from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PODS, Resource

NAME = "ephemeral-volume-controller"
POD_WATCH = Watch(resource=PODS, indexers={"claim": by_claim})
CLAIM_WATCH = Watch(resource=PERSISTENTVOLUMECLAIMS)
WATCHES = (POD_WATCH, CLAIM_WATCH)


class Plan(Struct, frozen=True, kw_only=True):
    """Claims to create, each with the name of its volume."""

    create: Sequence[tuple[str, Object]] = ()


def ephemeral_volumes(pod: Object) -> list[Object]:
    return [volume for volume in (pod.get("spec") or {}).get("volumes") or () if volume.get("ephemeral") is not None]


def claim_name(pod: Object, volume: Object) -> str:
    return f"{objects.name(pod)}-{volume['name']}"


def plan(pod: Object, existing: Iterable[str]) -> Plan:
    """``existing`` are names of claims that are there."""
    if objects.is_deleting(pod):
        return Plan()
    have = set(existing)
    missing = [volume for volume in ephemeral_volumes(pod) if claim_name(pod, volume) not in have]
    return Plan(create=[(volume["name"], claim_for(pod, volume)) for volume in missing])


def claim_for(pod: Object, volume: Object) -> Object:
    template = volume["ephemeral"].get("volumeClaimTemplate") or {}
    named = objects.metadata(template)
    metadata: Object = {
        "name": claim_name(pod, volume),
        "namespace": objects.namespace(pod),
        "ownerReferences": [objects.controller_reference(pod, PODS)],
    }
    metadata |= {field: named[field] for field in ("labels", "annotations") if named.get(field)}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": template.get("spec") or {},
    }


class EphemeralVolumeController:
    """Reconciles one Pod by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pods = context.informer(POD_WATCH)
        self._claims = context.informer(CLAIM_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is PODS:
            is_new = change.new is not None and (
                change.old is None or objects.uid(change.old) != objects.uid(change.new)
            )
            return (change.key,) if is_new and ephemeral_volumes(change.object) else ()
        if change.new is not None:
            return ()
        return [objects.key_of(pod) for pod in self._pods.by_index("claim", change.key) if ephemeral_volumes(pod)]

    async def reconcile(self, key: str) -> Result:
        pod = self._pods.get(key)
        if pod is None or objects.is_deleting(pod):
            self._context.expectations.forget(key)
            return DONE
        existing = []
        for volume in ephemeral_volumes(pod):
            name = claim_name(pod, volume)
            claim = self._claims.get(objects.make_key(objects.namespace(pod), name))
            if claim is None:
                continue
            existing.append(name)
            if not objects.is_controlled_by(claim, pod):
                claim_key, pod_key = objects.key_of(claim), objects.key_of(pod)
                raise self._failed(
                    pod, volume["name"], f"PVC {claim_key} was not created for pod {pod_key} (pod is not owner)"
                )
        for volume_name, claim in plan(pod, existing).create:
            await self._create(key, pod, volume_name, claim)
        return DONE

    async def _create(self, key: str, pod: Object, volume_name: str, claim: Object) -> None:
        try:
            created = await self._context.client.create(PERSISTENTVOLUMECLAIMS, claim)
        except APIError as error:
            raise self._failed(pod, volume_name, f"create PVC {objects.name(claim)}: {error.message}") from error
        self._context.expectations.wrote(key, self._claims, created)

    def _failed(self, pod: Object, volume: str, why: str) -> APIError:
        """The error to raise, after it was told: the claim may be removed by whoever made it, so it is tried again."""
        message = f"ephemeral volume {volume}: {why}"
        self._context.events.event(pod, PODS, type="Warning", reason="FailedBinding", message=message)
        return Invalid(message)


def _conforms(context: Context) -> Controller:
    return EphemeralVolumeController(context)
