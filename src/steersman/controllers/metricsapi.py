"""Reading the metrics APIs: resource usage of pods, custom metrics of pods and objects, external metrics.

Source: metrics.k8s.io/v1beta1, custom.metrics.k8s.io/v1beta2, external.metrics.k8s.io/v1beta1. Values are thousandths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from steersman.client.api import Client, decoded, failure_of
from steersman.meta import times
from steersman.meta.durations import parse_duration
from steersman.meta.errors import OtherStatus
from steersman.meta.quantities import to_milli
from steersman.meta.selectors import label_selector_of


class MetricsUnavailable(Exception):
    """No value can be had; the message says why, as it stands in conditions and events."""


class Sample(Struct, frozen=True, kw_only=True):
    """One pod's value."""

    milli: int
    at_s: float
    window_s: float = 60.0


_NO_STATUS = {
    404: "the server could not find the requested resource",
    503: "the server is currently unable to handle the request",
}
"""client-go's words for answers that are no Status."""
_NO_VERSION = "no known available metric versions found"

Samples = dict[str, Sample]
"""By the pod's name."""


class MetricsReader:
    """Asks the API server, which proxies to whoever serves these APIs."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def resource(self, namespace: str, selector: str, name: str, container: str = "") -> Samples:
        """Usage of resource ``name`` by each pod, or by one container of each. Raises ``MetricsUnavailable``."""
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"
        items = await self._items(path, {"labelSelector": selector}, "resource metrics API", "pods.metrics.k8s.io")
        if not items:
            raise MetricsUnavailable("no metrics returned from resource metrics API")
        samples: Samples = {}
        for item in items:
            asked = [e for e in item.get("containers") or () if container in ("", e["name"])]
            if not asked or any(name not in entry["usage"] for entry in asked):
                continue
            samples[item["metadata"]["name"]] = Sample(
                milli=sum(to_milli(entry["usage"][name]) for entry in asked),
                at_s=times.parse_time(item["timestamp"]),
                window_s=parse_duration(item.get("window") or "60s"),
            )
        return samples

    async def of_pods(self, namespace: str, selector: str, metric: Mapping[str, Any]) -> Samples:
        """A custom metric of each pod. Raises ``MetricsUnavailable``."""
        path = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/pods/*/{metric['name']}"
        query = {"labelSelector": selector, **_metric_selector(metric)}
        items = await self._items(path, query, "custom metrics API")
        if not items:
            raise MetricsUnavailable("no metrics returned from custom metrics API")
        return {
            item["describedObject"]["name"]: Sample(
                milli=to_milli(item["value"]),
                at_s=times.parse_time(item["timestamp"]),
                window_s=float(item.get("windowSeconds") or 60),
            )
            for item in items
        }

    async def of_object(
        self, namespace: str, resource: str, name: str, metric: Mapping[str, Any], *, namespaced: bool
    ) -> int:
        """A custom metric of one object. Raises ``MetricsUnavailable``."""
        scope = f"namespaces/{namespace}/" if namespaced else ""
        path = f"/apis/custom.metrics.k8s.io/v1beta2/{scope}{resource}/{name}/{metric['name']}"
        items = await self._items(path, _metric_selector(metric), "custom metrics API")
        if not items:
            raise MetricsUnavailable("no metrics returned from custom metrics API")
        return to_milli(items[0]["value"])

    async def external(self, namespace: str, metric: Mapping[str, Any]) -> int:
        """The sum of an external metric's series. Raises ``MetricsUnavailable``."""
        path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{metric['name']}"
        query = {}
        if metric.get("selector") is not None:
            query["labelSelector"] = str(label_selector_of(metric["selector"]))
        asked = f"{metric['name']}.external.metrics.k8s.io"
        items = await self._items(path, query, "external metrics API", asked)
        if not items:
            raise MetricsUnavailable("no metrics returned from external metrics API")
        return sum(to_milli(item["value"]) for item in items)

    async def _items(self, path: str, query: Mapping[str, str], api: str, asked: str = "") -> list[dict[str, Any]]:
        """``asked`` is the resource that a message names where the API is not there; empty: one with versions of its own."""
        response = await self._client.request("GET", path, query=query)
        if response.status >= 400:
            failure = failure_of(response)
            text = str(failure)
            if isinstance(failure, OtherStatus):
                text = f"{_NO_STATUS.get(response.status, text)} (get {asked})" if asked else _NO_VERSION
            raise MetricsUnavailable(f"unable to fetch metrics from {api}: {text}")
        items: list[dict[str, Any]] = (decoded(response) or {}).get("items") or []
        return items


def _metric_selector(metric: Mapping[str, Any]) -> dict[str, str]:
    if metric.get("selector") is None:
        return {}
    return {"metricLabelSelector": str(label_selector_of(metric["selector"]))}
