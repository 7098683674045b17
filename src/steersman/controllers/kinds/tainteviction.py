"""Taint eviction: deletes pods from nodes with NoExecute taints that they do not tolerate, or not for so long.

watches: Nodes; Pods, by node.
owns: nothing.
writes: Pods/status (condition DisruptionTarget), Pods (delete), Events.
invariants: a pod that tolerates every NoExecute taint of its node for ever is not touched; tolerationSeconds run from when the
taint was added or the pod came, whichever is later, and do not start anew when the controller does.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from steersman.client.api import STRATEGIC_MERGE_PATCH
from steersman.client.informer import Change
from steersman.controllers import taints
from steersman.controllers.conditions import pod_condition
from steersman.controllers.pods import by_node, created_s, node_name
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects, times
from steersman.meta.errors import Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import NODES, PODS, Resource

NAME = "taint-eviction-controller"
POD_WATCH = Watch(resource=PODS, indexers={"node": by_node})
NODE_WATCH = Watch(resource=NODES)
WATCHES = (POD_WATCH, NODE_WATCH)

REASON = "DeletionByTaintManager"
MESSAGE = "Taint manager: deleting due to NoExecute taint"


class Plan(Struct, frozen=True, kw_only=True):
    """When the pod has to go: epoch seconds; None: it may stay."""

    evict_at_s: float | None = None


def plan(pod: Object, node: Object | None, seen_s: float) -> Plan:
    """``seen_s`` is when the controller first saw the pod under these taints; taints without a time count from then."""
    found = taints.no_execute(node) if node is not None else []
    if not found or objects.is_deleting(pod):
        return Plan()
    used = taints.matching((pod.get("spec") or {}).get("tolerations") or (), found)
    if used is None:
        return Plan(evict_at_s=0.0)
    limits = [entry["tolerationSeconds"] for entry in used if entry.get("tolerationSeconds") is not None]
    if not limits:
        return Plan()
    if min(limits) <= 0:
        return Plan(evict_at_s=0.0)
    added = [times.parse_time(taint["timeAdded"]) for taint in found if taint.get("timeAdded")]
    began_s = max(min(added), _came_s(pod)) if len(added) == len(found) else seen_s
    return Plan(evict_at_s=began_s + min(limits))


def _came_s(pod: Object) -> float:
    """When the pod was bound to its node."""
    scheduled = objects.condition(pod, "PodScheduled")
    if scheduled is not None and scheduled["status"] == "True" and scheduled.get("lastTransitionTime"):
        return times.parse_time(scheduled["lastTransitionTime"])
    return created_s(pod)


class TaintEvictionController:
    """Reconciles one Pod by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pods = context.informer(POD_WATCH)
        self._nodes = context.informer(NODE_WATCH)
        self._waiting: dict[str, tuple[str, float]] = {}
        """Key of a pod that has to go later -> (its uid, when it was first seen so)."""

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        old, new = change.old, change.new
        if resource is NODES:
            before = taints.no_execute(old) if old is not None else []
            after = taints.no_execute(new) if new is not None else []
            if before == after:
                return ()
            return [objects.key_of(pod) for pod in self._pods.by_index("node", objects.name(change.object))]
        if new is None:
            return (change.key,) if change.key in self._waiting else ()
        if not node_name(new):
            return ()
        if old is not None and node_name(old) == node_name(new) and objects.uid(old) == objects.uid(new):
            same = (old["spec"].get("tolerations") or []) == (new["spec"].get("tolerations") or [])
            if same:
                return ()
        node = self._nodes.get(node_name(new))
        return (change.key,) if node is None or taints.no_execute(node) else ()

    async def reconcile(self, key: str) -> Result:
        pod = self._pods.get(key)
        if pod is None:
            self._context.expectations.forget(key)
            self._cancel(key, None)
            return DONE
        now_s = self._context.clock.now()
        uid, seen_s = self._waiting.get(key, (objects.uid(pod), now_s))
        todo = plan(pod, self._nodes.get(node_name(pod)), seen_s if uid == objects.uid(pod) else now_s)
        if todo.evict_at_s is None:
            self._cancel(key, pod)
            return DONE
        if todo.evict_at_s > now_s:
            self._waiting[key] = (objects.uid(pod), seen_s)
            return Result(requeue_after_s=todo.evict_at_s - now_s)
        self._waiting.pop(key, None)
        await self._evict(key, pod)
        return DONE

    async def _evict(self, key: str, pod: Object) -> None:
        client, name, namespace = self._context.client, objects.name(pod), objects.namespace(pod)
        self._event(pod, f"Marking for deletion Pod {key}")
        now_s = self._context.clock.now()
        entry = pod_condition(pod, "DisruptionTarget", "True", now_s, reason=REASON, message=MESSAGE)
        patch = {"metadata": {"uid": objects.uid(pod)}, "status": {"conditions": [entry]}}
        try:
            if not objects.is_true(pod, "DisruptionTarget"):
                await client.patch(
                    PODS, name, patch, namespace=namespace, subresource="status", patch_type=STRATEGIC_MERGE_PATCH
                )
            await client.delete(PODS, name, namespace=namespace, uid=objects.uid(pod))
        except NotFound:
            return
        except Conflict:
            return
        self._context.expectations.deleted(key, self._pods, pod)

    def _cancel(self, key: str, pod: Object | None) -> None:
        if self._waiting.pop(key, None) is not None and pod is not None and not objects.is_deleting(pod):
            self._event(pod, f"Cancelling deletion of Pod {key}")

    def _event(self, pod: Object, message: str) -> None:
        self._context.events.event(pod, PODS, type="Normal", reason="TaintManagerEviction", message=message)


def _conforms(context: Context) -> Controller:
    return TaintEvictionController(context)
