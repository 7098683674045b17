"""HTTP extenders, against a small one on the loopback interface: every verb, in both forms, over TLS."""

from __future__ import annotations

import asyncio
import base64
import random
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec import Struct, field
from msgspec.structs import replace

from steersman.aio.clock import SystemClock
from steersman.apiserver.component import APIServer
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.cluster.pki import Authority, Identity, Pair
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PODS
from steersman.scheduler.component import DEFAULT_PLUGINS, Scheduler, SchedulerConfig
from steersman.scheduler.configuration import LeaderElection, read_configuration
from steersman.scheduler.extender_configuration import TLS, Extender
from steersman.scheduler.framework import Nomination
from steersman.scheduler.http_extender import ExtenderFailed, HTTPExtender
from steersman.scheduler.pod_info import parse_pod
from steersman.store.drivers.memory import MemoryStore
from steersman.testing.waiting import eventually
from tests.scheduler.builders import cluster_of, core_of, node, pod
from tests.scheduler.conftest import CONFIG
from tests.scheduler.test_component import create, node_of


class Other(Struct):
    """An extender: rejects node ``b``, likes node ``c``, and remembers what it was asked."""

    asked: list[tuple[str, Object]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    """By verb, instead of the usual answer. An integer is a status."""
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        verb, body = request.path.strip("/"), await request.json()
        self.asked.append((verb, body))
        answer = self.answers.get(verb)
        if isinstance(answer, int):
            return web.Response(status=answer)
        if answer is None:
            answer = getattr(self, f"_{verb}")(body)
        elif callable(answer):
            answer = await answer(body)
        return web.json_response(answer)

    def _filter(self, body: Object) -> Object:
        names = body["NodeNames"] or [item["metadata"]["name"] for item in body["Nodes"]["items"]]
        left = [name for name in names if name != "b"]
        failed = {"b": "not on a Monday"} if "b" in names else {}
        if body["NodeNames"] is not None:
            return {"NodeNames": left, "FailedNodes": failed}
        items = [item for item in body["Nodes"]["items"] if item["metadata"]["name"] in left]
        return {"nodes": {"items": items}, "failedNodes": failed}

    def _prioritize(self, body: Object) -> list[Object]:
        return [{"Host": "c", "Score": 10}]

    def _preempt(self, body: Object) -> Object:
        stated = body["NodeNameToMetaVictims"] or body["NodeNameToVictims"]
        uids = {name: [victim.get("UID") or victim["metadata"]["uid"] for victim in entry["Pods"]]
                for name, entry in stated.items() if name != "b"}  # fmt: skip
        return {"NodeNameToMetaVictims": {
            name: {"Pods": [{"UID": uid} for uid in found], "NumPDBViolations": 0} for name, found in uids.items()}}  # fmt: skip

    def _bind(self, body: Object) -> Object:
        return {}

    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.asked]


