"""EndpointSlice: for each Service with a selector, slices with the addresses of its pods, at most 100 in each.

watches: Services; Pods, by label; EndpointSlices; Nodes (zones).
owns: EndpointSlices labelled ``endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io``.
writes: EndpointSlices (create, update, delete), Events.
invariants: slices that others manage are left alone; endpoints stay in the slice they are in; per IP family one slice is always
there, empty where no pod is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import Struct, field

from steersman.client.informer import Change
from steersman.controllers import pods as podstate
from steersman.controllers import serviceendpoints, slices, topologyhints
from steersman.controllers.podcontrol import namespace_is_terminating
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects
from steersman.meta.errors import APIError, InternalError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTSLICES, NODES, PODS, SERVICES, Resource

NAME = "endpointslice-controller"
MANAGER = "endpointslice-controller.k8s.io"


def by_service(entry: Object) -> Iterable[str]:
    """Index: the Service that a slice of ours belongs to."""
    labels = objects.labels(entry)
    if labels.get(slices.MANAGED_BY) != MANAGER or not labels.get(slices.SERVICE_NAME):
        return ()
    return (objects.make_key(objects.namespace(entry), labels[slices.SERVICE_NAME]),)


SERVICE_WATCH = Watch(resource=SERVICES, indexers={"selector": serviceendpoints.by_selector})
POD_WATCH = Watch(resource=PODS, indexers={"label": serviceendpoints.by_label, "node": podstate.by_node})
SLICE_WATCH = Watch(resource=ENDPOINTSLICES, indexers={"service": by_service})
NODE_WATCH = Watch(resource=NODES)
WATCHES = (SERVICE_WATCH, POD_WATCH, SLICE_WATCH, NODE_WATCH)


class Made(Struct, frozen=True):
    """What a pod is to a Service in one address family: an endpoint with its ports, or nothing where ``key`` is None."""

    pod: Object
    key: slices.Ports | None = None
    ports: Sequence[Object] = ()
    endpoint: Object = field(default_factory=dict)
    identity: tuple[Any, ...] = ()


class Memory:
    """Endpoints of pods that are the same objects as at the last plan: of a Service of thousands of pods a few change at a time,
    and looking at the others has to cost next to nothing."""

    def __init__(self) -> None:
        self._made: dict[str, dict[str, Made]] = {}
        self._identities: dict[str, tuple[Object, Sequence[tuple[Any, ...]]]] = {}

    def of(self, family: str) -> Mapping[str, Made]:
        """By uid of the pod, as at the last plan."""
        return self._made.get(family, {})

    def keep(self, family: str, made: dict[str, Made]) -> None:
        """For the next plan, in place of what there was."""
        self._made[family] = made

    def identities(self, entry: Object) -> Sequence[tuple[Any, ...]]:
        """``slices.identities`` of a cached slice."""
        name = objects.name(entry)
        known = self._identities.get(name)
        if known is None or known[0] is not entry:
            known = self._identities[name] = (entry, slices.identities(entry))
        return known[1]

    def forget_slices(self, existing: Iterable[Object]) -> None:
        """Of slices that are not among ``existing`` any more."""
        names = {objects.name(entry) for entry in existing}
        if len(self._identities) > len(names):
            self._identities = {name: known for name, known in self._identities.items() if name in names}


class Plan(Struct, frozen=True, kw_only=True):
    """The slices to write, and what could not be said in them."""

    changes: slices.Changes
    unknown_nodes: Sequence[str] = ()
    """What to say of pods that are left out because their node is not known yet."""
    events: Sequence[topologyhints.Event] = ()
    """About hints by topology."""


def plan(
    service: Object,
    pods: Iterable[Object],
    existing: Sequence[Object],
    nodes: Mapping[str, Object],
    *,
    most_per_slice: int,
    topology: topologyhints.Topology | None = None,
    memory: Memory | None = None,
) -> Plan:
    """``existing`` are the slices of ours for ``service``; ``nodes`` those of its pods at least. ``memory`` is that of the
    last plan for the same version of ``service`` and of the nodes."""
    memory = memory if memory is not None else Memory()
    families = serviceendpoints.families_of(service)
    reference = objects.controller_reference(service, SERVICES)
    create: list[Object] = []
    update: list[Object] = []
    events: list[topologyhints.Event] = []
    delete = [entry for entry in existing if entry["addressType"] not in families]
    unknown: list[str] = []
    pods = list(pods)
    for family in families:
        ours: list[Object] = []
        foreign: list[Object] = []
        for entry in existing:
            if entry["addressType"] == family:
                is_owned = any(owner["uid"] == objects.uid(service) for owner in objects.owner_references(entry))
                (ours if is_owned else foreign).append(entry)
        delete += foreign
        groups = _groups(service, pods, nodes, family, unknown, memory)
        events += topologyhints.give_hints(service, family, groups, topology)
        template = slices.make(objects.name(service), objects.namespace(service), reference, family, [])
        changes = slices.pack(
            groups, ours, template, {"labels": labels_of(service)}, most_per_slice, identities=memory.identities
        )
        create += changes.create
        update += changes.update
        delete += changes.delete
    memory.forget_slices(existing)
    if objects.is_deleting(service):
        create = []
    return Plan(
        changes=slices.Changes(create=create, update=update, delete=delete),
        unknown_nodes=sorted(set(unknown)),
        events=events,
    )


def labels_of(service: Object) -> dict[str, str]:
    """The Service's own labels and those by which its slices are found."""
    reserved = (slices.SERVICE_NAME, slices.MANAGED_BY, serviceendpoints.HEADLESS_LABEL)
    labels = {key: text for key, text in objects.labels(service).items() if key not in reserved}
    if serviceendpoints.is_headless(service):
        labels[serviceendpoints.HEADLESS_LABEL] = ""
    return {**labels, slices.SERVICE_NAME: objects.name(service), slices.MANAGED_BY: MANAGER}


