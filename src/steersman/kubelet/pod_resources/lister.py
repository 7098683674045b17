"""What containers have of their own, as the pod resources API tells it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from steersman.kubelet.container_manager import ContainerManager
from steersman.kubelet.device_plugins.devices import NO_NODE
from steersman.kubelet.node_resources.memory_state import Block
from steersman.kubelet.pod_resources.v1 import podresources_pb2 as pb
from steersman.kubelet.podspec import PodContainer, app_containers, init_containers
from steersman.meta import objects


def pod_resources(pod: Mapping[str, Any], manager: ContainerManager) -> pb.PodResources:
    """Of the containers that stay: init containers are over when anybody can look."""
    staying = [item for item in (*init_containers(pod), *app_containers(pod)) if item.stays]
    return pb.PodResources(
        name=objects.name(pod),
        namespace=objects.namespace(pod),
        containers=[_container(objects.uid(pod), item, manager) for item in staying],
    )


def allocatable(manager: ContainerManager) -> pb.AllocatableResourcesResponse:
    """What there is to give, given or not."""
    return pb.AllocatableResourcesResponse(
        devices=_allocatable_devices(manager),
        cpu_ids=sorted(manager.cpus.allocatable) if manager.cpus is not None else (),
        memory=_memory(manager.memory.allocatable) if manager.memory is not None else (),
    )


def pod_devices(pod: Mapping[str, Any], manager: ContainerManager) -> pb.PodResources:
    """As v1alpha1 has it, with the same field numbers: the devices of app containers."""
    return pb.PodResources(
        name=objects.name(pod),
        namespace=objects.namespace(pod),
        containers=[
            pb.ContainerResources(
                name=item.name,
                devices=[
                    pb.ContainerDevices(resource_name=each.resource_name, device_ids=each.device_ids)
                    for each in _devices(objects.uid(pod), item.name, manager)
                ],
            )
            for item in app_containers(pod)
        ],
    )


def _container(uid: str, container: PodContainer, manager: ContainerManager) -> pb.ContainerResources:
    name = container.name
    cpus = manager.cpus.assignments.of(uid, name) if manager.cpus is not None else None
    return pb.ContainerResources(
        name=name,
        devices=_devices(uid, name, manager),
        cpu_ids=sorted(cpus or ()),
        memory=_memory(manager.memory.blocks_of(uid, name)) if manager.memory is not None else (),
    )


def _devices(uid: str, container: str, manager: ContainerManager) -> Iterator[pb.ContainerDevices]:
    """Near to the nodes that they were near to when they were given."""
    if manager.devices is None:
        return
    for resource, given in sorted(manager.devices.assignments.of(uid, container).items()):
        for one in sorted(given.ids):
            nodes = sorted(node for node, ids in given.by_node.items() if one in ids and node != NO_NODE)
            yield from _device(resource, one, nodes)


def _allocatable_devices(manager: ContainerManager) -> Iterator[pb.ContainerDevices]:
    if manager.devices is None:
        return
    for resource, devices in sorted(manager.devices.allocatable().items()):
        for device in devices:
            yield from _device(resource, device.id, device.nodes)


def _device(resource: str, one: str, nodes: Iterable[int]) -> Iterator[pb.ContainerDevices]:
    """One for each node that it is near to; one without where it is near to none."""
    topologies: Sequence[pb.TopologyInfo | None] = [_topology([node]) for node in nodes] or [None]
    for topology in topologies:
        yield pb.ContainerDevices(resource_name=resource, device_ids=[one], topology=topology)


def _memory(blocks: Iterable[Block]) -> Iterator[pb.ContainerMemory]:
    for block in blocks:
        yield pb.ContainerMemory(memory_type=block.resource, size=block.size, topology=_topology(block.nodes))


def _topology(nodes: Iterable[int]) -> pb.TopologyInfo:
    return pb.TopologyInfo(nodes=[pb.NUMANode(ID=node) for node in nodes])
