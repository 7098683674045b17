"""Evaluating the metrics of a HorizontalPodAutoscaler: reads each and says how many replicas it asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from msgspec import Struct

from steersman.controllers import hpareplicas
from steersman.controllers.config import ControllerManagerConfig
from steersman.controllers.hpareplicas import Proposal, Readiness, Tolerances
from steersman.controllers.metricsapi import MetricsReader, MetricsUnavailable
from steersman.controllers.selectortext import selector_text
from steersman.meta import objects
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.quantities import format_binary, format_decimal, quantity, to_milli
from steersman.meta.resources import Resource
from steersman.meta.selectors import LabelSelector

_REASONS = {
    "Resource": "FailedGetResourceMetric",
    "ContainerResource": "FailedGetContainerResourceMetric",
    "Pods": "FailedGetPodsMetric",
    "Object": "FailedGetObjectMetric",
    "External": "FailedGetExternalMetric",
}


class Measured(Struct, frozen=True, kw_only=True):
    """What one metric says: a proposal with its status entry, or why there is none."""

    name: str = ""
    proposal: Proposal | None = None
    status: Object | None = None
    reason: str = ""
    failure: str = ""
    """As the condition and the metric's own event say it."""
    error: str = ""
    """The same, and of which metric, as the event about all metrics says it."""


class Measurement(Struct, frozen=True):
    """Evaluates the metrics of one autoscaler at one time."""

    metrics: MetricsReader
    resource_of: Callable[[Mapping[str, Any]], Awaitable[Resource]]
    config: ControllerManagerConfig
    hpa: Object
    scale: Object
    current: int
    selector: LabelSelector
    pods: Sequence[Object]
    now_s: float

    async def of(self, metric: Mapping[str, Any]) -> Measured:
        kind = metric["type"]
        try:
            match kind:
                case "Resource":
                    return await self._resource(metric["resource"], "")
                case "ContainerResource":
                    entry = metric["containerResource"]
                    return await self._resource(entry, entry["container"])
                case "Pods":
                    return await self._of_pods(metric["pods"])
                case "Object":
                    return await self._of_object(metric["object"])
                case "External":
                    return await self._external(metric["external"])
        except (MetricsUnavailable, APIError) as error:
            text = str(error)
            if kind in ("Resource", "ContainerResource"):
                text = _resource_failure(metric, text)
            return Measured(reason=_REASONS[kind], failure=text, error=_wrapped(metric, text))
        text = f'unknown metric source type "{kind}"'
        return Measured(reason="InvalidMetricSourceType", failure=text, error=text)

    @property
    def _namespace(self) -> str:
        return objects.namespace(self.hpa)

    @property
    def _tolerances(self) -> Tolerances:
        default, behavior = self.config.hpa_tolerance, self.hpa["spec"].get("behavior") or {}
        down = (behavior.get("scaleDown") or {}).get("tolerance")
        up = (behavior.get("scaleUp") or {}).get("tolerance")
        return Tolerances(
            down=default if down is None else float(quantity(down)), up=default if up is None else float(quantity(up))
        )

    @property
    def _readiness(self) -> Readiness:
        config = self.config
        return Readiness(
            now_s=self.now_s,
            cpu_initialization_s=config.hpa_cpu_initialization_period_s,
            initial_readiness_s=config.hpa_initial_readiness_delay_s,
        )

    async def _resource(self, entry: Mapping[str, Any], container: str) -> Measured:
        name, target = entry["name"], entry["target"]
        try:
            samples = await self.metrics.resource(self._namespace, str(self.selector), name, container)
        except MetricsUnavailable as error:
            raise MetricsUnavailable(f"unable to get metrics for resource {name}: {error}") from error
        current: Object
        if target.get("averageUtilization") is not None:
            proposal = hpareplicas.by_utilization(
                self.current, target["averageUtilization"], samples, self.pods, name, container,
                self._tolerances, self._readiness,
            )  # fmt: skip
            current = {"averageUtilization": proposal.utilization, "averageValue": _usage(name, proposal.average)}
            title = f"{name}{' container' if container else ''} resource utilization (percentage of request)"
        else:
            wanted = to_milli(target["averageValue"])
            proposal = hpareplicas.by_average(
                self.current, wanted, samples, self.pods, name, self._tolerances, self._readiness
            )
            current, title = {"averageValue": _usage(name, proposal.average)}, f"{name} resource"
        if container:
            status = {"name": name, "container": container, "current": current}
            return Measured(
                name=title, proposal=proposal, status={"type": "ContainerResource", "containerResource": status}
            )
        return Measured(
            name=title, proposal=proposal, status={"type": "Resource", "resource": {"name": name, "current": current}}
        )

    async def _of_pods(self, entry: Mapping[str, Any]) -> Measured:
        metric = entry["metric"]
        try:
            samples = await self.metrics.of_pods(self._namespace, str(self.selector), metric)
        except MetricsUnavailable as error:
            raise MetricsUnavailable(f"unable to get metric {metric['name']}: {error}") from error
        wanted = to_milli(entry["target"]["averageValue"])
        proposal = hpareplicas.by_average(
            self.current, wanted, samples, self.pods, "", self._tolerances, self._readiness
        )
        status = {"metric": _identity(metric), "current": {"averageValue": _quantity(proposal.average)}}
        return Measured(
            name=f"pods metric {metric['name']}", proposal=proposal, status={"type": "Pods", "pods": status}
        )

    async def _of_object(self, entry: Mapping[str, Any]) -> Measured:
        metric, described = entry["metric"], entry["describedObject"]
        try:
            resource = await self.resource_of(described)
            value = await self.metrics.of_object(
                self._namespace, resource.group_resource, described["name"], metric, namespaced=resource.namespaced
            )
        except (MetricsUnavailable, APIError) as error:
            where = f"{described['kind']} {self._namespace}/{described['name']}"
            raise MetricsUnavailable(f"unable to get metric {metric['name']}: {error} on {where}") from error
        proposal, current = self._by_value(entry["target"], value)
        status = {"metric": _identity(metric), "current": current, "describedObject": dict(described)}
        title = f"{described['kind']} metric {metric['name']}"
        return Measured(
            name=_title(metric) if "averageValue" in entry["target"] else title,
            proposal=proposal,
            status={"type": "Object", "object": status},
        )

    async def _external(self, entry: Mapping[str, Any]) -> Measured:
        metric = entry["metric"]
        try:
            value = await self.metrics.external(self._namespace, metric)
        except MetricsUnavailable as error:
            which = f"{self._namespace}/{metric['name']}/{selector_text(metric.get('selector'))}"
            raise MetricsUnavailable(f"unable to get external metric {which}: {error}") from error
        proposal, current = self._by_value(entry["target"], value)
        status = {"metric": _identity(metric), "current": current}
        return Measured(name=_title(metric), proposal=proposal, status={"type": "External", "external": status})

    def _by_value(self, target: Mapping[str, Any], value: int) -> tuple[Proposal, Object]:
        if target.get("averageValue") is not None:
            replicas = (self.scale.get("status") or {}).get("replicas") or 0
            proposal = hpareplicas.by_value_per_pod(replicas, to_milli(target["averageValue"]), value, self._tolerances)
            return proposal, {"averageValue": _quantity(proposal.average)}
        proposal = hpareplicas.by_value(self.current, to_milli(target["value"]), value, self.pods, self._tolerances)
        return proposal, {"value": _quantity(value)}