def _groups(
    service: Object,
    pods: Iterable[Object],
    nodes: Mapping[str, Object],
    family: str,
    unknown: list[str],
    memory: Memory,
) -> dict[slices.Ports, slices.Group]:
    groups: dict[slices.Ports, slices.Group] = {}
    known, fresh = memory.of(family), {}
    for pod in pods:
        uid = pod["metadata"]["uid"]
        made = known.get(uid)
        if made is None or made.pod is not pod:
            made = _made(service, pod, nodes, family)
            if made is None:
                node = podstate.node_name(pod)
                unknown.append(
                    f"skipping Pod {objects.name(pod)} for Service {objects.key_of(service)}: Node {node} Not Found"
                )
                continue
        fresh[uid] = made
        if made.key is None:
            continue
        group = groups.get(made.key)
        if group is None:
            group = groups[made.key] = slices.Group(ports=list(made.ports))
        group.endpoints[made.identity] = made.endpoint
    memory.keep(family, fresh)
    return groups


def _made(service: Object, pod: Object, nodes: Mapping[str, Object], family: str) -> Made | None:
    """None where it cannot be said yet, as the pod's node is not known."""
    if not serviceendpoints.may_be_endpoint(pod, terminating_too=True):
        return Made(pod)
    addresses = [ip for ip in serviceendpoints.addresses_of(pod) if serviceendpoints.family(ip) == family]
    if not addresses:
        return Made(pod)
    node = nodes.get(podstate.node_name(pod))
    if node is None and not service["spec"].get("publishNotReadyAddresses"):
        return None
    ports, endpoint = _ports(service, pod), _endpoint(service, pod, node, addresses)
    return Made(pod, slices.ports_key(ports), ports, endpoint, slices.identity(endpoint))


def _ports(service: Object, pod: Object) -> list[Object]:
    ports = []
    for port in service["spec"].get("ports") or ():
        number = serviceendpoints.port_of(pod, port)
        if number is None:
            continue
        made: Object = {"name": port.get("name") or "", "port": number, "protocol": port.get("protocol", "TCP")}
        if port.get("appProtocol"):
            made["appProtocol"] = port["appProtocol"]
        ports.append(made)
    return ports


