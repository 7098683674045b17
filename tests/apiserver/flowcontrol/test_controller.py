"""Priority and fairness in front of a server: who is let through while somebody asks for ten times of what there is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.authn.api import User
from steersman.apiserver.call import Call
from steersman.apiserver.component import APIServer
from steersman.apiserver.filters.flowcontrol import FlowControlFilter
from steersman.apiserver.flowcontrol import bootstrap
from steersman.apiserver.flowcontrol.controller import UID_HEADERS, PriorityAndFairness
from steersman.apiserver.metrics.series import Distribution
from steersman.apiserver.requestinfo import request_info
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import FLOWSCHEMAS, NAMESPACES, PODS, PRIORITYLEVELCONFIGURATIONS
from steersman.meta.wire import Request, Response
from tests.apiserver.flowcontrol.test_matching import ADMIN, ANNA, BUILDER, LEASE, MANAGER, NODE

SEATS = 60
SERVICE_S = 0.05


class Front:
    """The filter before a server whose every answer takes ``SERVICE_S``."""

    def __init__(self, clock: FakeClock, seats: int = SEATS) -> None:
        self.clock = clock
        self.control = PriorityAndFairness(
            server_limit=seats, clock=clock, stats=lambda info: None, request_timeout_s=60
        )
        self.control.configure(bootstrap.levels(), bootstrap.schemas())
        self._filter = FlowControlFilter(self.control, clock=self.clock, durations=Distribution(()))
        self.answers: Counter[tuple[str, int]] = Counter()
        self.slowest_s: dict[str, float] = {}

    async def ask(self, user: User, method: str, path: str, time_limit_s: float = 60.0) -> Response:
        request = Request(method=method, path=path)
        began_s = self.clock.monotonic()
        call = Call(
            request=request, info=request_info(request), received_s=began_s, user=user, time_limit_s=time_limit_s
        )
        response = await self._filter(call, self._answer)
        self.answers[user.name, response.status] += 1
        self.slowest_s[user.name] = max(self.slowest_s.get(user.name, 0.0), self.clock.monotonic() - began_s)
        return response

    async def _answer(self, call: Call) -> Response:
        await self.clock.sleep(SERVICE_S)
        return Response()


@pytest.fixture
async def front(clock: FakeClock) -> AsyncIterator[Front]:
    front = Front(clock)
    tasks = [asyncio.ensure_future(front.control.run()), asyncio.ensure_future(front.control.lend())]
    yield front
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for level in front.control.levels.values():
        level.queues.validate()


async def _finish(clock: FakeClock, *tasks: asyncio.Future[None]) -> None:
    while not all(task.done() for task in tasks):
        await clock.advance(0.5)
    await asyncio.gather(*tasks)


async def _abuse(front: Front, user: User, clients: int, until_s: float) -> None:
    async def client() -> None:
        while front.clock.monotonic() < until_s:
            response = await front.ask(user, "POST", "/api/v1/namespaces/x/pods")
            if response.status == 429:
                await front.clock.sleep(0.25)

    await asyncio.gather(*(client() for _ in range(clients)))


async def test_system_requests_stay_alive_while_a_client_sends_ten_times_the_capacity(
    front: Front, clock: FakeClock
) -> None:
    end_s = clock.monotonic() + 6
    abuse = [asyncio.ensure_future(_abuse(front, user, 10 * SEATS, end_s)) for user in (BUILDER, ANNA)]

    async def beat(user: User, path: str, period_s: float) -> None:
        while clock.monotonic() < end_s:
            await front.ask(user, "PUT", path)
            await clock.sleep(period_s)

    heart = [
        asyncio.ensure_future(beat(MANAGER, LEASE, 0.1)),
        asyncio.ensure_future(beat(NODE, "/api/v1/nodes/a/status", 0.1)),
        asyncio.ensure_future(beat(ADMIN, "/api/v1/namespaces/x/pods/a", 0.1)),
    ]
    await _finish(clock, *abuse, *heart)
    for user in (MANAGER, NODE, ADMIN):
        assert front.answers[user.name, 429] == 0
        assert front.answers[user.name, 200] > 30
        assert front.slowest_s[user.name] < 3 * SERVICE_S
    assert front.answers[BUILDER.name, 429] > 0
    assert front.answers[BUILDER.name, 200] > 100


async def test_another_client_of_the_same_level_is_served_beside_an_abusive_one(front: Front, clock: FakeClock) -> None:
    end_s = clock.monotonic() + 5
    other = User(name="system:serviceaccount:ci:tester", groups=BUILDER.groups)
    abuse = asyncio.ensure_future(_abuse(front, BUILDER, 10 * SEATS, end_s))
    modest = asyncio.ensure_future(_abuse(front, other, 1, end_s))
    await _finish(clock, abuse, modest)
    assert front.answers[other.name, 429] == 0
    assert front.answers[other.name, 200] > 15


async def test_who_waits_too_long_is_told_to_come_back(clock: FakeClock) -> None:
    front = Front(clock, seats=1)
    run = asyncio.ensure_future(front.control.run())
    level = front.control.levels["workload-low"]
    held = [
        front.control.enter(Call(request=Request(method="GET", path="/version"), info=request_info(Request(method="GET", path="/version")), received_s=clock.monotonic(), user=BUILDER))
        for _ in range(level.queues.limit)
    ]  # fmt: skip
    waiting = asyncio.ensure_future(front.ask(BUILDER, "GET", "/version", time_limit_s=8.0))
    await clock.advance(1.9)
    assert not waiting.done()
    assert level.queues.waiting == 1
    await clock.advance(0.5)
    response = await waiting
    assert (response.status, response.headers["retry-after"]) == (429, "1")
    assert level.queues.timed_out == 1
    for made in held:
        assert made is not None
        made.give_back()
    assert level.queues.is_idle
    run.cancel()


async def test_who_gives_up_while_waiting_leaves_nothing_behind(clock: FakeClock) -> None:
    front = Front(clock, seats=1)
    level = front.control.levels["workload-low"]
    asked = [asyncio.ensure_future(front.ask(BUILDER, "GET", "/version")) for _ in range(level.queues.limit + 2)]
    await clock.settle()
    assert level.queues.waiting == 2
    asked[-1].cancel()
    asked[0].cancel()
    await clock.settle()
    assert level.queues.waiting == 0
    await clock.advance(1)
    await asyncio.gather(*asked, return_exceptions=True)
    assert level.queues.is_idle
    assert level.queues.seats_in_use == 0
    level.queues.validate()


async def test_retry_after_grows_while_many_are_refused(front: Front, clock: FakeClock) -> None:
    retry_after = front.control.levels["system"].retry_after
    for _ in range(10):
        for _ in range(50):
            retry_after.refused(clock.now())
        await clock.advance(1)
    assert retry_after.seconds > 1
    for _ in range(200):
        retry_after.refused(clock.now())
        await clock.advance(10)
    assert retry_after.seconds == 1


async def test_a_level_without_its_object_serves_what_is_in_it(front: Front, clock: FakeClock) -> None:
    asked = asyncio.ensure_future(front.ask(BUILDER, "GET", "/version"))
    await clock.settle()
    others = [level for level in bootstrap.levels() if objects.name(level) != "workload-low"]
    front.control.configure(others, bootstrap.schemas())
    assert front.control.levels["workload-low"].is_quiescing
    await clock.advance(1)
    assert (await asked).status == 200
    assert "workload-low" not in front.control.levels
    assert (await asyncio.wait_for(_after(clock, front.ask(BUILDER, "GET", "/version")), 5)).status == 200
    assert front.control.accounts["global-default", "global-default"].dispatched == 1


async def _after(clock: FakeClock, asking: object) -> Response:
    task = asyncio.ensure_future(asking)  # type: ignore[call-overload]
    await clock.advance(1)
    response: Response = await task
    return response


async def test_nothing_configured_still_serves_everybody(clock: FakeClock) -> None:
    front = Front(clock)
    front.control.configure((), ())
    assert sorted(front.control.levels) == ["catch-all", "exempt"]
    assert (await _after(clock, front.ask(ANNA, "GET", "/version"))).status == 200
    assert front.control.accounts["catch-all", "catch-all"].dispatched == 1


async def test_idle_levels_lend_their_seats(front: Front, clock: FakeClock) -> None:
    before = front.control.levels["workload-low"].queues.limit
    abuse = asyncio.ensure_future(_abuse(front, BUILDER, 60, clock.monotonic() + 25))
    await _finish(clock, abuse)
    assert front.control.levels["workload-low"].queues.limit > before
    await clock.advance(2400)
    assert front.control.levels["workload-low"].queues.limit <= before + 1


# -- in a server


async def test_responses_say_which_schema_and_level_they_belong_to(
    server: APIServer, client: Client, clock: FakeClock
) -> None:
    joe = Client(InProcessTransport(server.handle, user="noxu", groups=()))
    default = await joe.request("GET", "/api/v1/namespaces/default")
    assert all(default.headers[name] for name in UID_HEADERS)
    spec: Object = {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}}
    level = await client.create(PRIORITYLEVELCONFIGURATIONS, {"metadata": {"name": "own"}, "spec": spec})
    rules = [
        {
            "subjects": [{"kind": "User", "user": {"name": "noxu"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }
    ]
    spec = {"matchingPrecedence": 1000, "priorityLevelConfiguration": {"name": "own"}, "rules": rules}
    schema = await client.create(FLOWSCHEMAS, {"metadata": {"name": "own"}, "spec": spec})
    await clock.advance(1)
    answer = await joe.request("GET", "/version")
    assert [answer.headers[name] for name in UID_HEADERS] == [objects.uid(schema), objects.uid(level)]
    missing = await joe.request("GET", "/api/v1/namespaces/absent")
    assert missing.status == 404
    assert missing.headers[UID_HEADERS[0]] == default.headers[UID_HEADERS[0]]
    metrics = (await client.request("GET", "/metrics")).body.decode()
    assert 'apiserver_flowcontrol_nominal_limit_seats{priority_level="own"}' in metrics


async def test_metrics_and_dumps_count_what_happened(server: APIServer, client: Client) -> None:
    joe = Client(InProcessTransport(server.handle, user="joe", groups=()))
    for _ in range(3):
        await joe.get(NAMESPACES, "default")
    metrics = (await joe.request("GET", "/metrics")).body.decode()
    labels = '{flow_schema="global-default",priority_level="global-default"}'
    assert f"apiserver_flowcontrol_dispatched_requests_total{labels} 4" in metrics
    assert f"apiserver_flowcontrol_current_executing_requests{labels} 1" in metrics
    assert 'apiserver_flowcontrol_request_wait_duration_seconds_count{execute="true"' in metrics
    assert 'apiserver_flowcontrol_priority_level_seat_utilization_bucket{phase="executing",' in metrics
    assert ',le="0"} ' in metrics
    levels = (await joe.request("GET", "/debug/api_priority_and_fairness/dump_priority_levels")).body.decode()
    assert levels.startswith("PriorityLevelName, ActiveQueues, IsIdle, IsQuiescing,")
    queues = (await joe.request("GET", "/debug/api_priority_and_fairness/dump_queues")).body.decode()
    assert len(queues.splitlines()) == 1 + 64 + 64 + 16 + 128 * 3
    path = "/debug/api_priority_and_fairness/dump_requests"
    found = (await joe.request("GET", path, query={"includeRequestDetails": "1"})).body.decode().splitlines()
    assert len(found) == 2
    assert [cell.strip() for cell in found[1].split(",")][10:13] == ["joe", "get", path]


async def test_watches_hold_no_seat_and_make_writes_wider(server: APIServer, clock: FakeClock) -> None:
    control = server._flow_control.controller  # type: ignore[union-attr]
    joe = Client(InProcessTransport(server.handle, user="joe", groups=()))
    watches = [joe.watch(PODS, resource_version=str(server.objects.revision)) for _ in range(3)]
    waiting = [asyncio.ensure_future(anext(watch)) for watch in watches]
    call = request_info(Request(method="POST", path="/api/v1/namespaces/x/pods"))
    await clock.settle()
    assert control.watches.interested_in(call) == 3
    assert control.levels["global-default"].queues.seats_in_use == 0
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for watch in watches:
        await watch.aclose()
    assert control.watches.interested_in(call) == 0
