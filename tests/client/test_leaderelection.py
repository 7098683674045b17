"""Leader election: one leads at a time, and another takes over when the lease has run out."""

from __future__ import annotations

import asyncio
import random

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.component import APIServer
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.client.leaderelection import LeaderElectionConfig, LeaderElector, LostLeadership
from steersman.meta.resources import EVENTS, LEASES
from tests.client.lossy import LossyTransport


class Candidate:
    """An elector with work that says when it runs, and a line that can be cut."""

    def __init__(self, name: str, server: APIServer, clock: FakeClock, *, release: bool = True) -> None:
        self.line = LossyTransport(InProcessTransport(server.handle))
        config = LeaderElectionConfig(name="test", identity=name, release_on_cancel=release, component="test-manager")
        self.elector = LeaderElector(Client(self.line), config, clock=clock, rng=random.Random(name))
        self.works = False
        self.task = asyncio.ensure_future(self.elector.run(self._work))

    async def _work(self) -> None:
        self.works = True
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.works = False

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def until(clock: FakeClock, seconds: int, *candidates: Candidate) -> list[str]:
    """Who led at each second."""
    led = []
    for _ in range(seconds):
        await clock.advance(1)
        working = [each.elector._config.identity for each in candidates if each.works]
        assert len(working) <= 1
        led.append(working[0] if working else "")
    return led


async def test_who_leads_says_so(server: APIServer, clock: FakeClock) -> None:
    candidates = [Candidate(name, server, clock) for name in ("a", "b")]
    await until(clock, 5, *candidates)
    [event] = (await Client(InProcessTransport(server.handle)).list(EVENTS, namespace="kube-system")).items
    [leader] = [each.elector for each in candidates if each.works]
    told = event["involvedObject"]
    assert (told["kind"], told["apiVersion"], told["name"]) == ("Lease", "coordination.k8s.io/v1", "test")
    assert (event["type"], event["reason"], event["source"]) == (
        "Normal",
        "LeaderElection",
        {"component": "test-manager"},
    )
    assert event["message"] == f"{leader._config.identity} became leader"
    for each in candidates:
        await each.stop()


async def test_one_leads_and_renews_while_the_other_stands_by(server: APIServer, clock: FakeClock) -> None:
    a = Candidate("a", server, clock)
    await clock.advance(1)
    b = Candidate("b", server, clock)
    assert {*await until(clock, 60, a, b)} == {"a"}
    await a.stop()
    await b.stop()


async def test_a_leader_that_is_stopped_gives_the_lease_back(
    server: APIServer, clock: FakeClock, client: Client
) -> None:
    a = Candidate("a", server, clock)
    await clock.advance(1)
    b = Candidate("b", server, clock)
    await until(clock, 5, a, b)
    await a.stop()
    assert "b" in await until(clock, 4, a, b)
    lease = await client.get(LEASES, "test", namespace="kube-system")
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("b", 1)
    await b.stop()


async def test_a_leader_that_dies_is_followed_when_its_lease_has_run_out(server: APIServer, clock: FakeClock) -> None:
    a = Candidate("a", server, clock, release=False)
    await clock.advance(1)
    b = Candidate("b", server, clock)
    await until(clock, 5, a, b)
    await a.stop()
    led = await until(clock, 20, a, b)
    assert led[:10] == [""] * 10
    assert led[-1] == "b"
    await b.stop()


async def test_a_leader_that_is_cut_off_stops_before_another_starts(server: APIServer, clock: FakeClock) -> None:
    a = Candidate("a", server, clock)
    await clock.advance(1)
    b = Candidate("b", server, clock)
    await until(clock, 5, a, b)
    a.line.broken = True
    led = await until(clock, 25, a, b)
    assert led.index("") <= 12
    assert led[-1] == "b"
    with pytest.raises(LostLeadership):
        await a.task
    await b.stop()


async def test_terms_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="lease duration > renew deadline"):
        LeaderElectionConfig(name="a", identity="a", renew_deadline_s=15)
