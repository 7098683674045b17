"""Node IPAM: every node gets its own block of the cluster's pod addresses.

watches: Nodes.
owns: Nodes' spec.podCIDR and spec.podCIDRs where they are empty.
writes: Nodes (spec.podCIDR, spec.podCIDRs), Events.
invariants: no two nodes have the same block; what a node has is never changed; Service ranges are not given to nodes; nothing is
handed out before every node that exists has been seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.cidrs import CIDRExhausted, CIDRPool
from steersman.controllers.config import ControllerManagerConfig
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.controllers.standing import Notice, StandingEvents
from steersman.meta import objects
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.resources import NODES, Resource

NAME = "node-ipam-controller"
NODE_WATCH = Watch(resource=NODES)
WATCHES = (NODE_WATCH,)

RETRY_EXHAUSTED_S = 30.0


class Plan(Struct, frozen=True, kw_only=True):
    """The blocks to give; empty: nothing to do."""

    cidrs: Sequence[str] = ()


def plan(node: Object, pools: Sequence[CIDRPool]) -> Plan:
    """Takes a block from each pool for a node that has none. Raises ``CIDRExhausted``, nothing taken."""
    if cidrs_of(node) or objects.is_deleting(node):
        return Plan()
    taken: dict[CIDRPool, str] = {}
    for pool in pools:
        try:
            taken[pool] = pool.allocate()
        except CIDRExhausted:
            for used, cidr in taken.items():
                used.release(cidr)
            raise
    return Plan(cidrs=[*taken.values()])


def cidrs_of(node: Object) -> Sequence[str]:
    spec = node.get("spec") or {}
    found: Sequence[str] = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    return found


def pools_of(config: ControllerManagerConfig) -> list[CIDRPool]:
    """One for each cluster CIDR, without the Services' ranges."""
    pools = []
    for cidr in config.cluster_cidrs:
        mask = config.node_cidr_mask_size_ipv6 if ":" in cidr else config.node_cidr_mask_size_ipv4
        pool = CIDRPool(cidr, mask)
        for reserved in config.service_cidrs:
            pool.occupy(reserved)
        pools.append(pool)
    return pools


class NodeIPAMController:
    """Reconciles one Node by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._standing = StandingEvents(context, period_s=RETRY_EXHAUSTED_S)
        self._nodes = context.informer(NODE_WATCH)
        self._pools = pools_of(context.config)
        self._known: dict[str, Sequence[str]] = {}

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        name = objects.name(change.object)
        has = cidrs_of(change.new) if change.new is not None else ()
        if has or change.new is None:
            self._remember(name, has)
        return (name,)

    def _remember(self, name: str, cidrs: Sequence[str]) -> None:
        before = self._known.pop(name, ())
        for cidr in before:
            for pool in self._pools:
                pool.release(cidr)
        if cidrs:
            self._known[name] = cidrs
        for cidr in cidrs:
            for pool in self._pools:
                pool.occupy(cidr)

    async def reconcile(self, key: str) -> Result:
        node = self._nodes.get(key)
        if node is None:
            self._context.expectations.forget(key)
            return DONE
        try:
            todo = plan(node, self._pools)
        except CIDRExhausted:
            notice = Notice(type="Normal", reason="CIDRNotAvailable", message=_status_is_now(node, "CIDRNotAvailable"))
            self._standing.tell(node, NODES, notice)
            return Result(requeue_after_s=RETRY_EXHAUSTED_S)
        if not todo.cidrs:
            return DONE
        self._known[key] = todo.cidrs
        patch = {
            "metadata": {"uid": objects.uid(node)},
            "spec": {"podCIDR": todo.cidrs[0], "podCIDRs": list(todo.cidrs)},
        }
        try:
            patched = await self._context.client.patch(NODES, key, patch)
        except APIError:
            self._remember(key, ())
            text = _status_is_now(node, "CIDRAssignmentFailed")
            self._context.events.event(node, NODES, type="Normal", reason="CIDRAssignmentFailed", message=text)
            raise
        self._context.expectations.wrote(key, self._nodes, patched)
        return DONE


def _status_is_now(node: Object, status: str) -> str:
    return f"Node {objects.name(node)} status is now: {status}"


def _conforms(context: Context) -> Controller:
    return NodeIPAMController(context)
