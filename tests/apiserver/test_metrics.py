"""``/metrics``: upstream's names and labels, in the text that Go's client library would write."""

from __future__ import annotations

import math
import random
import re
from pathlib import Path

import aiohttp
import msgspec
import pytest
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from steersman.aio.clock import FakeClock, SystemClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig, Listener
from steersman.apiserver.metrics.exposition import render
from steersman.apiserver.metrics.series import Distribution, number, rebucketed
from steersman.client.api import APPLY_PATCH, Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta.errors import Forbidden, Invalid, NotFound
from steersman.meta.resources import COMPONENTSTATUSES, CONFIGMAPS, PODS, SERVICES
from steersman.store.drivers.memory import MemoryStore
from steersman.store.drivers.sqlite import SQLiteStore
from tests.apiserver.authorities import TestAuthority
from tests.apiserver.builders import config_map, pod

COMPARED = "apiserver_request_timestamp_comparison_time"


async def _metrics(client: Client, path: str = "/metrics") -> str:
    answer = await client.request("GET", path)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    return answer.body.decode()


def _value(text: str, sample_name: str, **labels: str) -> float | None:
    """The one sample of that name with those labels among its own."""
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == sample_name and labels.items() <= sample.labels.items()
    ]
    assert len(found) < 2, f"{sample_name} {labels} is ambiguous"
    return found[0] if found else None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (1.0, "1"), (-3.0, "-3"), (0.005, "0.005"), (1.25, "1.25"), (0.0001, "0.0001"), (0.00001, "1e-05"),
        (999999.0, "999999"), (1e6, "1e+06"), (1234567.0, "1.234567e+06"), (1e9, "1e+09"), (1767225600.25, "1.76722560025e+09"),
        (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (0.1 + 0.2, "0.30000000000000004"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_go_writes_them(value: float, text: str) -> None:
    assert number(value) == text


def test_a_distribution_counts_values_up_to_each_bound() -> None:
    found = Distribution((0.5, 1.0))
    for value in (0.1, 0.5, 0.7, 1.0, 3.0):
        found.observe(value)
    assert found.buckets() == [("0.5", 2), ("1", 4), ("+Inf", 5)]
    assert found.total == pytest.approx(5.3)


def test_the_text_can_be_read_back() -> None:
    registry = CollectorRegistry()
    Gauge("b", 'a "quoted"\nhelp \\', ("x", "a"), registry=registry).labels('v"\\\n', "w").set(2.5)
    Histogram("a", "help", buckets=(0.1, 1.0), registry=registry).observe(0.5)
    text = render(registry).decode()
    assert text == (
        "# HELP a help\n# TYPE a histogram\n"
        'a_bucket{le="0.1"} 0\na_bucket{le="1"} 1\na_bucket{le="+Inf"} 1\na_count 1\na_sum 0.5\n'
        '# HELP b a "quoted"\\nhelp \\\\\n# TYPE b gauge\nb{a="w",x="v\\"\\\\\\n"} 2.5\n'
    )


async def test_requests_are_counted_by_what_they_are(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    await client.get(CONFIGMAPS, "a", namespace="default")
    await client.list(CONFIGMAPS, namespace="default")
    await client.list(CONFIGMAPS)
    await client.delete_collection(CONFIGMAPS, namespace="default")
    await client.request("POST", "/api/v1/namespaces/default/configmaps", query={"dryRun": "All"}, body=b"{}")
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}
    await client.patch(CONFIGMAPS, "b", applied, namespace="default", patch_type=APPLY_PATCH, field_manager="me")
    with pytest.raises(NotFound):
        await client.get(CONFIGMAPS, "missing", namespace="default")
    text = await _metrics(client)
    of = {"group": "", "version": "v1", "resource": "configmaps", "subresource": "", "component": "apiserver"}
    expected: list[tuple[str, str, str, str]] = [
        ("GET", "resource", "200", ""),
        ("GET", "resource", "404", ""),
        ("LIST", "namespace", "200", ""),
        ("LIST", "cluster", "200", ""),
        ("DELETE", "namespace", "200", ""),
        ("POST", "resource", "422", "All"),
        ("APPLY", "resource", "201", ""),
    ]
    for verb, scope, code, dry_run in expected:
        labels = {**of, "verb": verb, "scope": scope, "code": code, "dry_run": dry_run}
        assert _value(text, "apiserver_request_total", **labels), labels
    got = {**of, "verb": "GET", "scope": "resource"}
    count = _value(text, "apiserver_request_duration_seconds_count", **got, dry_run="")
    assert count is not None
    assert count >= 2, "the server reads some for itself"
    assert _value(text, "apiserver_request_sli_duration_seconds_count", **got) == count
    assert _value(text, "apiserver_response_sizes_count", **got) == count
    assert _value(text, "apiserver_response_sizes_bucket", **got, le="1e+09") == count
    assert _value(text, "apiserver_response_sizes_count", **{**of, "verb": "POST"}) is None
    sample = re.search(r"apiserver_request_total\{[^}]*\}", text)
    assert sample is not None
    assert re.findall(r"(\w+)=", sample[0]) == [
        "code", "component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version",
    ]  # fmt: skip
    bounds = re.findall(
        r'apiserver_request_duration_seconds_bucket\{[^}]*resource="configmaps"[^}]*verb="APPLY"[^}]*le="([^"]+)"', text
    )
    assert " ".join(bounds) == "0.005 0.025 0.05 0.1 0.2 0.4 0.6 0.8 1 1.25 1.5 2 3 4 5 6 8 10 15 20 30 45 60 +Inf"


def test_distributions_are_put_together_by_the_bounds_that_they_share() -> None:
    fine, other = Distribution((0.1, 0.5, 1.0)), Distribution((0.5, 1.0, 2.0))
    for value in (0.05, 0.5, 0.7, 3.0):
        fine.observe(value)
    other.observe(1.5)
    found = rebucketed((0.5, 1.0), (fine, other))
    assert found.buckets() == [("0.5", 2), ("1", 3), ("+Inf", 5)]
    assert found.total == pytest.approx(5.75)


async def test_filters_are_measured(client: Client) -> None:
    await client.list(CONFIGMAPS)
    text = await _metrics(client)
    requests = _value(text, "authentication_duration_seconds_count", result="success")
    assert requests
    for name in ("authentication", "authorization", "priorityandfairness"):
        count = _value(text, "apiserver_request_filter_duration_seconds_count", filter=name)
        assert count is not None
        assert 0 <= requests - count <= 1, f"{name}: all requests but the one that asks"
    bounds = re.findall(r'request_filter_duration_seconds_bucket\{filter="authentication",le="([^"]+)"', text)
    assert " ".join(bounds) == "0.0001 0.0003 0.001 0.003 0.01 0.03 0.1 0.3 1 5 10 15 30 +Inf"
    bounds = re.findall(r'authentication_duration_seconds_bucket\{result="success",le="([^"]+)"', text)
    assert bounds[:3] == ["0.001", "0.002", "0.004"]


async def test_writes_are_measured_by_their_bodies_and_their_validation(client: Client) -> None:
    body = msgspec.json.encode(config_map())
    for value in ("Strict", "Warn", "", "Lax"):
        path, query = "/api/v1/namespaces/default/configmaps", {"fieldValidation": value, "dryRun": "All"}
        await client.request("POST", path, query=query, body=body, headers={"content-type": "application/json"})
    text = await _metrics(client)
    sizes = {"group": "", "resource": "configmaps", "verb": "create"}
    assert _value(text, "apiserver_request_body_size_bytes_sum", **sizes) == 4 * len(body)
    assert _value(text, "apiserver_request_body_size_bytes_bucket", **sizes, le="50000") == 4
    count, all_count = "field_validation_request_duration_seconds_count", 0.0
    assert [_value(text, count, field_validation=value) for value in ("Strict", "Warn", "invalid")] == [1, 1, 1]
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "apiserver_request_duration_seconds_count":
                all_count += sample.value
    assert (_value(text, count, field_validation="") or 0) + 3 == all_count


async def test_comparisons_of_updates_are_measured_by_what_they_find(client: Client) -> None:
    name, namespace = "a", "default"
    found = await client.create(CONFIGMAPS, config_map())
    before = await _metrics(client)
    await client.update(CONFIGMAPS, found)
    for value in ("1", "2"):
        await client.patch(CONFIGMAPS, name, {"data": {"x": value}}, namespace=namespace, field_manager="me")
    after = await _metrics(client)

    def grown(way: str) -> float:
        counts = [_value(text, f"{COMPARED}_count", code_path=way) or 0 for text in (before, after)]
        return counts[1] - counts[0]

    assert [grown(way) for way in ("equal_objects", "unequal_objects_fast", "unequal_objects_slow")] == [1, 1, 1]


async def test_services_allocations_are_counted(client: Client) -> None:
    before = await _metrics(client)
    for name, spec in (
        ("any", {"type": "NodePort"}),
        ("chosen", {"clusterIP": "10.96.0.77"}),
    ):
        ports = [{"port": 80, "protocol": "TCP"}]
        service = {"metadata": {"name": name, "namespace": "default"}, "spec": {"ports": ports, **spec}}
        await client.create(SERVICES, service)
    taken = {"metadata": {"name": "late", "namespace": "default"}, "spec": {"clusterIP": "10.96.0.77", "ports": ports}}
    with pytest.raises(Invalid):
        await client.create(SERVICES, taken)
    after = await _metrics(client)

    def grown(name: str, **labels: str) -> float:
        return (_value(after, name, **labels) or 0) - (_value(before, name, **labels) or 0)

    cidr, addresses = "10.96.0.0/16", "kube_apiserver_clusterip_allocator"
    assert grown(f"{addresses}_allocated_ips", cidr=cidr) == 2
    assert grown(f"{addresses}_available_ips", cidr=cidr) == -2
    assert grown(f"{addresses}_allocation_total", cidr=cidr, scope="dynamic") == 1
    assert grown(f"{addresses}_allocation_total", cidr=cidr, scope="static") == 1
    assert grown(f"{addresses}_allocation_errors_total", cidr=cidr, scope="static") == 1
    assert grown("kube_apiserver_nodeport_allocator_allocated_ports") == 1
    assert grown("kube_apiserver_nodeport_allocator_allocation_total", scope="dynamic") == 1


async def test_the_build_is_told(client: Client) -> None:
    assert _value(await _metrics(client), "kubernetes_build_info", git_version="v1.36.0", major="1", minor="36") == 1


async def test_requests_for_deprecated_versions_are_told(client: Client) -> None:
    of = {"group": "", "version": "v1", "resource": "componentstatuses", "subresource": "", "removed_release": ""}
    assert _value(await _metrics(client), "apiserver_requested_deprecated_apis", **of) is None
    await client.list(COMPONENTSTATUSES)
    assert _value(await _metrics(client), "apiserver_requested_deprecated_apis", **of) == 1


async def test_what_nobody_answers_is_not_counted() -> None:
    clock = FakeClock()
    config = APIServerConfig(authorization_modes=("RBAC",))
    server = APIServer(store=MemoryStore(clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    eve = Client(InProcessTransport(server.handle, user="eve", groups=()))
    with pytest.raises(Forbidden):
        await eve.list(PODS)
    admin = Client(InProcessTransport(server.handle))
    for number_ in range(5):
        assert (await admin.request("GET", f"/apis/nowhere/v1/things{number_}")).status == 404
        assert (await admin.request("GET", f"/nowhere/{number_}")).status == 404
    text = await _metrics(admin)
    assert "nowhere" not in text
    assert _value(text, "apiserver_request_total", resource="pods", verb="LIST", scope="cluster", code="403") is None
    assert _value(text, "authorization_attempts_total", result="no-opinion") == 1
    assert (_value(text, "authorization_attempts_total", result="allowed") or 0) > 10
    assert re.search(r'^authenticated_user_requests\{username="other"\} [1-9]\d+$', text, re.MULTILINE)
    assert re.search(r'^authentication_attempts\{result="success"\} [1-9]\d+$', text, re.MULTILINE)
    assert _value(text, "authentication_duration_seconds_bucket", result="success", le="16.384")
    await server.close()


async def test_watches_are_counted_while_they_last_and_when_they_end(client: Client, clock: FakeClock) -> None:
    await client.create(CONFIGMAPS, config_map())
    watch = client.watch(CONFIGMAPS, namespace="default", send_initial_events=True, timeout_s=30)
    await anext(watch)
    await anext(watch)
    await client.create(CONFIGMAPS, config_map("b"))
    await anext(watch)
    text = await _metrics(client)
    of = {"group": "", "version": "v1", "resource": "configmaps"}
    running = {**of, "verb": "WATCH", "scope": "namespace", "subresource": "", "component": "apiserver"}
    assert _value(text, "apiserver_longrunning_requests", **running) == 1
    assert _value(text, "apiserver_request_total", **running) is None
    assert _value(text, "apiserver_watch_events_total", **of) == 3
    assert _value(text, "apiserver_watch_events_sizes_count", **of) == 3
    assert _value(text, "apiserver_watch_events_sizes_bucket", **of, le="131072") == 3
    assert _value(text, "apiserver_init_events_total", group="", resource="configmaps") == 1
    assert _value(text, "apiserver_watch_list_duration_seconds_count", **of, scope="namespace") == 1
    await clock.advance(40)
    assert [event async for event in watch] == []
    text = await _metrics(client)
    assert _value(text, "apiserver_longrunning_requests", **running) == 0
    assert _value(text, "apiserver_request_total", **running, code="200") == 1
    assert _value(text, "apiserver_request_duration_seconds_sum", **running) == 40


async def test_what_the_store_has_and_is_asked_is_counted(tmp_path: Path) -> None:
    clock = SystemClock()
    store = SQLiteStore(tmp_path / "store.db", clock)
    config = APIServerConfig(disabled_admission_plugins=("ServiceAccount",))
    server = APIServer(store=store, clock=clock, config=config, rng=random.Random(7))
    await server.start()
    client = Client(InProcessTransport(server.handle))
    for name in "abc":
        await client.create(PODS, pod(name))
    await client.list(PODS, label_selector="a=b")
    text = await _metrics(client)
    assert _value(text, "apiserver_storage_objects", resource="pods") == 3
    assert _value(text, "apiserver_resource_objects", group="", resource="pods") == 3
    assert _value(text, "apiserver_resource_objects", group="apps", resource="deployments") == 0
    assert (_value(text, "apiserver_resource_objects", group="", resource="services") or 0) == 1
    assert (_value(text, "apiserver_resource_size_estimate_bytes", group="", resource="pods") or 0) > 1000
    assert _value(text, "etcd_request_duration_seconds_count", operation="create", group="", resource="pods") == 3
    assert _value(text, "etcd_requests_total", operation="create", group="", resource="pods") == 3
    assert _value(text, "apiserver_watch_cache_events_received_total", group="", resource="pods") == 3
    assert _value(text, "apiserver_storage_events_received_total", group="", resource="pods") == 3
    assert (_value(text, "watch_cache_capacity", group="", resource="pods") or 0) >= 1000
    assert (_value(text, "apiserver_watch_cache_resource_version", group="", resource="pods") or 0) >= 3
    assert _value(text, "apiserver_cache_list_fetched_objects_total", group="", resource="pods", index="") == 3
    assert _value(text, "apiserver_cache_list_returned_objects_total", group="", resource="pods") == 0
    assert (_value(text, "apiserver_storage_size_bytes", storage_cluster_id="etcd-0") or 0) >= 4096
    await server.close()


async def test_health_checks_are_service_level_indicators(client: Client) -> None:
    assert (await client.request("GET", "/readyz")).status == 200
    text = await _metrics(client, "/metrics/slis")
    assert _value(text, "kubernetes_healthcheck", name="ping", type="readyz") == 1
    assert _value(text, "kubernetes_healthchecks_total", name="ping", type="readyz", status="success") == 1
    assert "apiserver_request_total" not in text


async def test_handshakes_that_fail_are_counted(tmp_path: Path) -> None:
    authority = TestAuthority(tmp_path)
    serving = authority.server()
    listener = Listener(
        bind_address="127.0.0.1", port=0, certificate_file=str(serving.certificate), key_file=str(serving.key)
    )
    clock = SystemClock()
    config = APIServerConfig(client_ca=authority.pem, listener=listener)
    server = APIServer(store=MemoryStore(clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    port = await server.serve("127.0.0.1", 0, tls=server.tls(listener))
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"https://127.0.0.1:{port}/version")  # an authority that the client does not know
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://127.0.0.1:{port}/version")
        async with session.get(f"https://127.0.0.1:{port}/version", ssl=authority.client_context()) as answer:
            assert answer.status == 200
    text = await _metrics(Client(InProcessTransport(server.handle)))
    assert _value(text, "apiserver_tls_handshake_errors_total") == 2
    await server.close()
