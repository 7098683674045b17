"""A server that custom resources are defined on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object, is_true
from steersman.meta.resources import CUSTOMRESOURCEDEFINITIONS
from steersman.testing.waiting import eventually

Eventually = Callable[[Callable[[], Any]], Awaitable[Any]]
Define = Callable[[Object], Awaitable[Object]]


@pytest.fixture
def until(clock: FakeClock) -> Eventually:
    """Waits for a predicate in the server's own time."""
    return lambda predicate: eventually(predicate, clock=clock)


@pytest.fixture
def define(client: Client, until: Eventually) -> Define:
    """Creates a definition, or replaces the spec of the one there is, and waits until the server has looked at it."""

    async def define(crd: Object) -> Object:
        try:
            old = await client.get(CUSTOMRESOURCEDEFINITIONS, crd["metadata"]["name"])
            written = await client.update(CUSTOMRESOURCEDEFINITIONS, {**old, "spec": crd["spec"]})
        except NotFound:
            written = await client.create(CUSTOMRESOURCEDEFINITIONS, crd)

        async def is_established() -> Object | None:
            found = await client.get(CUSTOMRESOURCEDEFINITIONS, written["metadata"]["name"])
            return found if is_true(found, "Established") else None

        found: Object = await until(is_established)
        return found

    return define
