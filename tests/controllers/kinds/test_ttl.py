"""The TTL annotation of nodes."""

from __future__ import annotations

import pytest

from steersman.controllers.kinds.ttl import ANNOTATION, STEPS, step_for
from steersman.meta import objects
from steersman.meta.resources import NODES
from tests.controllers.conftest import StartWorld


async def test_every_node_is_annotated(world_of: StartWorld) -> None:
    world = await world_of("ttl-controller")
    await world.add_nodes("n1")
    assert objects.annotations(await world.get(NODES, "n1"))[ANNOTATION] == "0"
    await world.patch(NODES, "n1", {"metadata": {"annotations": {ANNOTATION: "99"}}})
    assert objects.annotations(await world.get(NODES, "n1"))[ANNOTATION] == "0"


@pytest.mark.parametrize("nodes, before, seconds", [(95, 0, 0), (101, 0, 15), (95, 1, 15), (89, 1, 0), (5000, 0, 300)])
def test_steps_overlap(nodes: int, before: int, seconds: int) -> None:
    assert STEPS[step_for(nodes, before)][2] == seconds
