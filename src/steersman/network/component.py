"""The pod network agent: watches Nodes and keeps this machine's part of the pod network as the plan wants it.

Watches Nodes. Owns the CNI configuration, the routes marked with our protocol number and the nftables table
``steersman-network`` of its network namespace. Writes nothing to the API.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from msgspec import Struct

from steersman.aio.backoff import Backoff
from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.informer import Change, Informer
from steersman.meta.resources import NODES
from steersman.network import host
from steersman.network.plan import NetworkPlan, cni_configuration, firewall, plan

log = logging.getLogger(__name__)


class PodNetworkConfig(Struct, frozen=True, kw_only=True):
    """``routes_only`` is for a machine that is no node but must reach pods: an API server's."""

    node_name: str = ""
    cluster_ranges: tuple[str, ...] = ()
    cni_conf_dir: Path = Path("/etc/cni/net.d")
    ipam_data_dir: Path = Path("/var/lib/cni/networks")
    bridge: str = "steersman-pods"
    routes_only: bool = False


class PodNetwork:
    """One machine's part of the pod network."""

    def __init__(self, *, client: Client, clock: Clock, config: PodNetworkConfig) -> None:
        self._config = config
        self._clock = clock
        self._nodes = Informer(client, NODES, clock=clock)
        self._changed = asyncio.Event()
        self._applied: NetworkPlan | None = None
        self._nodes.subscribe(self._on_change)

    def ready(self) -> bool:
        """The network is as the last known nodes want it."""
        return self._applied is not None and not self._changed.is_set()

    async def run(self) -> None:
        """Until cancelled."""
        if not self._config.routes_only:
            for missing in host.set_sysctls():
                log.warning("this kernel has no %s; Services between pods of one node may fail", missing)
        async with TaskGroup("network") as group:
            group.spawn(self._nodes.run(), name="nodes")
            group.spawn(self._apply_for_ever(), name="apply")
            await group.wait()

    def _on_change(self, change: Change) -> None:
        self._changed.set()

    async def _apply_for_ever(self) -> None:
        await self._nodes.wait_synced()
        self._changed.set()
        backoff = Backoff(initial_s=0.5, cap_s=30.0)
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted = plan(self._config.node_name, self._nodes.list())
            if wanted == self._applied:
                continue
            try:
                await self._apply(wanted)
            except host.NetworkError as error:
                delay_s = backoff.next()
                log.error("%s; again in %.1f s", error, delay_s)
                await self._clock.sleep(delay_s)
                self._changed.set()
                continue
            backoff.reset()
            self._applied = wanted

    async def _apply(self, wanted: NetworkPlan) -> None:
        config = self._config
        await host.apply_routes(wanted.routes)
        if config.routes_only or not wanted.own_ranges:
            return
        ranges = config.cluster_ranges or wanted.own_ranges
        await host.apply_firewall(firewall(own_ranges=wanted.own_ranges, cluster_ranges=ranges))
        # Last: the runtime takes this file as the word that the network is ready.
        host.write_cni(
            config.cni_conf_dir,
            cni_configuration(
                bridge=config.bridge,
                ranges=wanted.own_ranges,
                mtu=await host.uplink_mtu(),
                data_dir=str(config.ipam_data_dir),
            ),
        )
        log.info("pod network %s, routes to %d other ranges", ", ".join(wanted.own_ranges), len(wanted.routes))
