"""From which NUMA nodes devices of a resource could come."""

from __future__ import annotations

from collections.abc import Iterable

from steersman.kubelet.device_plugins.devices import DeviceList
from steersman.kubelet.node_resources.numa_hints import Hint, mask_of, node_sets


def device_hints(
    devices: DeviceList, count: int, *, free: frozenset[str], reusable: frozenset[str], nodes: Iterable[int]
) -> list[Hint]:
    """``nodes``: the machine's. Only those that have devices are looked at: there may be many that have none.

    What can be used again must be: sets of nodes that leave out some of it do not serve.
    """
    numbers = sorted(set(nodes) & {node for device in devices.known.values() for node in device.nodes})
    numbers = numbers or sorted(nodes)
    every = frozenset(devices.known)
    bound = reusable - devices.anywhere(reusable)
    smallest = len(numbers)
    found = []
    for chosen in node_sets(numbers):
        there = frozenset(chosen)
        if len(devices.near(every, there)) >= count:
            smallest = min(smallest, len(chosen))
        if bound <= devices.near(bound, there) and len(bound) + len(devices.near(free, there)) >= count:
            found.append(chosen)
    return [Hint(nodes=mask_of(chosen), preferred=len(chosen) == smallest) for chosen in found]
