"""Keeps this kubelet's Node and Lease: registers, reports status, renews.

A status is written when something in it changed or after ``status_report_s``; the Lease is the heartbeat in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from steersman.aio.clock import Clock
from steersman.aio.timers import Timers
from steersman.client.api import STRATEGIC_MERGE_PATCH, Client
from steersman.client.transport import Unreachable
from steersman.kubelet import node_object
from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.device_plugins.devices import is_extended_resource
from steersman.kubelet.machine_facts import MachineFacts
from steersman.kubelet.network_state import NetworkState
from steersman.kubelet.node_object import NO_DEVICES, DeviceResources, NodeHealth
from steersman.kubelet.runtimes.api import Runtime, RuntimeServiceError, Version
from steersman.kubelet.runtimes.images import Image
from steersman.meta import objects
from steersman.meta.errors import AlreadyExists, APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import LEASES, NODES
from steersman.meta.times import format_micro_time

LEASE_NAMESPACE = "kube-node-lease"
UNREADY_CHECK_S = 0.3
"""How soon a node that is not Ready looks again whether it has become so; it writes only what has changed."""
RENEW_SHARE = 0.25
"""The Lease is renewed at this share of its duration."""
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 7.0
log = logging.getLogger(__name__)


def _nothing() -> str:
    return ""


class NodeSigns(Struct, frozen=True, kw_only=True):
    """What other parts of the kubelet know of the node's state, asked at each report."""

    pleg_error: Callable[[], str] = _nothing
    pressures: Callable[[], frozenset[str]] = frozenset
    """Types of the pressure conditions that hold."""
    shutting_down: Callable[[], bool] = lambda: False
    devices: Callable[[], DeviceResources] = lambda: NO_DEVICES
    is_new_node: Callable[[], bool] = lambda: False
    """Extended resources that the Node has are not known here: they are of a machine that had its name before."""