def _identity(metric: Mapping[str, Any]) -> Object:
    return {name: metric[name] for name in ("name", "selector") if metric.get(name) is not None}


def _quantity(milli: int) -> str:
    return format_decimal(Fraction(milli, 1000))


def _usage(resource: str, milli: int) -> str:
    """Memory in binary units, as metrics-server gives it."""
    whole, fraction = divmod(milli, 1000)
    return format_binary(whole) if resource == "memory" and not fraction and whole >= 1024 else _quantity(milli)


def _resource_failure(metric: Mapping[str, Any], failure: str) -> str:
    entry = metric["resource" if metric["type"] == "Resource" else "containerResource"]
    what = "usage" if entry["target"].get("averageValue") is not None else "utilization"
    return f"failed to get {entry['name']} {what}: {failure}"


def _wrapped(metric: Mapping[str, Any], failure: str) -> str:
    match metric["type"]:
        case "Resource":
            return f"failed to get {metric['resource']['name']} resource metric value: {failure}"
        case "ContainerResource":
            return f"failed to get {metric['containerResource']['container']} container metric value: {failure}"
        case "Pods":
            return f"failed to get pods metric value: {failure}"
        case "Object":
            if "averageValue" in metric["object"]["target"]:
                failure = f"failed to get {metric['object']['metric']['name']} object metric: {failure}"
            return f"failed to get object metric value: {failure}"
        case _:
            name = metric["external"]["metric"]["name"]
            is_average = "averageValue" in metric["external"]["target"]
            which = f"{name} external metric" if is_average else f"external metric {name}"
            return f"failed to get {name} external metric value: failed to get {which}: {failure}"


def _title(metric: Mapping[str, Any]) -> str:
    return f"external metric {metric['name']}({selector_text(metric.get('selector'))})"
