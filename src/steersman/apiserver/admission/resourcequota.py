"""ResourceQuota: nothing is created, and nothing grows, beyond what the quotas of its namespace allow.

What requests take is written to the quotas' status before they are let through, so that however many come at once, on
however many servers, a quota is never exceeded: the write fails where the quota has changed since it was read. Requests of
one namespace that come while a write is under way share the next one. Giving back is the business of the quota controller.
Source: "Resource Quotas" in the Kubernetes documentation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import AdmissionRequest, Reader, ValidatingPlugin
from steersman.apiserver.admission.configuration import AdmissionConfigurationError
from steersman.apiserver.admission.quotacheck import LimitedResource, Question, RunningQuota, charge, handles
from steersman.client.api import Client
from steersman.meta import objects, quotas
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.quotas import Scope, Usage
from steersman.meta.resources import DEVICECLASSES, NAMESPACES, PODS, RESOURCECLAIMS, RESOURCEQUOTAS

RETRIES = 3
"""How often a charge is tried again because its quota has changed meanwhile."""
CONFIGURATION = frozenset(
    f"{group}/{version}"
    for group in ("resourcequota.admission.k8s.io", "apiserver.config.k8s.io")
    for version in ("v1alpha1", "v1beta1", "v1")
)
_EXTENDED_CLAIM = "resource.kubernetes.io/extended-resource-claim"


class _Waiter:
    """One request that waits for the outcome of its charge."""

    __slots__ = ("is_charged", "question", "turn")

    def __init__(self, question: Question) -> None:
        self.question = question
        self.turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """True: let through. False: it is this waiter's task that charges next. An ``APIError``: refused."""
        self.is_charged = False
        """It waits only for the quotas to be written."""


