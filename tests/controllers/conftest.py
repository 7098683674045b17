"""Fixtures of the controllers' tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from steersman.aio.tasks import TaskGroup
from tests.controllers.world import World, start_world

StartWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def world_of() -> AsyncIterator[StartWorld]:
    """``await world_of("job-controller", …)``: a world with those controllers. Ends by proving that it is at rest."""
    worlds: list[World] = []
    async with TaskGroup("world") as group:

        async def start(*controllers: str, **config: object) -> World:
            world = await start_world(group, *controllers, **config)
            worlds.append(world)
            return world

        yield start
        for world in worlds:
            await world.prove_idle()
    for world in worlds:
        await world.server.close()
