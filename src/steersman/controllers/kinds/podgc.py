"""Pod garbage collection: pods that no kubelet will ever remove.

watches: Pods, by node; Nodes.
owns: nothing.
writes: Pods/status (phase Failed, condition DisruptionTarget), Pods (delete without grace).
invariants: pods of a node that is missing from the cache are deleted only after it was missing for 40 s and the server itself
says that it does not exist; finished pods only beyond the threshold, evicted and older ones first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from steersman.client.api import STRATEGIC_MERGE_PATCH
from steersman.client.informer import Change
from steersman.controllers import taints
from steersman.controllers.conditions import pod_condition
from steersman.controllers.pods import by_node, is_finished, node_name
from steersman.controllers.runtime import Context, Controller, Result, Watch, all_of
from steersman.meta import objects
from steersman.meta.errors import Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import NODES, PODS, Resource

NAME = "pod-garbage-collector-controller"
POD_WATCH = Watch(resource=PODS, indexers={"node": by_node})
NODE_WATCH = Watch(resource=NODES)
WATCHES = (POD_WATCH, NODE_WATCH)

PASS = ""
"""The one key: a look at all pods."""
PERIOD_S = 20.0
QUARANTINE_S = 40.0

Why = Literal["terminated", "out-of-service", "orphaned", "unscheduled"]


class Plan(Struct, frozen=True, kw_only=True):
    """Pods to delete, each once, and why; nodes that are missing and have to be asked for."""

    delete: Sequence[tuple[Object, Why]] = ()
    missing_nodes: frozenset[str] = frozenset()


def plan(pods: Sequence[Object], nodes: Mapping[str, Object], absent_nodes: Iterable[str], threshold: int) -> Plan:
    """``absent_nodes`` are known not to exist. ``threshold`` is how many finished pods may stay; 0: all."""
    found: dict[str, tuple[Object, Why]] = {}
    finished = sorted((pod for pod in pods if is_finished(pod)), key=_first_to_go)
    if threshold > 0 and len(finished) > threshold:
        for pod in finished[: len(finished) - threshold]:
            found[objects.uid(pod)] = (pod, "terminated")
    absent, missing = set(absent_nodes), set()
    for pod in pods:
        name = node_name(pod)
        if not name:
            if objects.is_deleting(pod):
                found.setdefault(objects.uid(pod), (pod, "unscheduled"))
            continue
        node = nodes.get(name)
        if node is None:
            missing.add(name)
            if name in absent:
                found.setdefault(objects.uid(pod), (pod, "orphaned"))
        elif objects.is_deleting(pod) and _is_out_of_service(node):
            found.setdefault(objects.uid(pod), (pod, "out-of-service"))
    return Plan(delete=[*found.values()], missing_nodes=frozenset(missing))


def _is_out_of_service(node: Object) -> bool:
    has_taint = any(taint["key"] == taints.OUT_OF_SERVICE for taint in taints.of_node(node))
    return has_taint and not objects.is_true(node, "Ready")


def _first_to_go(pod: Object) -> tuple[bool, str, str]:
    status = pod.get("status") or {}
    was_evicted = status.get("phase") == "Failed" and status.get("reason") == "Evicted"
    return (not was_evicted, objects.metadata(pod).get("creationTimestamp") or "", objects.name(pod))


class PodGarbageCollector:
    """Looks at all pods every 20 s."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pods = context.informer(POD_WATCH)
        self._nodes = context.informer(NODE_WATCH)
        self._missing_since_s: dict[str, float] = {}

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        return ()

    async def reconcile(self, key: str) -> Result:
        absent = await self._absent_nodes()
        nodes = {objects.name(node): node for node in self._nodes.list()}
        todo = plan(self._pods.list(), nodes, absent, self._context.config.terminated_pod_gc_threshold)
        now_s = self._context.clock.now()
        self._missing_since_s = {name: self._missing_since_s.get(name, now_s) for name in todo.missing_nodes}
        await all_of(self._delete(pod, why) for pod, why in todo.delete)
        return Result(requeue_after_s=PERIOD_S)

    async def _absent_nodes(self) -> list[str]:
        now_s, absent = self._context.clock.now(), []
        for name, since_s in self._missing_since_s.items():
            if now_s - since_s >= QUARANTINE_S and self._nodes.get(name) is None:
                try:
                    await self._context.client.get(NODES, name)
                except NotFound:
                    absent.append(name)
        return absent

    async def _delete(self, pod: Object, why: Why) -> None:
        client, name, namespace = self._context.client, objects.name(pod), objects.namespace(pod)
        try:
            if not is_finished(pod):
                status: Object = {"phase": "Failed", "observedGeneration": objects.generation(pod)}
                if why == "orphaned":
                    status["conditions"] = [
                        pod_condition(
                            pod, "DisruptionTarget", "True", self._context.clock.now(),
                            reason="DeletionByPodGC", message="PodGC: node no longer exists",
                        )
                    ]  # fmt: skip
                patch = {"metadata": {"uid": objects.uid(pod)}, "status": status}
                await client.patch(
                    PODS, name, patch, namespace=namespace, subresource="status", patch_type=STRATEGIC_MERGE_PATCH
                )
            await client.delete(PODS, name, namespace=namespace, grace_period_s=0, uid=objects.uid(pod))
        except (NotFound, Conflict):
            return


def _conforms(context: Context) -> Controller:
    return PodGarbageCollector(context)
