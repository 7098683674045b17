"""Device taint eviction: deletes pods that use devices with NoExecute taints that their claims do not tolerate.

watches: Pods, by claim; ResourceClaims, by pool; ResourceSlices, by pool.
owns: nothing.
writes: Pods/status (condition DisruptionTarget), Pods (delete), Events.
invariants: only pods that have a node and that the claim is reserved for; of a pool's slices only those of its newest generation
count; tolerationSeconds run from when the taint was added. (DeviceTaintRules are an API that is off by default, and not served.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.client.api import STRATEGIC_MERGE_PATCH
from steersman.client.informer import Change
from steersman.controllers.podresourceclaims import allocation, by_resource_claim, claim_name, entries, is_reserved_for
from steersman.controllers.pods import node_name
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects, times
from steersman.meta.errors import Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import PODS, RESOURCECLAIMS, RESOURCESLICES, Resource

NAME = "device-taint-eviction-controller"
REASON = "DeletionByDeviceTaintManager"
MESSAGE = "Device Taint manager: deleting due to NoExecute taint"


def pool_key(driver: object, pool: object) -> str:
    return f"{driver}/{pool}"


def by_pool(piece: Object) -> Iterable[str]:
    """Index: the pool that the slice is a part of."""
    spec = piece.get("spec") or {}
    return (pool_key(spec.get("driver"), (spec.get("pool") or {}).get("name")),)


def by_allocated_pool(claim: Object) -> Iterable[str]:
    """Index: pools of the devices that are allocated to the claim."""
    return {pool_key(result.get("driver"), result.get("pool")) for result in results_of(claim)}


def results_of(claim: Mapping[str, Any]) -> Sequence[Object]:
    found: Sequence[Object] = ((allocation(claim) or {}).get("devices") or {}).get("results") or ()
    return found


POD_WATCH = Watch(resource=PODS, indexers={"resource-claim": by_resource_claim})
CLAIM_WATCH = Watch(resource=RESOURCECLAIMS, indexers={"allocated-pool": by_allocated_pool})
SLICE_WATCH = Watch(resource=RESOURCESLICES, indexers={"pool": by_pool})
WATCHES = (POD_WATCH, CLAIM_WATCH, SLICE_WATCH)


class Plan(Struct, frozen=True, kw_only=True):
    """When the pod has to go: epoch seconds; None: it may stay."""

    evict_at_s: float | None = None


def plan(pod: Object, used: Iterable[tuple[Object, Sequence[Object]]]) -> Plan:
    """``used``: each device allocated to a claim that is reserved for the pod, with the device's taints."""
    if not node_name(pod) or objects.is_deleting(pod):
        return Plan()
    moments = [
        moment for result, taints in used for taint in taints if (moment := _evict_at_s(result, taint)) is not None
    ]
    return Plan(evict_at_s=min(moments, default=None))


def _evict_at_s(result: Mapping[str, Any], taint: Mapping[str, Any]) -> float | None:
    if taint.get("effect") != "NoExecute":
        return None
    added_s = times.parse_time(taint["timeAdded"]) if taint.get("timeAdded") else 0.0
    fitting = [entry for entry in result.get("tolerations") or () if tolerates(entry, taint)]
    if any(entry.get("tolerationSeconds") is None for entry in fitting):
        return None
    return added_s + min((max(entry["tolerationSeconds"], 0) for entry in fitting), default=0)


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Only tolerations that name the effect count here."""
    if toleration.get("effect") != "NoExecute" or toleration.get("key", taint["key"]) not in ("", taint["key"]):
        return False
    operator = toleration.get("operator") or "Equal"
    same = (toleration.get("value") or "") == (taint.get("value") or "")
    return operator == "Exists" or (operator == "Equal" and same)


class DeviceTaintEvictionController:
    """Reconciles one Pod by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pods = context.informer(POD_WATCH)
        self._claims = context.informer(CLAIM_WATCH)
        self._slices = context.informer(SLICE_WATCH)
        self._waiting: set[str] = set()
        """Keys of pods that have to go later."""

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is PODS:
            pod = change.object
            is_user = bool(entries(pod)) and bool(node_name(pod))
            return (change.key,) if is_user or change.key in self._waiting else ()
        if resource is RESOURCECLAIMS:
            return self._users(change.key)
        pools = {pool for obj in (change.old, change.new) if obj is not None for pool in by_pool(obj)}
        claims = [claim for pool in pools for claim in self._claims.by_index("allocated-pool", pool)]
        return {key for claim in claims for key in self._users(objects.key_of(claim))}

    def _users(self, claim_key: str) -> list[str]:
        return [objects.key_of(pod) for pod in self._pods.by_index("resource-claim", claim_key) if node_name(pod)]

    async def reconcile(self, key: str) -> Result:
        pod = self._pods.get(key)
        if pod is None:
            self._waiting.discard(key)
            self._context.expectations.forget(key)
            return DONE
        todo = plan(pod, self._used(pod))
        if todo.evict_at_s is None:
            if key in self._waiting:
                self._waiting.discard(key)
                self._event(pod, "Cancelling deletion")
            return DONE
        wait_s = todo.evict_at_s - self._context.clock.now()
        if wait_s > 0:
            self._waiting.add(key)
            return Result(requeue_after_s=wait_s)
        self._waiting.discard(key)
        await self._evict(key, pod)
        return DONE

    def _used(self, pod: Object) -> Iterable[tuple[Object, Sequence[Object]]]:
        for entry in entries(pod):
            name = claim_name(pod, entry)
            claim = self._claims.get(objects.make_key(objects.namespace(pod), name)) if name else None
            if claim is None or not is_reserved_for(claim, pod):
                continue
            if entry.get("resourceClaimTemplateName") and not objects.is_controlled_by(claim, pod):
                continue
            for result in results_of(claim):
                yield result, self._taints_of(result)

    def _taints_of(self, result: Object) -> Sequence[Object]:
        slices = self._slices.by_index("pool", pool_key(result.get("driver"), result.get("pool")))
        generation = max((_generation(piece) for piece in slices), default=0)
        for piece in slices:
            if _generation(piece) == generation:
                for device in piece["spec"].get("devices") or ():
                    if device["name"] == result.get("device"):
                        return device.get("taints") or ()
        return ()

    async def _evict(self, key: str, pod: Object) -> None:
        client, name, namespace = self._context.client, objects.name(pod), objects.namespace(pod)
        self._event(pod, "Marking for deletion")
        entry = {
            "type": "DisruptionTarget", "status": "True", "reason": REASON, "message": MESSAGE,
            "lastTransitionTime": times.format_time(self._context.clock.now()),
        }  # fmt: skip
        patch = {"metadata": {"uid": objects.uid(pod)}, "status": {"conditions": [entry]}}
        try:
            if not objects.is_true(pod, "DisruptionTarget"):
                await client.patch(
                    PODS, name, patch, namespace=namespace, subresource="status", patch_type=STRATEGIC_MERGE_PATCH
                )
            await client.delete(PODS, name, namespace=namespace, uid=objects.uid(pod))
        except (NotFound, Conflict):
            return
        self._context.expectations.deleted(key, self._pods, pod)

    def _event(self, pod: Object, message: str) -> None:
        self._context.events.event(pod, PODS, type="Normal", reason="DeviceTaintManagerEviction", message=message)


def _generation(piece: Mapping[str, Any]) -> int:
    return int((piece["spec"].get("pool") or {}).get("generation") or 0)


def _conforms(context: Context) -> Controller:
    return DeviceTaintEvictionController(context)