async def serve(other: Other, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    app = web.Application()
    app.router.add_post("/{verb}", other.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    other.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
    return runner


@pytest.fixture
async def other() -> AsyncIterator[Other]:
    served = Other()
    runner = await serve(served)
    yield served
    await runner.cleanup()


Made = Callable[..., HTTPExtender]


@pytest.fixture
async def extender(other: Other) -> AsyncIterator[Made]:
    """Makes extenders of all verbs; they are closed with the test."""
    made: list[HTTPExtender] = []

    def make(**options: Any) -> HTTPExtender:
        config = Extender(url_prefix=other.url, filter_verb="filter", prioritize_verb="prioritize", weight=2,
                          preempt_verb="preempt", bind_verb="bind")  # fmt: skip
        made.append(HTTPExtender(replace(config, **options)))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.mark.parametrize("cache_capable", [True, False])
async def test_filters_and_prioritizes(other: Other, extender: Made, cache_capable: bool) -> None:
    each = extender(node_cache_capable=cache_capable)
    cluster = cluster_of(node("a"), node("b"), node("c"))
    core = core_of(cluster)
    found = core.search(parse_pod(pod()))
    outcome = await each.filter(found.pod, found.names(), cluster.nodes)
    found.restrict(outcome.names, outcome.failed, outcome.unresolvable)
    scores = await each.prioritize(found.pod, found.names(), cluster.nodes)
    assert (sorted(found.names()), scores) == (["a", "c"], {"c": 200})
    assert core.select(found, more=scores).node_name == "c"
    body = other.asked[0][1]
    assert set(body) == {"Pod", "Nodes", "NodeNames"}
    assert (body["Nodes"] is None, body["NodeNames"] is None) == (cache_capable, not cache_capable)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"FailedNodes": {"b": "not on a Monday"}}, "0/1 nodes are available: 1 not on a Monday. "),
        ({"FailedAndUnresolvableNodes": {"b": "never"}, "FailedNodes": {"b": "not now"}},
         "0/1 nodes are available: 1 never. "),
        ({}, "0/1 nodes are available: no new"),
    ],
)  # fmt: skip
async def test_reasons_of_extenders_are_part_of_the_message(
    other: Other, extender: Made, answer: Object, expected: str
) -> None:
    other.answers["filter"] = answer
    cluster = cluster_of(node("b"))
    core = core_of(cluster)
    found = core.search(parse_pod(pod()))
    outcome = await extender().filter(found.pod, found.names(), cluster.nodes)
    found.restrict(outcome.names, outcome.failed, outcome.unresolvable)
    decision = core.give_up(found)
    assert decision.diagnosis is not None
    assert decision.diagnosis.message.startswith(expected)
    assert "Extenders" in decision.diagnosis.plugins


@pytest.mark.parametrize("cache_capable", [True, False])
async def test_says_which_nodes_may_be_cleared(other: Other, extender: Made, cache_capable: bool) -> None:
    cluster = cluster_of(
        node("a", cpu="1"), node("b", cpu="1"),
        pod("x", cpu="1", node_name="a", priority=5), pod("y", cpu="1", node_name="b"),
    )  # fmt: skip
    core = core_of(cluster)
    decision = core.give_up(core.search(parse_pod(pod("high", cpu="1", priority=9)), wants_alternatives=True))
    assert isinstance(decision.nomination, Nomination)
    assert decision.nomination.node_name == "b"
    offered = {each.node_name: each for each in decision.nomination.alternatives}
    assert set(offered) == {"a", "b"}
    left = await extender(node_cache_capable=cache_capable).preempt(decision.pod, offered, cluster.nodes)
    assert {name: [victim.name for victim in each.victims] for name, each in left.items()} == {"a": ["x"]}
    stated, absent = ("NodeNameToMetaVictims", "NodeNameToVictims")[:: 1 if cache_capable else -1]
    assert other.asked[0][1][stated] and other.asked[0][1][absent] is None


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (500, "failed filter with extender at URL http://127.0.0.1:.*/filter, code 500"),
        ({"Error": "no idea"}, "no idea"),
        ({"NodeNames": ["z"]}, 'claims a filtered node "z" which is not found in the input node list'),
    ],
)
async def test_a_failure_says_what(other: Other, extender: Made, answer: Any, problem: str) -> None:
    other.answers["filter"] = answer
    cluster = cluster_of(node("a"))
    with pytest.raises(ExtenderFailed, match=problem):
        await extender(node_cache_capable=True).filter(parse_pod(pod()), ["a"], cluster.nodes)


async def test_an_extender_that_does_not_answer_in_time_has_failed(other: Other, extender: Made) -> None:
    never = asyncio.Event()

    async def hang(_: Object) -> None:
        await never.wait()

    other.answers["filter"] = hang
    with pytest.raises(ExtenderFailed, match="Post "):
        await extender(timeout_s=0.05).filter(parse_pod(pod()), ["a"], cluster_of(node("a")).nodes)
    never.set()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [{"name": "c", "resources": {"requests": {"example.com/gpu": "1"}}}]}, True),
        ({"containers": [{"name": "c", "resources": {"limits": {"example.com/gpu": "1"}}}]}, True),
        (
            {"containers": [], "initContainers": [{"name": "c", "resources": {"limits": {"example.com/gpu": "1"}}}]},
            True,
        ),
        ({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}, False),
    ],
)
def test_managed_resources_say_which_pods_are_of_interest(spec: Object, expected: bool) -> None:
    each = HTTPExtender(Extender(url_prefix="http://x", managed_resources=(("example.com/gpu", False),)))
    obj = pod()
    assert each.is_interested_in(parse_pod({**obj, "spec": spec})) is expected


