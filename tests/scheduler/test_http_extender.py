"""HTTP extenders, against a small one on the loopback interface."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from steersman.scheduler.configuration import Extender
from steersman.scheduler.http_extender import ExtenderFailed, HTTPExtender
from steersman.scheduler.pod_info import parse_pod
from tests.scheduler.builders import cluster_of, core_of, node, pod


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async def filtering(request: web.Request) -> web.Response:
        body = await request.json()
        names = body.get("nodenames") or [item["metadata"]["name"] for item in body["nodes"]["items"]]
        return web.json_response(
            {"NodeNames": [name for name in names if name != "b"], "FailedNodes": {"b": "not on a Monday"}}
        )

    async def prioritizing(request: web.Request) -> web.Response:
        body: Any = await request.json()
        assert body["pod"]["metadata"]["name"] == "p1"
        return web.json_response([{"Host": "c", "Score": 10}])

    async def failing(_: web.Request) -> web.Response:
        return web.Response(status=500)

    app = web.Application()
    app.router.add_post("/filter", filtering)
    app.router.add_post("/prioritize", prioritizing)
    app.router.add_post("/fail", failing)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.mark.parametrize("cache_capable", [True, False])
async def test_filters_and_prioritizes(url: str, cache_capable: bool) -> None:
    config = Extender(url_prefix=url, filter_verb="filter", prioritize_verb="prioritize", weight=2,
                      node_cache_capable=cache_capable)  # fmt: skip
    extender = HTTPExtender(config)
    cluster = cluster_of(node("a"), node("b"), node("c"))
    core = core_of(cluster)
    found = core.search(parse_pod(pod()))
    outcome = await extender.filter(found.pod, found.names(), cluster.nodes)
    found.restrict(outcome.names, outcome.failed, outcome.unresolvable)
    scores = await extender.prioritize(found.pod, found.names(), cluster.nodes)
    await extender.close()
    assert (sorted(found.names()), scores) == (["a", "c"], {"c": 200})
    assert core.select(found, more=scores).node_name == "c"


async def test_reasons_of_extenders_are_part_of_the_message(url: str) -> None:
    extender = HTTPExtender(Extender(url_prefix=url, filter_verb="filter"))
    cluster = cluster_of(node("b"))
    core = core_of(cluster)
    found = core.search(parse_pod(pod()))
    outcome = await extender.filter(found.pod, found.names(), cluster.nodes)
    await extender.close()
    found.restrict(outcome.names, outcome.failed, outcome.unresolvable)
    decision = core.give_up(found)
    assert decision.diagnosis is not None
    assert decision.diagnosis.message.startswith("0/1 nodes are available: 1 not on a Monday.")


async def test_a_failure_says_where(url: str) -> None:
    extender = HTTPExtender(Extender(url_prefix=url, filter_verb="fail"))
    cluster = cluster_of(node("a"))
    with pytest.raises(ExtenderFailed, match="code 500"):
        await extender.filter(parse_pod(pod()), ["a"], cluster.nodes)
    await extender.close()


def test_managed_resources_say_which_pods_are_of_interest() -> None:
    extender = HTTPExtender(Extender(url_prefix="http://x", managed_resources=(("example.com/gpu", False),)))
    assert extender.is_interested_in(parse_pod(pod(requests={"example.com/gpu": "1"})))
    assert not extender.is_interested_in(parse_pod(pod(cpu="1")))
