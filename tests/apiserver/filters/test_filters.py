"""What every request passes: deadlines, identity, impersonation, flow control, authorization."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes, Decision
from steersman.apiserver.call import Call
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.apiserver.filters.chain import chain
from steersman.apiserver.filters.deadline import DeadlineFilter
from steersman.apiserver.filters.flowcontrol import FlowControlFilter
from steersman.apiserver.flowcontrol.maxinflight import MaxInFlight
from steersman.apiserver.metrics.series import Distribution
from steersman.apiserver.requestinfo import request_info
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta.errors import Forbidden, Timeout
from steersman.meta.resources import CONFIGMAPS
from steersman.meta.wire import Request, Response
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.builders import config_map


def _call(path: str = "/api/v1/pods", user: str = "joe", **query: str) -> Call:
    request = Request(method="GET", path=path, query={name: [value] for name, value in query.items()})
    return Call(request=request, info=request_info(request), received_s=0.0, user=User(name=user))


async def test_what_takes_too_long_is_a_timeout() -> None:
    clock = FakeClock(start_s=0)
    given_up: list[str] = []
    deadlines = DeadlineFilter(clock, limit_s=60, gave_up=given_up.append)
    sweeper = asyncio.ensure_future(deadlines.run())

    async def slow(call: Call) -> Response:
        await clock.sleep(100)
        return Response()

    answer = asyncio.ensure_future(deadlines(_call(timeout="5s"), slow))
    await clock.advance(4)
    assert not answer.done()
    await clock.advance(2)
    with pytest.raises(Timeout, match="did not complete within the allotted timeout"):
        await answer
    assert given_up == ["ok"]
    watching = asyncio.ensure_future(deadlines(_call(watch="1"), slow))
    await clock.advance(90)
    assert not watching.done()
    await clock.advance(20)
    assert (await watching).status == 200
    assert given_up == ["ok"], "a watch has no deadline"
    sweeper.cancel()


async def test_a_malformed_timeout_is_refused(client: Client) -> None:
    answer = await client.request("GET", "/api/v1/pods", query={"timeout": "soon"})
    assert answer.status == 400
    assert "invalid timeout specified in the request URL" in answer.content["message"]


async def test_too_many_requests_are_refused() -> None:
    control = FlowControlFilter(MaxInFlight(reads=1, writes=0), clock=FakeClock(), durations=Distribution(()))
    release = asyncio.Event()

    async def held(call: Call) -> Response:
        await release.wait()
        return Response()

    first = asyncio.ensure_future(control(_call(), held))
    await asyncio.sleep(0)
    refused = await control(_call(), held)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert refused.body == b"Too many requests, please try again later.\n"
    watching = asyncio.ensure_future(control(_call(watch="1"), held))
    release.set()
    assert [(await task).status for task in (first, watching)] == [200, 200]
    assert (await control(_call(), held)).status == 200


def test_filters_stand_in_upstreams_order() -> None:
    clock = FakeClock()

    async def last(call: Call) -> Response:
        return Response()

    control = FlowControlFilter(MaxInFlight(reads=1, writes=1), clock=clock, durations=Distribution(()))
    with pytest.raises(ValueError, match="filters must be in the order"):
        chain([control, DeadlineFilter(clock, limit_s=1)], last)


class _OnlyJoe:
    """Lets joe act as anna, and anna read config maps."""

    async def authorize(self, attributes: Attributes) -> Decision:
        if attributes.verb == "impersonate":
            return Decision(allowed=attributes.user.name == "joe" and attributes.name in ("anna", "readers"))
        return Decision(allowed=attributes.user.name == "anna", reason="not anna")


@pytest.fixture
async def guarded() -> AsyncIterator[APIServer]:
    from msgspec.structs import replace

    from steersman.apiserver.plugins import assemble

    clock = FakeClock()
    only_joe = _OnlyJoe()

    class Masters:
        async def authorize(self, attributes: Attributes) -> Decision:
            if "system:masters" in attributes.user.groups:
                return Decision(allowed=True)
            return await only_joe.authorize(attributes)

    server = APIServer(
        store=MemoryStore(clock),
        clock=clock,
        config=APIServerConfig(),
        rng=random.Random(7),
        plugins=lambda of: replace(assemble(of), authorizer=Masters()),
    )
    await server.start()
    yield server
    await server.close()


async def test_refusals_are_worded_as_upstreams(guarded: APIServer) -> None:
    joe = Client(InProcessTransport(guarded.handle, user="joe", groups=()))
    with pytest.raises(Forbidden) as caught:
        await joe.get(CONFIGMAPS, "a", namespace="default")
    assert caught.value.message == (
        'configmaps "a" is forbidden: User "joe" cannot get resource "configmaps" in API group "" in the namespace '
        '"default": not anna'
    )
    answer = await joe.request("GET", "/metrics")
    assert answer.content["message"] == 'forbidden: User "joe" cannot get path "/metrics": not anna'


async def test_impersonation_has_to_be_granted(guarded: APIServer) -> None:
    admin = Client(InProcessTransport(guarded.handle))
    await admin.create(CONFIGMAPS, config_map())
    joe = Client(InProcessTransport(guarded.handle, user="joe", groups=()))
    path = "/api/v1/namespaces/default/configmaps/a"
    headers = {"impersonate-user": "anna", "impersonate-group": "readers"}
    assert (await joe.request("GET", path, headers=headers)).status == 200
    refused = await joe.request("GET", path, headers={"impersonate-user": "admin"})
    assert refused.status == 403
    assert 'User "joe" cannot impersonate resource "users"' in refused.content["message"]
    assert (await joe.request("GET", path, headers={"impersonate-group": "readers"})).status == 400