class TestTLS:
    """The extender has a certificate for ``extender.example.com`` and asks for one of its clients."""

    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(Pair.of(tmp_path, "ca"), common_name="authority", clock=SystemClock())

    @pytest.fixture
    async def secure(self, tmp_path: Path, authority: Authority) -> AsyncIterator[Other]:
        server = Pair.of(tmp_path, "server")
        authority.ensure(server, Identity(common_name="extender", hosts=("extender.example.com",)))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.pair.certificate))
        context.load_cert_chain(server.certificate, server.key)
        context.verify_mode = ssl.CERT_REQUIRED
        served = Other()
        runner = await serve(served, context)
        yield served
        await runner.cleanup()

    @pytest.fixture
    def client(self, tmp_path: Path, authority: Authority) -> Pair:
        pair = Pair.of(tmp_path, "client")
        authority.ensure(pair, Identity(common_name="scheduler"))
        return pair

    async def ask(self, secure: Other, tls: TLS) -> frozenset[str]:
        each = HTTPExtender(Extender(url_prefix=secure.url, filter_verb="filter", tls=tls))
        try:
            return (await each.filter(parse_pod(pod()), ["a"], cluster_of(node("a")).nodes)).names
        finally:
            await each.close()

    async def test_both_sides_show_certificates(self, secure: Other, authority: Authority, client: Pair) -> None:
        files = TLS(ca_file=str(authority.pair.certificate), cert_file=str(client.certificate),
                    key_file=str(client.key), server_name="extender.example.com")  # fmt: skip
        assert await self.ask(secure, files) == {"a"}
        data = TLS(ca_data=authority.pair.certificate.read_bytes(), cert_data=client.certificate.read_bytes(),
                   key_data=client.key.read_bytes(), server_name="extender.example.com")  # fmt: skip
        assert await self.ask(secure, data) == {"a"}

    async def test_a_certificate_for_another_name_is_not_trusted_unless_none_needs_to_be(
        self, secure: Other, authority: Authority, client: Pair
    ) -> None:
        tls = TLS(ca_file=str(authority.pair.certificate), cert_file=str(client.certificate), key_file=str(client.key))
        with pytest.raises(ExtenderFailed, match="certificate"):
            await self.ask(secure, tls)
        assert await self.ask(secure, replace(tls, insecure=True)) == {"a"}

    async def test_a_stranger_is_turned_away(self, secure: Other, authority: Authority) -> None:
        tls = TLS(ca_file=str(authority.pair.certificate), server_name="extender.example.com")
        with pytest.raises(ExtenderFailed):
            await self.ask(secure, tls)

    def test_https_without_an_authority_trusts_anybody_as_upstream_does(self) -> None:
        def read(**fields: Any) -> TLS:
            head = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
            document = {**head, "extenders": [{"urlPrefix": "https://x", **fields}]}
            return read_configuration(document, DEFAULT_PLUGINS).extenders[0].tls

        assert read(enableHTTPS=True).insecure
        assert not read(enableHTTPS=True, tlsConfig={"caFile": "/ca"}).insecure
        assert read(tlsConfig={"caData": base64.b64encode(b"x").decode()}).ca_data == b"x"


Started = Callable[..., Any]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    clock = SystemClock()
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=CONFIG, rng=random.Random(7))
    await server.start()
    yield Client(InProcessTransport(server.handle))
    await server.close()


@pytest.fixture
async def start(client: Client, other: Other) -> AsyncIterator[Started]:
    """A scheduler with one extender, on the system's clock: sockets know no other."""
    tasks: list[asyncio.Task[None]] = []

    async def started(**entry: Any) -> None:
        head = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
        document = {**head, "extenders": [{"urlPrefix": other.url, "weight": 1, **entry}]}
        configuration = replace(
            read_configuration(document, DEFAULT_PLUGINS), leader_election=LeaderElection(leader_elect=False)
        )
        scheduler = Scheduler(client=client, clock=SystemClock(), config=SchedulerConfig(configuration=configuration))
        tasks.append(asyncio.create_task(scheduler.run()))
        await eventually(scheduler.ready, clock=SystemClock())

    yield started
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def is_on(client: Client, name: str, wanted: str) -> None:
    async def there() -> bool:
        return await node_of(client, name) == wanted

    await eventually(there, clock=SystemClock(), timeout_s=20.0)