class ResourceQuota:
    NAME = "ResourceQuota"
    OPERATIONS = ("CREATE", "UPDATE")

    def __init__(
        self, reader: Reader, client: Client, *, clock: Clock, limited: Sequence[LimitedResource] = ()
    ) -> None:
        self._reader = reader
        self._client = client
        self._clock = clock
        self._limited = tuple(limited)
        self._waiting: dict[str, list[_Waiter]] = {}
        """By namespace, while a charge is under way there. Bounded by the requests in flight."""

    async def validate(self, request: AdmissionRequest) -> None:
        namespace = request.namespace
        if not namespace or not handles(request) or request.kind.resource == NAMESPACES:
            return
        found = self._reader.list(RESOURCEQUOTAS, namespace)
        if not found and not self._limited:
            return
        resource = request.kind.resource
        if not self._limited and not any(
            quotas.tracked(resource, (quota.get("status") or {}).get("hard") or ()) for quota in found
        ):
            return
        await self._charged(namespace, _Waiter(self._question(request)))

    def _question(self, request: AdmissionRequest) -> Question:
        old = request.old
        before = None if old is None or request.operation == "CREATE" else self._usage(request, old)
        usage = self._usage(request, request.obj or {})
        return Question(
            request=request,
            now_s=self._clock.now(),
            usage=usage,
            usage_before=before,
            limited=self._limited,
        )

    def _usage(self, request: AdmissionRequest, obj: Object) -> Usage:
        resource = request.kind.resource
        now_s = self._clock.now()
        if resource != RESOURCECLAIMS:
            return quotas.usage_of(resource, obj, now_s)
        extended = {
            objects.name(entry): name
            for entry in self._reader.list(DEVICECLASSES)
            if (name := (entry.get("spec") or {}).get("extendedResourceName"))
        }
        usage = quotas.usage_of(resource, obj, now_s, extended=extended)
        for name, amount in self._usage_of_owner(request.namespace, obj).items():
            if name in usage and name.startswith("requests."):
                usage[name] = max(usage[name] - amount, type(amount)(0))
        return usage

    def _usage_of_owner(self, namespace: str, claim: Object) -> Usage:
        """What the pod of a claim for extended resources was charged already."""
        if objects.annotations(claim).get(_EXTENDED_CLAIM) != "true":
            return {}
        owner = objects.controller_of(claim) or {}
        if (owner.get("apiVersion"), owner.get("kind")) != ("v1", "Pod"):
            return {}
        pod = self._reader.get(PODS, namespace, owner.get("name") or "")
        if pod is None or objects.uid(pod) != owner.get("uid"):
            return {}
        known = (pod.get("status") or {}).get("extendedResourceClaimStatus")
        if known is not None:
            is_its = known.get("resourceClaimName") == objects.name(claim)
        else:
            is_its = not any(
                (objects.controller_of(other) or {}).get("uid") == objects.uid(pod)
                and objects.annotations(other).get(_EXTENDED_CLAIM) == "true"
                and objects.name(other) != objects.name(claim)
                for other in self._reader.list(RESOURCECLAIMS, namespace)
            )
        return quotas.usage_of(PODS, pod, self._clock.now()) if is_its else {}

    # -- one charge at a time in a namespace

    async def _charged(self, namespace: str, waiter: _Waiter) -> None:
        """Returns once the request is charged. Raises ``APIError`` where it is refused."""
        waiting = self._waiting.get(namespace)
        if waiting is None:
            self._waiting[namespace] = []
            await self._charge_next(namespace, [waiter])
        else:
            waiting.append(waiter)
            try:
                is_done = await waiter.turn
            except asyncio.CancelledError:
                if waiter in waiting:
                    waiting.remove(waiter)
                elif waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None and not waiter.turn.result():  # fmt: skip
                    self._pass_on(namespace)
                raise
            if is_done:
                return
            batch = [waiter, *self._waiting[namespace]]
            self._waiting[namespace] = []
            waiter.turn = asyncio.get_running_loop().create_future()
            await self._charge_next(namespace, batch)
        await waiter.turn

    async def _charge_next(self, namespace: str, batch: list[_Waiter]) -> None:
        """Charge a batch, then let the first of those that came meanwhile charge the next."""
        try:
            await self._charge(namespace, batch)
        finally:
            undecided = [waiter for waiter in batch if not waiter.turn.done()]
            if undecided:  # cancelled midway: the others are charged by somebody else
                self._waiting[namespace][:0] = undecided[1:] if undecided[0] is batch[0] else undecided
            self._pass_on(namespace)

    def _pass_on(self, namespace: str) -> None:
        waiting = self._waiting[namespace]
        while waiting:
            following = waiting.pop(0)
            if not following.turn.done():
                following.turn.set_result(False)
                return
        del self._waiting[namespace]

    async def _charge(self, namespace: str, batch: Sequence[_Waiter]) -> None:
        names: frozenset[str] | None = None
        failure: APIError | None = None
        for _ in range(RETRIES + 1):
            found = self._reader.list(RESOURCEQUOTAS, namespace)
            running = [RunningQuota.of(quota) for quota in found if names is None or objects.name(quota) in names]
            pending = [waiter for waiter in batch if not waiter.turn.done()]
            for waiter in pending:
                self._try(running, waiter)
            changed = [entry for entry in running if entry.is_changed]
            outcomes = await asyncio.gather(*(self._write(entry) for entry in changed))
            failed = {entry.name: error for entry, error in zip(changed, outcomes, strict=True) if error is not None}
            if not failed:
                _resolve(batch)
                return
            names, failure = frozenset(failed), next(iter(failed.values()))
        for waiter in batch:
            if not waiter.turn.done() and failure is not None:
                waiter.turn.set_exception(failure)

    def _try(self, running: Sequence[RunningQuota], waiter: _Waiter) -> None:
        try:
            is_charged = charge(running, waiter.question, dry_run=waiter.question.request.dry_run)
        except APIError as error:
            waiter.turn.set_exception(error)
            return
        if not is_charged:
            waiter.turn.set_result(True)

    async def _write(self, entry: RunningQuota) -> APIError | None:
        try:
            await self._client.update(RESOURCEQUOTAS, entry.charged_object(), subresource="status")
        except APIError as error:
            return error
        return None


def _resolve(batch: Sequence[_Waiter]) -> None:
    for waiter in batch:
        if not waiter.turn.done():
            waiter.turn.set_result(True)


def limited_resources(configuration: Mapping[str, Any] | None) -> Sequence[LimitedResource]:
    """``limitedResources`` of a ResourceQuotaConfiguration. Raises ``AdmissionConfigurationError``."""
    if configuration is None:
        return ()
    if configuration.get("apiVersion") not in CONFIGURATION:
        raise AdmissionConfigurationError(f"ResourceQuota: {configuration.get('apiVersion')!r} is not supported")
    found = []
    for index, entry in enumerate(configuration.get("limitedResources") or ()):
        unknown = entry.keys() - {"apiGroup", "resource", "matchContains", "matchScopes"}
        if unknown or not entry.get("resource"):
            what = f"unknown fields {', '.join(sorted(unknown))}" if unknown else "resource is required"
            raise AdmissionConfigurationError(f"ResourceQuota: limitedResources[{index}]: {what}")
        found.append(
            LimitedResource(
                group=entry.get("apiGroup") or "",
                plural=entry["resource"],
                match_contains=tuple(entry.get("matchContains") or ()),
                match_scopes=tuple(Scope.of(scope) for scope in entry.get("matchScopes") or ()),
            )
        )
    return tuple(found)


def _conforms(reader: Reader, client: Client, clock: Clock) -> ValidatingPlugin:
    return ResourceQuota(reader, client, clock=clock)
