"""The cluster's zone: the names of the specification, and updates that amount to a zone built from scratch."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.dns import message
from steersman.dns.message import AAAA, CNAME, PTR, SOA, SRV, TXT, A, encode_name
from steersman.dns.zone import Zone
from steersman.meta import objects
from steersman.meta.objects import Object

DOMAIN = "cluster.local"


def service(name: str = "web", namespace: str = "default", **spec: Any) -> Object:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": "10.96.0.9", "ports": ports, **spec},
    }


def slice_of(*endpoints: Object, family: str = "IPv4") -> Object:
    return {"addressType": family, "ports": [{"name": "http", "port": 8080}], "endpoints": [*endpoints]}


HEADLESS = service("set", clusterIP="None")
PODS = slice_of(
    {"addresses": ["10.1.0.1"], "hostname": "set-0"},
    {"addresses": ["10.1.0.2"]},
    {"addresses": ["10.1.0.3"], "conditions": {"ready": False}},
)


@pytest.fixture
def zone() -> Zone:
    zone = Zone(DOMAIN)
    zone.set_namespaces(["default", "empty"])
    zone.put_service(service(clusterIPs=["10.96.0.9", "fd00::9"]), [])
    zone.put_service(HEADLESS, [PODS])
    zone.put_service(service("out", type="ExternalName", externalName="example.org", clusterIP=""), [])
    return zone


def said(zone: Zone, name: str, kind: int) -> Any:
    """Readable data of the answer; None for no such name, "elsewhere" for a name that is not ours."""
    answer = zone.lookup(encode_name(name), kind)
    if answer is None:
        return "elsewhere"
    if not answer.exists:
        return None
    return sorted(readable(record) for record in answer.records)


def readable(record: message.Record) -> str:
    if record.type in (A, AAAA):
        return str(ipaddress.ip_address(record.data))
    if record.type == SRV:
        port = int.from_bytes(record.data[4:6], "big")
        return f"{port} {'.'.join(message.decode_labels(record.data[6:]))}"
    return ".".join(message.decode_labels(record.data))


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.default.svc.cluster.local", A, ["10.96.0.9"]),
        ("web.default.svc.cluster.local", AAAA, ["fd00::9"]),
        ("web.default.svc.cluster.local", TXT, []),
        ("_http._tcp.web.default.svc.cluster.local", SRV, ["80 web.default.svc.cluster.local"]),
        ("_tcp.web.default.svc.cluster.local", A, []),
        ("9.0.96.10.in-addr.arpa", PTR, ["web.default.svc.cluster.local"]),
        ("8.0.96.10.in-addr.arpa", PTR, "elsewhere"),
        ("set.default.svc.cluster.local", A, ["10.1.0.1", "10.1.0.2"]),
        ("set-0.set.default.svc.cluster.local", A, ["10.1.0.1"]),
        ("10-1-0-2.set.default.svc.cluster.local", A, ["10.1.0.2"]),
        ("10-1-0-3.set.default.svc.cluster.local", A, None),
        (
            "_http._tcp.set.default.svc.cluster.local",
            SRV,
            ["8080 10-1-0-2.set.default.svc.cluster.local", "8080 set-0.set.default.svc.cluster.local"],
        ),
        ("1.0.1.10.in-addr.arpa", PTR, ["set-0.set.default.svc.cluster.local"]),
        ("out.default.svc.cluster.local", CNAME, ["example.org"]),
        ("out.default.svc.cluster.local", A, ["example.org"]),
        ("no.default.svc.cluster.local", A, None),
        ("default.svc.cluster.local", A, []),
        ("empty.svc.cluster.local", A, []),
        ("missing.svc.cluster.local", A, None),
        ("svc.cluster.local", A, []),
        ("cluster.local", A, []),
        ("1-2-3-4.default.pod.cluster.local", A, ["1.2.3.4"]),
        ("1-2-3-4.default.pod.cluster.local", AAAA, []),
        ("fd00--1.default.pod.cluster.local", AAAA, ["fd00::1"]),
        ("1-2-3-4.missing.pod.cluster.local", A, None),
        ("1-2-3.default.pod.cluster.local", A, None),
        ("example.org", A, "elsewhere"),
        ("notcluster.local", A, "elsewhere"),
    ],
)
def test_names_of_the_specification(zone: Zone, name: str, kind: int, expected: Any) -> None:
    assert said(zone, name, kind) == expected


def test_the_apex_says_which_version_of_the_zone_and_the_specification_this_is(zone: Zone) -> None:
    before = zone.lookup(zone.apex, SOA)
    zone.remove_service("default/web")
    after = zone.lookup(zone.apex, SOA)
    assert before is not None
    assert after is not None
    assert before.records != after.records
    version = zone.lookup(encode_name("dns-version.cluster.local"), TXT)
    assert version is not None
    assert version.records[0].data == b"\x051.1.0"


def test_a_service_that_goes_takes_its_names_along(zone: Zone) -> None:
    for key in ("default/web", "default/set", "default/out"):
        zone.remove_service(key)
    assert said(zone, "web.default.svc.cluster.local", A) is None
    assert said(zone, "9.0.96.10.in-addr.arpa", PTR) == "elsewhere"
    assert said(zone, "_tcp.web.default.svc.cluster.local", A) is None


LAST = st.integers(1, 4)
ENDPOINTS = st.lists(
    st.builds(
        lambda last, hostname, ready: {
            "addresses": [f"10.1.0.{last}"], "conditions": {"ready": ready}, **({"hostname": hostname} if hostname else {}),
        },
        LAST, st.sampled_from(("", "a", "b")), st.booleans(),
    ),
    max_size=4,
)  # fmt: skip
SERVICES = st.builds(
    lambda name, address, kind: service(
        name, clusterIP=address, **({"type": "ExternalName", "externalName": f"{name}.org"} if kind else {})
    ),
    st.sampled_from(("a", "b", "c")),
    st.sampled_from(("None", "10.96.0.1", "10.96.0.2")),
    st.booleans(),
)
STEPS = st.lists(st.one_of(st.tuples(SERVICES, ENDPOINTS), st.sampled_from(("a", "b", "c"))), max_size=12)


@given(STEPS)
def test_updates_amount_to_a_zone_built_from_scratch(steps: list[tuple[Object, list[Object]] | str]) -> None:
    zone, held = Zone(DOMAIN), dict[str, tuple[Object, list[Object]]]()
    for step in steps:
        if isinstance(step, str):
            zone.remove_service(f"default/{step}")
            held.pop(f"default/{step}", None)
        else:
            key = objects.key_of(step[0])
            zone.put_service(step[0], [slice_of(*step[1])])
            held.pop(key, None)
            held[key] = step
    fresh = Zone(DOMAIN)
    for given_service, endpoints in held.values():
        fresh.put_service(given_service, [slice_of(*endpoints)])
    assert zone._names == fresh._names
    assert zone._parents == fresh._parents
    assert zone._services == fresh._services
