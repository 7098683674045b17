"""Fixtures of the controllers' tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from steersman.aio.tasks import TaskGroup
from steersman.meta.resources import EVENTS
from tests.controllers.upstream_events import STORAGE, row_of
from tests.controllers.world import World, start_world

StartWorld = Callable[..., Awaitable[World]]


async def check_events(world: World) -> None:
    """Whatever was told is told in upstream's words."""
    for event in (await world.client.list(EVENTS)).items:
        told = (event["source"]["component"], event["type"], event["reason"], event["message"])
        assert told[0] in STORAGE or row_of(*told) is not None, f"no event of upstream's: {told}"


@pytest.fixture
async def world_of() -> AsyncIterator[StartWorld]:
    """``await world_of("job-controller", …)``: a world with those controllers. Ends by proving that it is at rest, and
    that every event is one of upstream's."""
    worlds: list[World] = []
    async with TaskGroup("world") as group:

        async def start(*controllers: str, **config: object) -> World:
            world = await start_world(group, *controllers, **config)
            worlds.append(world)
            return world

        yield start
        for world in worlds:
            await world.prove_idle()
            await check_events(world)
    for world in worlds:
        await world.server.close()
