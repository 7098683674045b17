"""The condition Available."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from steersman.apiserver.aggregation.availability import PASSED, Verdict, service_verdict, with_condition
from steersman.apiserver.webhooks.api import ServiceReference
from steersman.meta.objects import Object, condition
from steersman.meta.resources import APISERVICES, ENDPOINTSLICES, SERVICES
from tests.apiserver.aggregation.conftest import NAME, Aggregation
from tests.apiserver.authorities import TestAuthority
from tests.apiserver.readers import ListedObjects, named

REFERENCE = ServiceReference(namespace="ns", name="api", port=443)
SERVICE = named("api", "ns", spec={"type": "ClusterIP", "ports": [{"port": 443, "name": "https"}]})


def _slice(*endpoints: Mapping[str, Any], port: str = "https") -> Object:
    found = named("api-1", "ns", ports=[{"name": port, "port": 8443}], endpoints=list(endpoints))
    found["metadata"]["labels"] = {"kubernetes.io/service-name": "api"}
    return found


@pytest.mark.parametrize(
    ("service", "slices", "reason", "message"),
    [
        (None, None, "ServiceNotFound", 'service/api in "ns" is not present'),
        (named("api", "ns", spec={"ports": [{"port": 80}]}), None, "ServicePortError", 'service/api in "ns" is not listening on port 443'),
        (SERVICE, None, "EndpointsNotFound", 'cannot find endpointslices for service/api in "ns"'),
        (SERVICE, _slice(), "MissingEndpoints", 'endpointslices for service/api in "ns" have no addresses with port name "https"'),
        (SERVICE, _slice({"addresses": ["10.0.0.1"], "conditions": {"ready": False}}), "MissingEndpoints", None),
        (SERVICE, _slice({"addresses": ["10.0.0.1"]}, port="other"), "MissingEndpoints", None),
        (SERVICE, _slice({"addresses": ["10.0.0.1"]}), None, None),
        (named("api", "ns", spec={"type": "ExternalName"}), None, None, None),
    ],
)  # fmt: skip
def test_what_is_wrong_before_anybody_is_asked(
    service: Object | None, slices: Object | None, reason: str | None, message: str | None
) -> None:
    rows = [(resource, obj) for resource, obj in ((SERVICES, service), (ENDPOINTSLICES, slices)) if obj is not None]
    verdict = service_verdict(ListedObjects(rows), REFERENCE)
    assert (verdict and verdict.reason) == reason
    if message is not None and verdict is not None:
        assert verdict.message == message


def test_a_condition_keeps_the_time_of_its_status_and_other_conditions() -> None:
    service = named("a", status={"conditions": [{"type": "Other", "status": "True"}]})
    first = with_condition(service, PASSED, 0.0)
    assert [entry["type"] for entry in first["status"]["conditions"]] == ["Other", "Available"]
    assert with_condition(first, PASSED, 60.0) is first
    worse = with_condition(first, Verdict(status="False", reason="X", message="x"), 60.0)
    assert (condition(worse, "Available") or {})["lastTransitionTime"] == "1970-01-01T00:01:00Z"
    other = with_condition(worse, Verdict(status="False", reason="Y", message="y"), 90.0)
    assert (condition(other, "Available") or {})["lastTransitionTime"] == "1970-01-01T00:01:00Z"


async def test_a_server_that_answers_is_available(aggregation: Aggregation) -> None:
    await aggregation.expose()
    found = await aggregation.available()
    assert (condition(found, "Available") or {})["message"] == "all checks passed"
    checks = [asked for asked in aggregation.extension.asked if asked.path == "/apis/wardle.example.com/v1alpha1"]
    assert checks[0].values("x-remote-user") == ["system:kube-aggregator"]
    assert checks[0].values("x-remote-group") == ["system:masters"]
    assert checks[0].user == "front-proxy-client"


async def test_a_server_that_fails_is_not_and_recovers(aggregation: Aggregation) -> None:
    aggregation.extension.is_healthy = False
    await aggregation.expose()
    found = await aggregation.available("FailedDiscoveryCheck")
    url = f"https://localhost:{aggregation.extension.port}/apis/wardle.example.com/v1alpha1"
    message = (condition(found, "Available") or {})["message"]
    assert message == f"failing or missing response from {url}: bad status from {url}: 500"
    async with (
        aggregation.session() as session,
        session.get(aggregation.url("/apis/wardle.example.com/v1alpha1")) as answer,
    ):
        assert (answer.status, await answer.text()) == (503, "service unavailable\n")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    aggregation.extension.is_healthy = True
    await aggregation.available()
    metrics = (await aggregation.client.request("GET", "/metrics")).body.decode()
    assert f'aggregator_unavailable_apiservice{{name="{NAME}"}} 0' in metrics


async def test_a_server_of_another_authority_is_not(aggregation: Aggregation, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = TestAuthority(tmp_path / "other")
    await aggregation.expose(caBundle=base64.b64encode(other.pem).decode())
    found = await aggregation.available("FailedDiscoveryCheck")
    assert "certificate verify failed" in (condition(found, "Available") or {})["message"].lower().replace("_", " ")
    await aggregation.client.update(
        APISERVICES, {**found, "spec": aggregation.api_service(insecureSkipTLSVerify=True, caBundle=None)["spec"]}
    )
    await aggregation.available()


async def test_a_service_that_comes_later_is_noticed(aggregation: Aggregation) -> None:
    await aggregation.client.create(APISERVICES, aggregation.api_service())
    await aggregation.available("ServiceNotFound")
    await aggregation.client.create(
        SERVICES,
        {
            "metadata": {"name": "api", "namespace": "default"},
            "spec": {"type": "ExternalName", "externalName": "127.0.0.1"},
        },
    )
    await aggregation.available()
