"""HorizontalPodAutoscaler v2: resizes a workload by metrics.

watches: HorizontalPodAutoscalers; Pods. The target's scale and the metrics are read every 15 seconds.
owns: HorizontalPodAutoscalers/status, the target's replicas.
writes: <target>/scale, HorizontalPodAutoscalers/status, Events.
invariants: without a value of every metric nothing shrinks; a target of 0 replicas is left alone; changes keep within minReplicas,
maxReplicas and the rates of spec.behavior.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from steersman.client.informer import Change
from steersman.controllers.conditions import with_condition
from steersman.controllers.discovery import Discovery, discover
from steersman.controllers.hpabehavior import Memory, Verdict, normalize
from steersman.controllers.hpameasurement import Measured, Measurement
from steersman.controllers.metricsapi import MetricsReader
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects, times
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.resources import HORIZONTALPODAUTOSCALERS, PODS, Resource
from steersman.meta.selectors import LabelSelector, SelectorError, parse_label_selector

NAME = "horizontal-pod-autoscaler-controller"
HPA_WATCH = Watch(resource=HORIZONTALPODAUTOSCALERS)
POD_WATCH = Watch(resource=PODS)
WATCHES = (HPA_WATCH, POD_WATCH)


class Plan(Struct, frozen=True, kw_only=True):
    """The new size, and why; equal to the present one: no change. ``error``: it cannot be told."""

    replicas: int
    reason: str = ""
    error: str = ""
    verdict: Verdict | None = None
    metric: str = ""
    is_disabled: bool = False
    failed: Measured | None = None


def plan(
    hpa: Object, current: int, measured: Sequence[Measured], memory: Memory, default_window_s: float, now_s: float
) -> Plan:
    """``current`` is the target's spec.replicas. ``measured`` is empty where metrics are not asked (see ``asks_metrics``)."""
    spec = hpa["spec"]
    least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
    if current == 0 and least != 0:
        return Plan(replicas=0, is_disabled=True)
    if current > most:
        return Plan(replicas=most, reason="Current number of replicas above Spec.MaxReplicas")
    if current < least:
        return Plan(replicas=least, reason="Current number of replicas below Spec.MinReplicas")
    best: Measured | None = None
    for entry in measured:
        if entry.proposal is not None and (
            best is None or best.proposal is None or entry.proposal.replicas > best.proposal.replicas
        ):
            best = entry
    failed = [entry for entry in measured if entry.proposal is None]
    wanted = best.proposal.replicas if best is not None and best.proposal is not None else 0
    if failed and (best is None or wanted < current):
        text = f"invalid metrics ({len(failed)} invalid out of {len(measured)}), first error is: {failed[0].error}"
        return Plan(replicas=current, error=text, failed=failed[0])
    name = best.name if best is not None else ""
    reason = f"{name} above target" if wanted > current else "All metrics below target" if wanted < current else ""
    verdict = normalize(current, wanted, least, most, spec.get("behavior"), memory, default_window_s, now_s)
    return Plan(replicas=verdict.replicas, reason=reason, verdict=verdict, metric=name)


def asks_metrics(hpa: Object, current: int) -> bool:
    spec = hpa["spec"]
    return bool(
        spec.get("minReplicas", 1) <= current <= spec["maxReplicas"] and (current or not spec.get("minReplicas", 1))
    )


class _Status(Struct):
    """Conditions and counts as they come to be known."""

    hpa: Object
    now_s: float
    conditions: list[Object] = field(default_factory=list)

    def set(self, kind: str, status: bool, reason: str, message: str) -> None:
        self.conditions = with_condition(
            self.conditions, kind, str(status), reason, message, self.now_s, keeps_message=False
        )

    def body(self, current: int, desired: int, metrics: Sequence[Object] | None, *, rescaled: bool) -> Object:
        old = self.hpa.get("status") or {}
        status: Object = {"desiredReplicas": desired, "conditions": self.conditions}
        if current:
            status["currentReplicas"] = current
        if metrics:
            status["currentMetrics"] = list(metrics)
        last = times.format_time(self.now_s) if rescaled else old.get("lastScaleTime")
        return status | ({"lastScaleTime": last} if last else {})


