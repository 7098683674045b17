"""Node lifecycle: notices nodes that stopped reporting, and taints nodes by their conditions.

watches: Nodes; Leases in kube-node-lease (heartbeats); Pods, by node.
owns: the taints node.kubernetes.io/{not-ready,unreachable,unschedulable,*-pressure,network-unavailable} of Nodes.
writes: Nodes/status (conditions become Unknown), Nodes (taints, old os and arch labels), Pods/status (Ready becomes False), Events.
invariants: a node is judged by when this process last heard of it, not by the node's clock; NoExecute taints are added at a
limited rate in each zone and never while every zone is down; deleting the pods is the taint eviction controller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from steersman.client.api import STRATEGIC_MERGE_PATCH
from steersman.client.informer import Change
from steersman.controllers import nodehealth, taints
from steersman.controllers.nodehealth import Plan, Zone, Zones, ZoneState
from steersman.controllers.pods import by_node, created_s, is_ready
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects, times
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import LEASES, NODES, PODS, Resource

NAME = "node-lifecycle-controller"
LEASE_NAMESPACE = "kube-node-lease"
NODE_WATCH = Watch(resource=NODES)
LEASE_WATCH = Watch(resource=LEASES, namespace=LEASE_NAMESPACE)
POD_WATCH = Watch(resource=PODS, indexers={"node": by_node})
WATCHES = (NODE_WATCH, LEASE_WATCH, POD_WATCH)

plan = nodehealth.plan


class NodeLifecycleController:
    """Reconciles one Node by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._nodes = context.informer(NODE_WATCH)
        self._leases = context.informer(LEASE_WATCH)
        self._pods = context.informer(POD_WATCH)
        self._probed_s: dict[str, float] = {}
        self._zones = Zones(context.config)
        self._states: dict[Zone, ZoneState] = {}
        self._was_all_disrupted = False

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is LEASES:
            return self._heard_of(change)
        if resource is PODS:
            return self._silent_node_of(change)
        name = objects.name(change.object)
        self._note(name, change)
        self._zones.note(name, change.new)
        if change.new is None:
            self._probed_s.pop(name, None)
            self._event(change.object, "RemovingNode", f"Node {name} event: Removing Node {name} from Controller")
        elif change.old is None:
            self._event(change.new, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        return [name, *self._disruption_changed()]

    def _heard_of(self, change: Change) -> Iterable[str]:
        """A renewed Lease is a sign of life; it need not be looked at before the node's time is up."""
        if change.new is not None and objects.name(change.new) in self._probed_s:
            old, new = change.old or {}, change.new
            if (old.get("spec") or {}).get("renewTime") != (new.get("spec") or {}).get("renewTime"):
                self._probed_s[objects.name(new)] = self._context.clock.now()
        return ()

    def _note(self, name: str, change: Change) -> None:
        if change.new is None:
            return
        old = objects.condition(change.old, "Ready") if change.old is not None else None
        new = objects.condition(change.new, "Ready")
        if name not in self._probed_s:
            created_s_or_now = created_s(change.new) or self._context.clock.now()
            self._probed_s[name] = created_s_or_now if new is None else self._context.clock.now()
        elif (old or {}).get("lastHeartbeatTime") != (new or {}).get("lastHeartbeatTime"):
            self._probed_s[name] = self._context.clock.now()

    def _disruption_changed(self) -> Iterable[str]:
        """Nodes that a change of their zone's state concerns."""
        states, all_disrupted = self._zones.states(), self._zones.all_disrupted
        if states == self._states and all_disrupted == self._was_all_disrupted:
            return ()
        changed = {zone for zone in {*states, *self._states} if states.get(zone) != self._states.get(zone)}
        everything = all_disrupted != self._was_all_disrupted
        if everything and not all_disrupted:
            now_s = self._context.clock.now()
            self._probed_s = dict.fromkeys(self._probed_s, now_s)
        self._states, self._was_all_disrupted = states, all_disrupted
        return [objects.name(node) for node in self._nodes.list() if everything or nodehealth.zone_of(node) in changed]

    def _silent_node_of(self, change: Change) -> Iterable[str]:
        """A ready pod on a node that is not heard of."""
        if change.new is None or not is_ready(change.new):
            return ()
        node = self._nodes.get((change.new.get("spec") or {}).get("nodeName") or "")
        if node is None:
            return ()
        ready = objects.condition(node, "Ready")
        return (objects.name(node),) if ready is not None and ready["status"] == "Unknown" else ()

    async def reconcile(self, key: str) -> Result:
        node = self._nodes.get(key)
        if node is None:
            self._context.expectations.forget(key)
            return DONE
        now_s = self._context.clock.now()
        todo = plan(
            node,
            self._probed_s.get(key, now_s),
            now_s,
            self._context.config,
            all_disrupted=self._zones.all_disrupted,
        )
        if todo.status is not None:
            node = await self._context.client.update(NODES, todo.status, subresource="status")
            self._context.expectations.wrote(key, self._nodes, node)
            if todo.went_silent:
                self._event(node, "NodeNotReady", f"Node {key} status is now: NodeNotReady")
        wait_s = await self._write_node(key, node, todo, now_s)
        ready = objects.condition(node, "Ready")
        if ready is not None and ready["status"] == "Unknown":
            await self._mark_pods(key)
        waits = [wait for wait in (todo.requeue_after_s, wait_s) if wait is not None]
        return Result(requeue_after_s=min(waits, default=None))

    async def _write_node(self, key: str, node: Object, todo: Plan, now_s: float) -> float | None:
        """Taints and labels in one patch; how long an eviction has to wait still."""
        wanted, wait_s = todo.taints, None
        if todo.evict:
            wait_s = self._zones.eviction_wait_s(nodehealth.zone_of(node), now_s)
            if wait_s == 0:
                before = taints.of_node(node) if wanted is None else wanted
                wanted, wait_s = [*before, taints.made(todo.evict, "NoExecute", now_s)], None
        if wanted is None and todo.labels is None:
            return wait_s
        patch: Object = {"metadata": {"resourceVersion": objects.resource_version(node)}}
        if wanted is not None:
            patch["spec"] = {"taints": wanted or None}
        if todo.labels is not None:
            patch["metadata"]["labels"] = dict(todo.labels)
        patched = await self._context.client.patch(NODES, key, patch)
        self._context.expectations.wrote(key, self._nodes, patched)
        return wait_s

    async def _mark_pods(self, node: str) -> None:
        """Nobody knows whether pods of a silent node are ready: take them out of their Services."""
        for pod in self._pods.by_index("node", node):
            if not is_ready(pod):
                continue
            entry = {
                "type": "Ready",
                "status": "False",
                "lastTransitionTime": times.format_time(self._context.clock.now()),
            }
            patch = {"metadata": {"uid": objects.uid(pod)}, "status": {"conditions": [entry]}}
            try:
                patched = await self._context.client.patch(
                    PODS,
                    objects.name(pod),
                    patch,
                    namespace=objects.namespace(pod),
                    subresource="status",
                    patch_type=STRATEGIC_MERGE_PATCH,
                )
            except NotFound:
                continue
            self._context.expectations.wrote(node, self._pods, patched)
            self._context.events.event(pod, PODS, type="Warning", reason="NodeNotReady", message="Node is not ready")

    def _event(self, node: Object, reason: str, message: str, kind: Literal["Normal", "Warning"] = "Normal") -> None:
        self._context.events.event(node, NODES, type=kind, reason=reason, message=message)


def _conforms(context: Context) -> Controller:
    return NodeLifecycleController(context)
