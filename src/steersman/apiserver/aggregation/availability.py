"""The condition Available of APIServices: whether the server behind each answers.

Source: upstream's local and remote available-condition controllers; reasons and messages are theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import Reader
from steersman.apiserver.aggregation.apiservice import APIService
from steersman.apiserver.aggregation.extensionservers import ExtensionServers
from steersman.apiserver.aggregation.metrics import AvailabilityMetrics
from steersman.apiserver.aggregation.refreshing import LookFailed
from steersman.apiserver.authn.api import MASTERS_GROUP, User
from steersman.apiserver.proxying.backend import BackendError, Target
from steersman.apiserver.services.addresses import is_ready, port_of, ports_named, slices_of
from steersman.apiserver.webhooks.api import ServiceReference, Unresolvable
from steersman.client.api import Client
from steersman.meta.errors import Conflict, NotFound
from steersman.meta.objects import Object, condition, is_true
from steersman.meta.resources import APISERVICES, SERVICES
from steersman.meta.times import format_time

ATTEMPTS = 5
"""Endpoints that are tried; one that answers is enough."""
CHECKER = User(name="system:kube-aggregator", groups=(MASTERS_GROUP,))


class Verdict(Struct, frozen=True, kw_only=True):
    """What the condition says."""

    status: str
    reason: str
    message: str


LOCAL = Verdict(status="True", reason="Local", message="Local APIServices are always available")
PASSED = Verdict(status="True", reason="Passed", message="all checks passed")


def service_verdict(reader: Reader, reference: ServiceReference) -> Verdict | None:
    """What is wrong with the Service or its endpoints; None where the server can be asked."""
    where = f'service/{reference.name} in "{reference.namespace}"'
    service = reader.get(SERVICES, reference.namespace, reference.name)
    if service is None:
        return Verdict(status="False", reason="ServiceNotFound", message=f"{where} is not present")
    if (service["spec"].get("type") or "ClusterIP") != "ClusterIP":
        return None
    port = port_of(service, reference.port)
    if port is None:
        message = f"{where} is not listening on port {reference.port}"
        return Verdict(status="False", reason="ServicePortError", message=message)
    slices = slices_of(reader, reference.namespace, reference.name)
    if not slices:
        return Verdict(status="False", reason="EndpointsNotFound", message=f"cannot find endpointslices for {where}")
    name = port.get("name") or ""
    for entry in slices:
        if any(ports_named(entry, name)) and any(is_ready(endpoint) for endpoint in entry.get("endpoints") or ()):
            return None
    message = f'endpointslices for {where} have no addresses with port name "{name}"'
    return Verdict(status="False", reason="MissingEndpoints", message=message)


def with_condition(service: Object, verdict: Verdict, now_s: float) -> Object:
    """``service`` with the verdict as its condition; the same object where it says so already."""
    found = condition(service, "Available")
    new: Object = {
        "type": "Available",
        "status": verdict.status,
        "lastTransitionTime": format_time(now_s),
        "reason": verdict.reason,
        "message": verdict.message,
    }
    if found is not None and found.get("status") == verdict.status:
        new["lastTransitionTime"] = found.get("lastTransitionTime")
    if found == new:
        return service
    status: Mapping[str, object] = service.get("status") or {}
    conditions = list((service.get("status") or {}).get("conditions") or ())
    if found is None:
        conditions.append(new)
    else:
        conditions[conditions.index(found)] = new
    return {**service, "status": {**status, "conditions": conditions}}


class Availability:
    """``sync`` looks at one APIService and writes its condition where that changed."""

    def __init__(
        self,
        *,
        client: Client,
        reader: Reader,
        servers: ExtensionServers,
        clock: Clock,
        metrics: AvailabilityMetrics,
        has_been_ready: Callable[[], bool],
    ) -> None:
        self._client = client
        self._reader = reader
        self._servers = servers
        self._clock = clock
        self._metrics = metrics
        self._has_been_ready = has_been_ready

    async def sync(self, name: str) -> None:
        """Raises ``LookFailed`` where the server does not answer, ``APIError`` where the condition cannot be written."""
        obj = self._reader.get(APISERVICES, "", name)
        if obj is None:
            self._metrics.forget(name)
            return
        service = APIService.of(obj)
        if service.service is None:
            await self._write(obj, LOCAL)
            return
        verdict = service_verdict(self._reader, service.service)
        failure = ""
        if verdict is None:
            failure = await self._check(service)
            if failure and not self._has_been_ready():
                raise LookFailed(f"{name} is looked at again when this server is ready: {failure}")
            verdict = Verdict(status="False", reason="FailedDiscoveryCheck", message=failure) if failure else PASSED
        await self._write(obj, verdict)
        if failure:
            raise LookFailed(failure)

    async def _check(self, service: APIService) -> str:
        """Why the server's discovery cannot be read; empty where it can, from one endpoint at least."""
        targets: dict[str, Target] = {}
        try:
            for _ in range(ATTEMPTS):
                target = self._servers.target(service, service.discovery_path, "")
                targets[target.authority] = target
        except (Unresolvable, OSError) as error:
            if not targets:
                return str(error)
        asked = [asyncio.ensure_future(self._ask(target)) for target in targets.values()]
        failure = ""
        try:
            for answer in asyncio.as_completed(asked):
                failure = await answer
                if not failure:
                    return ""
            return failure
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _ask(self, target: Target) -> str:
        failed = f"failing or missing response from {target.url}"
        try:
            answer = await self._servers.fetch_from(target, user=CHECKER, headers={})
        except BackendError as error:
            return f'{failed}: Get "{target.url}": {error.why}'
        if not 200 <= answer.status < 300:
            return f"{failed}: bad status from {target.url}: {answer.status}"
        return ""

    async def _write(self, obj: Object, verdict: Verdict) -> None:
        name = str(obj["metadata"]["name"])
        is_available = verdict.status == "True"
        self._metrics.observe(name, is_available)
        changed = with_condition(obj, verdict, self._clock.now())
        if changed is obj:
            return
        try:
            await self._client.update(APISERVICES, changed, subresource="status")
        except (Conflict, NotFound):
            return  # its event is on the way
        if is_true(obj, "Available") and not is_available:
            self._metrics.became_unavailable(name, verdict.reason)
