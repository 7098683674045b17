"""What kubelets read from the API: pods, services, nodes. One kubelet watches its own; a fleet shares one watch of all."""

from __future__ import annotations

from collections.abc import Callable

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.informer import Change, Informer
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import NODES, PODS, SERVICES

Handler = Callable[[Change], None]


class Feeds:
    """Informers, and the routing of pod changes to the kubelet of the pod's node."""

    def __init__(self, client: Client, *, clock: Clock, node_name: str = "", node_labels: str = "") -> None:
        """``node_name``: only that node's pods. Without it every bound pod, and the nodes that ``node_labels`` selects."""
        self._clock = clock
        bound = f"spec.nodeName={node_name}" if node_name else "spec.nodeName!="
        self.pods = Informer(client, PODS, clock=clock, field_selector=bound)
        self.services = Informer(client, SERVICES, clock=clock)
        self.nodes = Informer(
            client,
            NODES,
            clock=clock,
            field_selector=f"metadata.name={node_name}" if node_name else "",
            label_selector=node_labels,
        )
        self._by_node: dict[str, Handler] = {}
        self._node_handlers: dict[str, Callable[[Object], None]] = {}
        self.pods.subscribe(self._route)
        self.nodes.subscribe(self._route_node)

    @property
    def synced(self) -> bool:
        return self.pods.synced and self.services.synced

    def attach(self, node_name: str, handler: Handler) -> None:
        """Call ``handler`` for every change of a pod of that node, beginning with those that are known."""
        self._by_node[node_name] = handler
        for pod in self.pods.list():
            if node_of(pod) == node_name:
                handler(Change("added", None, pod))

    def attach_node(self, node_name: str, handler: Callable[[Object], None]) -> None:
        """Call ``handler`` with the Node of that name whenever it changes."""
        self._node_handlers[node_name] = handler

    def detach(self, node_name: str) -> None:
        self._by_node.pop(node_name, None)
        self._node_handlers.pop(node_name, None)

    def pod(self, namespace: str, name: str, uid: str) -> Object | None:
        """The pod as last seen, if it is still this one."""
        found = self.pods.get(objects.make_key(namespace, name))
        return found if found is not None and objects.uid(found) == uid else None

    async def run(self) -> None:
        """Watch until cancelled."""
        async with TaskGroup("feeds") as group:
            for name, informer in (("pods", self.pods), ("services", self.services), ("nodes", self.nodes)):
                group.supervise(informer.run, name=name, clock=self._clock)
            await group.wait()

    def _route(self, change: Change) -> None:
        handler = self._by_node.get(node_of(change.object))
        if handler is None:
            return
        if change.old is not None and change.new is not None and change.old["spec"] == change.new["spec"]:
            change.new["spec"] = change.old["spec"]  # what was computed from it counts for as long as it is this one
        if change.old is not None and change.new is not None and objects.uid(change.old) != objects.uid(change.new):
            handler(Change("deleted", change.old, None))
            handler(Change("added", None, change.new))
        else:
            handler(change)

    def _route_node(self, change: Change) -> None:
        handler = self._node_handlers.get(objects.name(change.object))
        if handler is not None and change.new is not None:
            handler(change.new)


def node_of(pod: Object) -> str:
    """The node that ``pod`` is bound to."""
    return str(pod["spec"].get("nodeName") or "")
