"""TTL: tells kubelets by the size of the cluster how long they may use what they have read of Secrets and ConfigMaps.

watches: Nodes.
owns: the annotation ``node.alpha.kubernetes.io/ttl`` of Nodes.
writes: Nodes (that annotation).
invariants: the steps overlap, so that a cluster on the edge of one does not change all its nodes to and fro.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import NODES, Resource

NAME = "ttl-controller"
NODE_WATCH = Watch(resource=NODES)
WATCHES = (NODE_WATCH,)

ANNOTATION = "node.alpha.kubernetes.io/ttl"
STEPS = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 2**31, 300))
"""(fewest nodes, most nodes, seconds)."""


class Plan(Struct, frozen=True, kw_only=True):
    """The annotation's new value; None: it is right."""

    ttl_s: int | None = None


def step_for(nodes: int, step: int) -> int:
    """The index of the step for so many nodes, coming from ``step``."""
    while nodes < STEPS[step][0]:
        step -= 1
    while nodes > STEPS[step][1]:
        step += 1
    return step


def plan(node: Object, ttl_s: int) -> Plan:
    return Plan() if objects.annotations(node).get(ANNOTATION) == str(ttl_s) else Plan(ttl_s=ttl_s)


class TTLController:
    """Reconciles one Node by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._nodes = context.informer(NODE_WATCH)
        self._step = 0

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        step = step_for(len(self._nodes), self._step)
        if step != self._step:
            self._step = step
            return [objects.name(node) for node in self._nodes.list()]
        return (change.key,) if change.new is not None else ()

    async def reconcile(self, key: str) -> Result:
        node = self._nodes.get(key)
        if node is None:
            self._context.expectations.forget(key)
            return DONE
        todo = plan(node, STEPS[self._step][2])
        if todo.ttl_s is not None:
            patch = {"metadata": {"uid": objects.uid(node), "annotations": {ANNOTATION: str(todo.ttl_s)}}}
            try:
                patched = await self._context.client.patch(NODES, key, patch)
            except NotFound:
                return DONE
            self._context.expectations.wrote(key, self._nodes, patched)
        return DONE


def _conforms(context: Context) -> Controller:
    return TTLController(context)
