"""Gives a pod what it gets of its own: asks every provider from where it could serve, lets the topology manager's policy
choose, and has the providers allocate there, one container after another.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Final

from steersman.aio.clock import Clock
from steersman.kubelet import podspec
from steersman.kubelet.metrics import KubeletMetrics, Scope
from steersman.kubelet.node_resources.machine_topology import NUMANode
from steersman.kubelet.node_resources.numa_hints import NOWHERE, Hint, NUMALayout, decide
from steersman.kubelet.node_resources.policies import PolicyError, TopologyManagerConfig
from steersman.kubelet.node_resources.provider import AllocationRefused, Provider
from steersman.kubelet.podspec import PodContainer, app_containers, init_containers
from steersman.kubelet.status import Verdict
from steersman.meta.objects import Object

AFFINITY: Final = Verdict(
    reason="TopologyAffinityError", message="Resources cannot be allocated with Topology locality"
)
SCOPES: Final[tuple[Scope, ...]] = ("container", "pod")
log = logging.getLogger(__name__)


def numa_layout(nodes: Sequence[NUMANode], config: TopologyManagerConfig) -> NUMALayout:
    """Raises ``PolicyError`` for a machine with more nodes than the policy can go through."""
    if config.policy != "none" and len(nodes) > config.max_numa_nodes:
        raise PolicyError(f"unsupported on machines with more than {config.max_numa_nodes} NUMA Nodes")
    distances = {node.id: node.distances for node in nodes} if config.prefer_closest else None
    return NUMALayout(nodes=tuple(node.id for node in nodes), distances=distances)


class ResourceAllocator:
    """Ask about one pod at a time."""

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        config: TopologyManagerConfig,
        layout: NUMALayout,
        clock: Clock,
        metrics: KubeletMetrics,
    ) -> None:
        """Providers allocate in this order."""
        self._providers = tuple(providers)
        self._config = config
        self._layout = layout
        self._clock = clock
        self._metrics = metrics
        self._guarantees = config.policy == "single-numa-node"
        """What is given comes from within one NUMA node, or not at all."""
        for scope, succeeded in product(SCOPES, (True, False)):
            metrics.aligned(scope, "numa_node", succeeded=succeeded, times=0)

    def wants(self, pod: Mapping[str, Any]) -> bool:
        return any(provider.wants(pod) for provider in self._providers)

    async def allocate(self, pod: Object) -> Verdict | None:
        began_s = self._clock.monotonic()
        self._metrics.topology_admissions.inc()
        verdict = await self._allocate(pod)
        if verdict is not None and self._config.policy != "none":
            self._metrics.topology_errors.inc()
        self._metrics.topology_durations.observe((self._clock.monotonic() - began_s) * 1000)
        return verdict

    async def _allocate(self, pod: Object) -> Verdict | None:
        affinity: Hint | None = NOWHERE
        by_pod = self._config.policy != "none" and self._config.scope == "pod"
        if by_pod:
            affinity = self._affinity(pod, None)
            if affinity is None:
                return self._not_aligned("pod")
        for container in (*init_containers(pod), *app_containers(pod)):
            if self._config.policy != "none" and not by_pod:
                affinity = self._affinity(pod, container)
            if affinity is None:
                return self._not_aligned("container")
            try:
                for provider in self._providers:
                    await provider.allocate(pod, container, affinity)
            except AllocationRefused as error:
                return Verdict(reason=error.reason, message=str(error))
            if self._guarantees and not by_pod:
                self._metrics.aligned("container", "numa_node", succeeded=True)
        if self._guarantees and by_pod:
            self._metrics.aligned("pod", "numa_node", succeeded=True)
        return None

    def _not_aligned(self, scope: Scope) -> Verdict:
        if self._guarantees:
            self._metrics.aligned(scope, "numa_node", succeeded=False)
        return AFFINITY

    def _affinity(self, pod: Object, container: PodContainer | None) -> Hint | None:
        """For one container or, for None, all of them; None where the policy does not admit what there is."""
        hints = [
            provider.pod_hints(pod) if container is None else provider.hints(pod, container)
            for provider in self._providers
        ]
        best, admitted = decide(self._config.policy, hints, self._layout)
        log.debug("%s %s: %s", podspec.full_name(pod), container.name if container else "", best)
        return best if admitted else None
