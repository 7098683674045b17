"""What the allocators of Services' addresses and node ports have given out, as metrics.

Durations of allocations are not measured: an address is an object of its own here, whose write the store's metrics have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from steersman.apiserver.metrics.series import counters, gauges

Scope = Literal["static", "dynamic"]
"""The user has chosen, or the server."""


class AllocationCounts:
    """Allocations and those that failed, by range and scope."""

    def __init__(self) -> None:
        self.done: dict[tuple[str, Scope], int] = {}
        self.errors: dict[tuple[str, Scope], int] = {}

    def succeeded(self, range_: str, scope: Scope, *, dry_run: bool) -> None:
        if not dry_run:
            self.done[range_, scope] = self.done.get((range_, scope), 0) + 1

    def failed(self, range_: str, scope: Scope) -> None:
        self.errors[range_, scope] = self.errors.get((range_, scope), 0) + 1


class AllocatorMetrics(Collector):
    """``addresses`` and ``ports`` tell what is taken and what is free, when they are asked."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        addresses: Callable[[], Mapping[str, tuple[int, int]]],
        address_counts: AllocationCounts,
        ports: Callable[[], tuple[int, int]],
        port_counts: AllocationCounts,
    ) -> None:
        self._addresses = addresses
        self._address_counts = address_counts
        self._ports = ports
        self._port_counts = port_counts
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        prefix = "kube_apiserver_clusterip_allocator"
        usage = self._addresses()
        for position, which in enumerate(("allocated", "available")):
            yield gauges(
                f"{prefix}_{which}_ips",
                f"Gauge measuring the number of {which} IPs for Services",
                ("cidr",),
                {(cidr,): counts[position] for cidr, counts in usage.items()},
            )
        labels, counts = ("cidr", "scope"), self._address_counts
        yield counters(f"{prefix}_allocation", "Number of Cluster IPs allocations", labels, dict(counts.done))
        text = "Number of errors trying to allocate Cluster IPs"
        yield counters(f"{prefix}_allocation_errors", text, labels, dict(counts.errors))
        yield from self._of_ports()

    def _of_ports(self) -> Iterator[Metric]:
        prefix = "kube_apiserver_nodeport_allocator"
        for which, count in zip(("allocated", "available"), self._ports(), strict=True):
            text = f"Gauge measuring the number of {which} NodePorts for Services"
            yield gauges(f"{prefix}_{which}_ports", text, (), {(): count})
        for name, text, counts in (
            ("allocation", "Number of NodePort allocations", self._port_counts.done),
            ("allocation_errors", "Number of errors trying to allocate NodePort", self._port_counts.errors),
        ):
            yield counters(
                f"{prefix}_{name}", text, ("scope",), {(scope,): count for (_, scope), count in counts.items()}
            )