class NodeAgent:
    """One node. ``run`` keeps it until cancelled."""

    def __init__(
        self,
        *,
        client: Client,
        clock: Clock,
        config: KubeletConfig,
        facts: MachineFacts,
        addresses: tuple[str, ...],
        runtime: Runtime,
        network: NetworkState,
        timers: Timers,
        signs: NodeSigns,
        registered: Callable[[Object], None],
        announce: Callable[[str, str, str], None],
    ) -> None:
        """``registered`` is called with the Node each time this agent has read or written it; ``announce`` records an
        event about the node (type, reason, message)."""
        self._client = client
        self._clock = clock
        self._config = config
        self._facts = facts
        self._addresses = addresses
        self._runtime = runtime
        self._network = network
        self._timers = timers
        self._signs = signs
        self._registered = registered
        self._announce = announce
        self._woken = asyncio.Event()
        self._report_asked = False
        self._unschedulable = False
        self._node: Object | None = None
        self._version: Version | None = None
        self._lease: Object | None = None
        self._pod_cidr = ""

    @property
    def node(self) -> Object | None:
        """The Node as last read or written."""
        return self._node

    @property
    def reference(self) -> Object:
        """For events about the node (upstream uses its name as the uid)."""
        name = self._config.node_name
        return {"kind": "Node", "apiVersion": "v1", "name": name, "uid": objects.uid(self._node or {}) or name}

    def observed(self, node: Object) -> None:
        """The Node as a watch saw it: others change its spec, its labels and some of its conditions."""
        if self._node is not None and objects.uid(node) == objects.uid(self._node):
            self._node = node

    def report_soon(self) -> None:
        """Something that the status tells of has changed."""
        self._report_asked = True
        self._woken.set()

    async def run(self) -> None:
        """Register, then report and renew."""
        self._announce("Normal", "Starting", "Starting kubelet.")
        if self._config.register_node:
            await self._register()
        report_s = 0.0
        renew_s = 0.0
        interval_s = self._config.lease_duration_s * RENEW_SHARE
        while True:
            now_s = self._clock.monotonic()
            if now_s >= renew_s:
                await self._attempt("renew the lease", self._renew)
                renew_s = now_s + interval_s
            if now_s >= report_s or self._report_asked or self._has_new_pod_cidr():
                self._report_asked = False
                await self._attempt("report the status", self.report)
                is_ready = objects.is_true(self._node or {}, "Ready")
                report_s = now_s + (self._config.status_update_s if is_ready else UNREADY_CHECK_S)
            await self._pause(min(renew_s, report_s) - self._clock.monotonic())

    async def _pause(self, delay_s: float) -> None:
        """Until then, or until somebody wants a report."""
        if delay_s > 0 and not self._report_asked:
            self._timers.after(("node", self._config.node_name), delay_s, self._woken.set)
            await self._woken.wait()
        self._woken.clear()

    async def report(self) -> None:
        """Write the status if it has something new to say."""
        node = self._node or await self._client.get(NODES, self._config.node_name)
        self._set(node)
        previous: Mapping[str, Any] = node.get("status") or {}
        health, images = await self._health()
        now_s = self._clock.now()
        status = node_object.node_status(
            self._config,
            self._facts,
            addresses=self._addresses,
            version=self._version,
            health=health,
            images=images,
            previous=previous,
            port=self._config.port,
            now_s=now_s,
            devices=self._signs.devices(),
        )
        for kind, reason, message in node_object.status_events(status, previous, name=self._config.node_name):
            self._announce(kind, reason, message)
        self._tell_schedulable(node)
        stale = node_object.heartbeat_age_s(previous, now_s) >= self._config.status_report_s
        if node_object.differs(status, previous) or stale:
            patch = {"status": {**status, "addresses": _replaced(previous.get("addresses"), status["addresses"])}}
            try:
                self._set(
                    await self._client.patch(
                        NODES, self._config.node_name, patch, subresource="status", patch_type=STRATEGIC_MERGE_PATCH
                    )
                )
            except NotFound:
                self._node = None
                await self._register()
                raise
        await self._tell_pod_cidr()

    async def _health(self) -> tuple[NodeHealth, list[Image]]:
        try:
            if self._version is None:
                self._version = await self._runtime.version()
            status = await self._runtime.status()
            self._network.observe(status)
            images = list(await self._runtime.list_images())
        except RuntimeServiceError as error:
            return self._with_signs(NodeHealth(runtime_error=str(error))), []
        return self._with_signs(NodeHealth(runtime=status, pleg_error=self._signs.pleg_error())), images

    def _with_signs(self, health: NodeHealth) -> NodeHealth:
        return replace(health, shutting_down=self._signs.shutting_down(), pressures=self._signs.pressures())

    def _tell_schedulable(self, node: Object) -> None:
        unschedulable = bool((node.get("spec") or {}).get("unschedulable"))
        if unschedulable != self._unschedulable:
            self._unschedulable = unschedulable
            reason = "NodeNotSchedulable" if unschedulable else "NodeSchedulable"
            self._announce("Normal", reason, f"Node {self._config.node_name} status is now: {reason}")

    def _has_new_pod_cidr(self) -> bool:
        return self._node is not None and (self._node.get("spec") or {}).get("podCIDR", "") not in ("", self._pod_cidr)

    async def _tell_pod_cidr(self) -> None:
        """The runtime learns the node's pod CIDR once; runtimes that generate their CNI configuration want it."""
        cidr = (self._node or {}).get("spec", {}).get("podCIDR") or ""
        if cidr and cidr != self._pod_cidr:
            try:
                await self._runtime.update_runtime_config(pod_cidr=cidr)
                self._pod_cidr = cidr
            except RuntimeServiceError as error:
                log.warning("cannot tell the runtime the pod CIDR %s: %s", cidr, error)

    def _set(self, node: Object) -> None:
        self._node = node
        self._registered(node)

    async def _register(self) -> None:
        delay_s = FIRST_RETRY_S
        while True:
            try:
                await self._register_once()
                return
            except (APIError, Unreachable) as error:
                log.warning("cannot register node %s: %s; again in %.1f s", self._config.node_name, error, delay_s)
                await self._clock.sleep(delay_s)
                delay_s = min(delay_s * 2, LONGEST_RETRY_S)

    async def _register_once(self) -> None:
        wanted = node_object.initial_node(self._config, self._facts)
        try:
            self._set(await self._client.create(NODES, wanted))
            log.info("registered node %s", self._config.node_name)
            return
        except AlreadyExists:
            existing = await self._client.get(NODES, self._config.node_name)
        patch: Object = {}
        for field in ("labels", "annotations"):
            current = objects.metadata(existing).get(field) or {}
            missing = {key: value for key, value in wanted["metadata"][field].items() if current.get(key) != value}
            if missing:
                patch.setdefault("metadata", {})[field] = missing
        if patch:
            existing = await self._client.patch(NODES, self._config.node_name, patch)
        self._set(await self._without_stale_devices(existing))

    async def _without_stale_devices(self, node: Object) -> Object:
        """None of what may not be there is to be given away, until a plugin has told of it."""
        capacity = (node.get("status") or {}).get("capacity") or {}
        stale = [name for name, amount in capacity.items() if is_extended_resource(name) and amount != "0"]
        if not stale or not self._signs.is_new_node():
            return node
        nothing = dict.fromkeys(stale, "0")
        patch = {"status": {"capacity": nothing, "allocatable": nothing}}
        return await self._client.patch(NODES, self._config.node_name, patch, subresource="status")

    async def _renew(self) -> None:
        now = format_micro_time(self._clock.now())
        if self._lease is not None:
            spec = {**self._lease["spec"], "renewTime": now}
            try:
                self._lease = await self._client.update(LEASES, {**self._lease, "spec": spec})
                return
            except APIError:
                self._lease = None
        wanted = self._initial_lease(now)
        try:
            self._lease = await self._client.create(LEASES, wanted, namespace=LEASE_NAMESPACE)
        except AlreadyExists:
            current = await self._client.get(LEASES, self._config.node_name, namespace=LEASE_NAMESPACE)
            metadata = {**current["metadata"], "ownerReferences": wanted["metadata"].get("ownerReferences") or []}
            self._lease = await self._client.update(
                LEASES, {**current, "metadata": metadata, "spec": {**(current.get("spec") or {}), **wanted["spec"]}}
            )

    def _initial_lease(self, now: str) -> Object:
        name = self._config.node_name
        metadata: Object = {"name": name, "namespace": LEASE_NAMESPACE}
        if self._node is not None and objects.uid(self._node):
            metadata["ownerReferences"] = [
                {"apiVersion": "v1", "kind": "Node", "name": name, "uid": objects.uid(self._node)}
            ]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": self._config.lease_duration_s,
                "renewTime": now,
            },
        }

    async def _attempt(self, what: str, work: Any) -> None:
        try:
            await work()
        except (APIError, Unreachable) as error:
            log.warning("node %s cannot %s: %s", self._config.node_name, what, error)


def _replaced(previous: Any, addresses: list[Object]) -> list[Object]:
    """Addresses merge by type: types that went are deleted by name."""
    kept = {entry["type"] for entry in addresses}
    return [
        *({"$patch": "delete", "type": entry["type"]} for entry in previous or () if entry["type"] not in kept),
        *addresses,
    ]
