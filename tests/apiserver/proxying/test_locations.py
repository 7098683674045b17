"""Where the names in proxy URLs lead."""

from __future__ import annotations

import random

import pytest

from steersman.apiserver.config import KubeletAccess
from steersman.apiserver.proxying.locations import Locations
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTS, NODES, PODS, SERVICES
from tests.apiserver.readers import ListedObjects, named


def _pod(name: str = "web", address: str = "192.0.2.5", port: int = 8080) -> Object:
    spec = {"containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": port}]}]}
    return named(name, "ns", spec=spec, status={"podIP": address, "podIPs": [{"ip": address}]})


def _endpoints(*pods: str, ready: bool = True) -> Object:
    addresses = [{"ip": "192.0.2.5", "targetRef": {"kind": "Pod", "namespace": "ns", "name": pod}} for pod in pods]
    ports = [{"name": "http", "port": 8080}, {"name": "tls", "port": 8443}]
    return named("svc", "ns", subsets=[{"addresses" if ready else "notReadyAddresses": addresses, "ports": ports}])


SERVICE = named("svc", "ns", spec={"ports": [{"name": "http", "port": 80}, {"name": "tls", "port": 443}]})
NODE = named(
    "node",
    status={
        "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    },
)


def _locations(*rows: tuple[object, Object]) -> Locations:
    access = KubeletAccess(preferred_address_types=("InternalIP", "Hostname"))
    return Locations(ListedObjects(rows), access, rng=random.Random(7))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("web", "http://192.0.2.5:8080/x"),
        ("web:", "http://192.0.2.5:8080/x"),
        ("web:90", "http://192.0.2.5:90/x"),
        ("http:web:90", "http://192.0.2.5:90/x"),
        ("https:web:", "https://192.0.2.5:8080/x"),
        ("https:web:443", "https://192.0.2.5:443/x"),
    ],
)
def test_pods(name: str, url: str) -> None:
    assert _locations((PODS, _pod())).pod_proxy("ns", name, "/x", "").url == url


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ftp:web:21", 'invalid pod request "ftp:web:21"'),
        (":80", 'invalid pod request ":80"'),
        ("a:b:c:d", 'invalid pod request "a:b:c:d"'),
        ("other", 'pods "other" not found'),
    ],
)
def test_what_is_no_pod(name: str, message: str) -> None:
    with pytest.raises(APIError) as caught:
        _locations((PODS, _pod())).pod_proxy("ns", name, "/", "")
    assert caught.value.message == message


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "::ffff:127.0.0.1", ""]
)  # fmt: skip
def test_addresses_that_are_not_reached(address: str) -> None:
    with pytest.raises(APIError, match="address not allowed"):
        _locations((PODS, _pod(address=address))).pod_proxy("ns", "web", "/", "")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("svc:http", "http://192.0.2.5:8080/"),
        ("http:svc:http", "http://192.0.2.5:8080/"),
        ("svc:80", "http://192.0.2.5:8080/"),
        ("https:svc:tls", "https://192.0.2.5:8443/"),
        ("https:svc:443", "https://192.0.2.5:8443/"),
    ],
)
def test_services(name: str, url: str) -> None:
    found = _locations((PODS, _pod()), (SERVICES, SERVICE), (ENDPOINTS, _endpoints("web")))
    assert found.service_proxy("ns", name, "/", "").url == url


@pytest.mark.parametrize(
    ("endpoints", "name", "code", "message"),
    [
        (_endpoints("web"), "svc", 503, 'no endpoints available for service "svc"'),
        (_endpoints("web"), "svc:81", 503, 'no service port 81 found for service "svc"'),
        (_endpoints("web"), "svc:other", 503, 'no endpoints available for service "svc:other"'),
        (_endpoints("gone"), "svc:http", 503, 'no endpoints available for service "svc:http"'),
        (_endpoints("web", ready=False), "svc:http", 503, 'no endpoints available for service "svc:http"'),
        (named("svc", "ns"), "svc:http", 503, 'no endpoints available for service "svc"'),
        (None, "svc:http", 404, 'services "svc" not found'),
    ],
)
def test_services_without_a_pod_behind(endpoints: Object | None, name: str, code: int, message: str) -> None:
    rows = [(PODS, _pod()), (SERVICES, SERVICE), *([(ENDPOINTS, endpoints)] if endpoints else [])]
    with pytest.raises(APIError) as caught:
        _locations(*rows).service_proxy("ns", name, "/", "")
    assert (caught.value.http_code, caught.value.message) == (code, message)


@pytest.mark.parametrize(
    ("name", "url", "is_kubelet"),
    [
        ("node", "https://192.0.2.7:10250/logs/", True),
        ("node:10250", "https://192.0.2.7:10250/logs/", True),
        ("node:9100", "http://192.0.2.7:9100/logs/", False),
        ("https:node:9100", "https://192.0.2.7:9100/logs/", False),
    ],
)
async def test_nodes(name: str, url: str, is_kubelet: bool) -> None:
    found = await _locations((NODES, NODE)).node_proxy(name, "/logs/", "")
    assert found.url == url
    assert (found.tls is not None) is is_kubelet