def _endpoint(service: Object, pod: Object, node: Object | None, addresses: list[str]) -> Object:
    serving, terminating = podstate.is_ready(pod), objects.is_deleting(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    endpoint: Object = {
        "addresses": addresses,
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": serviceendpoints.target_of(pod),
    }
    if podstate.node_name(pod):
        endpoint["nodeName"] = podstate.node_name(pod)
    if node is not None and (zone := objects.labels(node).get(topologyhints.ZONE_LABEL)):
        endpoint["zone"] = zone
    if hostname := serviceendpoints.hostname_of(pod, service):
        endpoint["hostname"] = hostname
    return endpoint


class WriteFailed(Exception):
    """Slices could not be brought up to date; the message says which, ``cause`` what the server said."""

    def __init__(self, message: str, cause: APIError | None = None) -> None:
        super().__init__(message)
        self.cause = cause


@contextmanager
def _as_failure(what: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        raise WriteFailed(f"{what}: {error.message}", error) from error


def _aggregate(messages: Sequence[str]) -> str:
    """Several failures as upstream writes them."""
    return messages[0] if len(messages) == 1 else f"[{', '.join(messages)}]"


class EndpointSliceController:
    """Reconciles one Service by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._services = context.informer(SERVICE_WATCH)
        self._pods = context.informer(POD_WATCH)
        self._slices = context.informer(SLICE_WATCH)
        self._nodes = context.informer(NODE_WATCH)
        self._triggers = serviceendpoints.TriggerTimes()
        self._topology: topologyhints.Topology | None = None
        self._memories: dict[str, tuple[str, Memory]] = {}
        """Per Service: the version of it that the endpoints were made for."""
        self._told: dict[str, Sequence[topologyhints.Event]] = {}
        """Per Service the events recorded last: the same ones are not recorded with every reconcile."""

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is PODS:
            return self._batched(serviceendpoints.concerned_services(change, self._services))
        if resource is ENDPOINTSLICES:
            return {key for entry in (change.old, change.new) if entry is not None for key in by_service(entry)}
        if resource is NODES:
            return self._concerned_by_node(change)
        return (change.key,)

    def _batched(self, keys: Iterable[str]) -> Iterable[str]:
        period_s = self._context.config.endpointslice_updates_batch_period_s
        if not period_s:
            return keys
        for key in keys:
            self._context.queue.add_after(key, period_s)
        return ()

    def _concerned_by_node(self, change: Change) -> Iterable[str]:
        """Services with pods on a node that came, went or moved; all that spread by zone where the zones' sizes changed."""
        old, new = change.old, change.new
        if old is not None and new is not None and topologyhints.facts(old) == topologyhints.facts(new):
            return ()
        self._topology = None
        self._memories.clear()
        keys: set[str] = set()
        for pod in self._pods.by_index("node", objects.name(change.object)):
            keys |= serviceendpoints.services_of(pod, self._services)
        spread = (service for service in self._services.list() if topologyhints.spreads(service))
        return keys | {objects.key_of(service) for service in spread}

    async def reconcile(self, key: str) -> Result:
        service = self._services.get(key)
        if service is None:
            self._context.expectations.forget(key)
            self._triggers.forget(key)
            self._told.pop(key, None)
            self._memories.pop(key, None)
            return DONE
        if service["spec"].get("type") == "ExternalName" or not service["spec"].get("selector"):
            return DONE
        pods = serviceendpoints.pods_of(service, self._pods)
        memory = self._memory_of(key, service)
        todo = plan(
            service,
            pods,
            [entry for entry in self._slices.by_index("service", key) if not objects.is_deleting(entry)],
            self._nodes.as_mapping(),
            most_per_slice=self._context.config.max_endpoints_per_slice,
            topology=self._topology_for(service),
            memory=memory,
        )
        try:
            await self._execute(key, todo.changes, self._triggers.of(service, pods))
            if todo.unknown_nodes:
                raise WriteFailed(_aggregate(todo.unknown_nodes))
        except WriteFailed as failed:
            if failed.cause is not None and namespace_is_terminating(failed.cause):
                return DONE
            text = f"Error updating Endpoint Slices for Service {key}: {failed}"
            self._event(service, "Warning", "FailedToUpdateEndpointSlices", text)
            raise failed.cause or InternalError(str(failed)) from failed
        told = self._told.get(key, ())
        if list(todo.events) != list(told):
            self._told[key] = todo.events
            for event in todo.events or topologyhints.ended(told):
                self._event(service, event.type, event.reason, event.message)
        return DONE

    def _memory_of(self, key: str, service: Object) -> Memory:
        """Hints of proportions are put into endpoints, so those of such a Service are made anew each time."""
        version, memory = self._memories.get(key, ("", Memory()))
        if version != objects.resource_version(service) or topologyhints.spreads(service):
            memory = Memory()
        self._memories[key] = (objects.resource_version(service), memory)
        return memory

    def _topology_for(self, service: Object) -> topologyhints.Topology | None:
        if not topologyhints.spreads(service):
            return None
        if self._topology is None:
            self._topology = topologyhints.topology_of(self._nodes.list())
        return self._topology

    async def _execute(self, key: str, changes: slices.Changes, trigger_time: str | None) -> None:
        """Raises ``WriteFailed``."""
        client, expectations = self._context.client, self._context.expectations
        for entry in changes.create:
            with _as_failure(f"failed to create EndpointSlice for Service {key}"):
                created = await client.create(ENDPOINTSLICES, _triggered(entry, trigger_time))
            expectations.wrote(key, self._slices, created)
        for entry in changes.update:
            with _as_failure(f"failed to update {objects.name(entry)} EndpointSlice for Service {key}"):
                updated = await client.update(ENDPOINTSLICES, _triggered(entry, trigger_time))
            expectations.wrote(key, self._slices, updated)
        for entry in changes.delete:
            with _as_failure(f"failed to delete {objects.name(entry)} EndpointSlice for Service {key}"):
                try:
                    await client.delete(
                        ENDPOINTSLICES, objects.name(entry), namespace=objects.namespace(entry), uid=objects.uid(entry)
                    )
                except NotFound:
                    continue
            expectations.deleted(key, self._slices, entry)

    def _event(self, service: Object, kind: Any, reason: str, message: str) -> None:
        self._context.events.event(service, SERVICES, type=kind, reason=reason, message=message)


def _triggered(entry: Object, trigger_time: str | None) -> Object:
    annotations = dict(objects.annotations(entry))
    annotations.pop(serviceendpoints.TRIGGER_TIME, None)
    if trigger_time is not None:
        annotations[serviceendpoints.TRIGGER_TIME] = trigger_time
    return objects.with_metadata(entry, annotations=annotations or None)


def _conforms(context: Context) -> Controller:
    return EndpointSliceController(context)