class SelectorProblem(Exception):
    """It cannot be said which pods are the target's."""

    def __init__(self, reason: str, condition_reason: str, message: str, condition_message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.condition_reason = condition_reason
        self.message = message
        self.condition_message = condition_message


class HorizontalPodAutoscalerController:
    """Reconciles one HorizontalPodAutoscaler by key, again every 15 seconds."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._hpas = context.informer(HPA_WATCH)
        self._pods = context.informer(POD_WATCH)
        self._metrics = MetricsReader(context.client)
        self._memories: dict[str, Memory] = {}
        self._discovery: Discovery | None = None
        self._selectors: dict[str, LabelSelector] = {}
        """Of the pods of each autoscaler's target, as last seen."""

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is PODS:
            return ()
        old, new = change.old, change.new
        if old is not None and new is not None and objects.uid(old) != objects.uid(new):
            self._memories.pop(change.key, None)
        if old is not None and new is not None and old.get("spec") == new.get("spec"):
            return ()
        return (change.key,)

    async def reconcile(self, key: str) -> Result:
        hpa = self._hpas.get(key)
        if hpa is None:
            self._context.expectations.forget(key)
            self._memories.pop(key, None)
            self._selectors.pop(key, None)
            return DONE
        config, now_s = self._context.config, self._context.clock.now()
        status = _Status(hpa, now_s, [*((hpa.get("status") or {}).get("conditions") or [])])
        again = Result(requeue_after_s=config.hpa_sync_period_s)
        try:
            resource, scale = await self._scale(hpa)
        except APIError as error:
            self._event(hpa, "Warning", "FailedGetScale", error.message)
            text = f"the HPA controller was unable to get the target's current scale: {error.message}"
            status.set("AbleToScale", False, "FailedGetScale", text)
            old = hpa.get("status") or {}
            await self._report(
                key, hpa, {**old, "desiredReplicas": old.get("desiredReplicas") or 0, "conditions": status.conditions}
            )
            return again
        able = "the HPA controller was able to get the target's current scale"
        status.set("AbleToScale", True, "SucceededGetScale", able)
        current = (scale.get("spec") or {}).get("replicas") or 0
        memory = self._memories.setdefault(key, Memory(recommendations=[(now_s, current)]))
        memory.forget_before(now_s - max(3600.0, config.hpa_downscale_stabilization_s))
        measured: list[Measured] = []
        if asks_metrics(hpa, current):
            try:
                measured = await self._measure(hpa, scale, current, status)
            except SelectorProblem as problem:
                await self._tell_selector(key, hpa, current, status, problem)
                return again
        todo = plan(hpa, current, measured, memory, config.hpa_downscale_stabilization_s, now_s)
        await self._apply(key, hpa, resource, scale, todo, measured, status, memory)
        return again

    async def _apply(
        self,
        key: str,
        hpa: Object,
        resource: Resource,
        scale: Object,
        todo: Plan,
        measured: Sequence[Measured],
        status: _Status,
        memory: Memory,
    ) -> None:
        current = (scale.get("spec") or {}).get("replicas") or 0
        metrics = [entry.status or {"type": ""} for entry in measured]
        for entry in measured:
            if entry.proposal is None:
                self._event(hpa, "Warning", entry.reason, entry.failure)
        if todo.error:
            assert todo.failed is not None
            text = f"the HPA was unable to compute the replica count: {todo.failed.failure}"
            status.set("ScalingActive", False, todo.failed.reason, text)
            self._event(hpa, "Warning", "FailedComputeMetricsReplicas", todo.error)
            desired = (hpa.get("status") or {}).get("desiredReplicas") or 0
            await self._report(key, hpa, status.body(current, desired, metrics, rescaled=False))
            return
        if todo.is_disabled:
            text = "scaling is disabled since the replica count of the target is zero"
            status.set("ScalingActive", False, "ScalingDisabled", text)
        if todo.verdict is not None:
            text = f"the HPA was able to successfully calculate a replica count from {todo.metric}"
            status.set("ScalingActive", True, "ValidMetricFound", text)
            status.set("AbleToScale", True, *todo.verdict.able)
            status.set("ScalingLimited", todo.verdict.is_limited, *todo.verdict.limited)
        rescaled = todo.replicas != current
        if rescaled and not await self._resize(hpa, resource, scale, todo, status):
            await self._report(key, hpa, status.body(current, current, metrics, rescaled=False))
            return
        if rescaled:
            memory.scaled(current, todo.replicas, status.now_s)
        await self._report(key, hpa, status.body(current, todo.replicas, metrics, rescaled=rescaled))

    async def _resize(self, hpa: Object, resource: Resource, scale: Object, todo: Plan, status: _Status) -> bool:
        wanted = {**scale, "spec": {**(scale.get("spec") or {}), "replicas": todo.replicas}}
        text = f"New size: {todo.replicas}; reason: {todo.reason}"
        try:
            await self._context.client.update(resource, wanted, subresource="scale")
        except APIError as error:
            self._event(hpa, "Warning", "FailedRescale", f"{text}; error: {error.message}")
            message = f"the HPA controller was unable to update the target scale: {error.message}"
            status.set("AbleToScale", False, "FailedUpdateScale", message)
            return False
        message = f"the HPA controller was able to update the target scale to {todo.replicas}"
        status.set("AbleToScale", True, "SucceededRescale", message)
        self._event(hpa, "Normal", "SuccessfulRescale", text)
        return True

    async def _scale(self, hpa: Object) -> tuple[Resource, Object]:
        reference = hpa["spec"]["scaleTargetRef"]
        resource = await self._resource(reference)
        return resource, await self._context.client.get(
            resource, reference["name"], namespace=objects.namespace(hpa), subresource="scale"
        )

    async def _resource(self, reference: Mapping[str, Any]) -> Resource:
        """In whatever version the server prefers. Raises ``APIError`` where it knows no such kind."""
        api_version, kind = reference.get("apiVersion") or "", reference["kind"]
        group, _, _ = api_version.rpartition("/")
        if "/" in group:
            raise APIError(f"unexpected GroupVersion string: {api_version}")
        if self._discovery is None or (found := self._discovery.of_kind(group, kind)) is None:
            self._discovery = await discover(self._context.client)
            found = self._discovery.of_kind(group, kind)
        if found is None:
            raise APIError(f'no matches for kind "{kind}" in group "{group}"')
        return found

    async def _measure(self, hpa: Object, scale: Object, current: int, status: _Status) -> list[Measured]:
        selector = self._selector(hpa, scale)
        pods = self._selected(objects.namespace(hpa), selector)
        self._check_alone(hpa, str((scale.get("status") or {}).get("selector")), selector, pods)
        asked = hpa["spec"].get("metrics") or [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
            }
        ]
        measurement = Measurement(
            self._metrics, self._resource, self._context.config, hpa, scale, current, selector, pods, status.now_s
        )
        return [await measurement.of(metric) for metric in asked]

    def _selector(self, hpa: Object, scale: Object) -> LabelSelector:
        """Which pods the target has. Raises ``SelectorProblem``."""
        text = (scale.get("status") or {}).get("selector") or ""
        if not text:
            missing = "the HPA target's scale is missing a selector"
            raise SelectorProblem("SelectorRequired", "InvalidSelector", "selector is required", missing)
        try:
            return parse_label_selector(text)
        except SelectorError as error:
            failure = f"couldn't convert selector into a corresponding internal selector object: {error}"
            raise SelectorProblem("InvalidSelector", "InvalidSelector", failure, failure) from error

    def _selected(self, namespace: str, selector: LabelSelector) -> list[Object]:
        return [pod for pod in self._pods.by_namespace(namespace) if selector.matches(objects.labels(pod))]

    def _check_alone(self, hpa: Object, text: str, selector: LabelSelector, pods: Sequence[Object]) -> None:
        """Raises ``SelectorProblem`` where another autoscaler's target has some of the pods too."""
        key, namespace = objects.key_of(hpa), objects.namespace(hpa)
        self._selectors[key] = selector
        rivals = [
            other
            for other, theirs in self._selectors.items()
            if objects.split_key(other)[0] == namespace and any(theirs.matches(objects.labels(pod)) for pod in pods)
        ]
        if len(rivals) > 1:
            named = " ".join(f"{{{name} {space}}}" for space, name in map(objects.split_key, sorted(rivals)))
            failure = f"pods by selector {text} are controlled by multiple HPAs: [{named}]"
            raise SelectorProblem("AmbiguousSelector", "AmbiguousSelector", failure, failure)

    async def _tell_selector(
        self, key: str, hpa: Object, current: int, status: _Status, problem: SelectorProblem
    ) -> None:
        status.set("ScalingActive", False, problem.condition_reason, problem.condition_message)
        self._event(hpa, "Warning", problem.reason, problem.message)
        self._event(hpa, "Warning", "FailedComputeMetricsReplicas", problem.message)
        desired = (hpa.get("status") or {}).get("desiredReplicas") or 0
        await self._report(key, hpa, status.body(current, desired, [], rescaled=False))

    async def _report(self, key: str, hpa: Object, status: Object) -> None:
        if status != (hpa.get("status") or {}):
            try:
                updated = await self._context.client.update(
                    HORIZONTALPODAUTOSCALERS, {**hpa, "status": status}, subresource="status"
                )
            except APIError as error:
                self._event(hpa, "Warning", "FailedUpdateStatus", error.message)
                raise
            self._context.expectations.wrote(key, self._hpas, updated)

    def _event(self, hpa: Object, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self._context.events.event(hpa, HORIZONTALPODAUTOSCALERS, type=kind, reason=reason, message=message)


def _conforms(context: Context) -> Controller:
    return HorizontalPodAutoscalerController(context)