async def message_of(client: Client, name: str, part: str) -> None:
    async def told() -> bool:
        entry = objects.condition(await client.get(PODS, name, namespace="default"), "PodScheduled") or {}
        return part in entry.get("message", "")

    await eventually(told, clock=SystemClock(), timeout_s=20.0)


class TestInTheScheduler:
    async def test_it_has_its_say_in_every_decision(self, client: Client, other: Other, start: Started) -> None:
        await create(client, node("a"), node("b"), node("c"), pod("p1"))
        await start(filterVerb="filter", prioritizeVerb="prioritize", nodeCacheCapable=True)
        await is_on(client, "p1", "c")
        assert other.verbs() == ["filter", "prioritize"]

    async def test_it_may_bind(self, client: Client, other: Other, start: Started) -> None:
        bound = asyncio.Event()

        async def bind(body: Object) -> Object:
            target = {"apiVersion": "v1", "kind": "Node", "name": body["Node"]}
            metadata = {"name": body["PodName"], "namespace": body["PodNamespace"], "uid": body["PodUID"]}
            await client.create(PODS, {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target},
                                namespace="default", name=body["PodName"], subresource="binding")  # fmt: skip
            bound.set()
            return {}

        other.answers["bind"] = bind
        await create(client, node("a"), pod("p1"))
        await start(bindVerb="bind")
        await is_on(client, "p1", "a")
        assert bound.is_set()

    async def test_it_chooses_what_is_preempted(self, client: Client, other: Other, start: Started) -> None:
        await create(client, node("a", cpu="1"), node("b", cpu="1"))
        await create(client, pod("x", cpu="1", priority=5, node_name="a", terminationGracePeriodSeconds=0),
                     pod("y", cpu="1", priority=0, node_name="b", terminationGracePeriodSeconds=0))  # fmt: skip
        await start(preemptVerb="preempt", nodeCacheCapable=True)
        await create(client, pod("high", cpu="1", priority=9))
        await is_on(client, "high", "a")
        assert [objects.name(each) for each in (await client.list(PODS, namespace="default")).items] == ["high", "y"]

    async def test_one_that_fails_fails_the_try(self, client: Client, other: Other, start: Started) -> None:
        other.answers["filter"] = 500
        await create(client, node("a"), pod("p1"))
        await start(filterVerb="filter")
        await message_of(client, "p1", "failed filter with extender at URL")
        other.answers.pop("filter")
        await is_on(client, "p1", "a")

    async def test_one_that_may_be_ignored_is(self, client: Client, other: Other, start: Started) -> None:
        other.answers |= {"filter": 500, "prioritize": 500, "bind": 500}
        await create(client, node("a"), node("c"), pod("p1", nodeSelector={"kubernetes.io/hostname": "a"}))
        await start(filterVerb="filter", prioritizeVerb="prioritize", bindVerb="bind", ignorable=True)
        await is_on(client, "p1", "a")

    async def test_pods_without_its_resources_are_none_of_its_business(
        self, client: Client, other: Other, start: Started
    ) -> None:
        await create(client, node("a"), node("c", more={"example.com/gpu": "1"}), pod("p1"))
        await start(filterVerb="filter", managedResources=[{"name": "example.com/gpu", "ignoredByScheduler": True}])
        wanted = pod("p2", requests={"example.com/gpu": "1"})
        wanted["spec"]["containers"][0]["resources"]["limits"] = {"example.com/gpu": "1"}
        await create(client, wanted)

        async def both_are_bound() -> bool:
            return bool(await node_of(client, "p1")) and bool(await node_of(client, "p2"))

        await eventually(both_are_bound, clock=SystemClock(), timeout_s=20.0)
        assert [body["Pod"]["metadata"]["name"] for _, body in other.asked] == ["p2"]
