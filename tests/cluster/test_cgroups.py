"""Groups go with what is above them and theirs alone; on the hierarchies of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from steersman.cluster import cgroups

pytestmark = pytest.mark.real
PARENT = f"steersman-test-groups-{os.getpid()}"


@pytest.fixture
def nodes() -> Iterator[None]:
    """Groups of two nodes, one of them with something below."""
    for hierarchy in cgroups.hierarchies():
        for name in ("one/kubepods", "two"):
            (hierarchy / PARENT / name).mkdir(parents=True)
    yield
    cgroups.remove(PARENT)


def left() -> set[str]:
    found = [hierarchy / PARENT for hierarchy in cgroups.hierarchies()]
    return {folder for path in found if path.exists() for folder, _, _ in os.walk(path)}


def test_the_last_node_takes_what_all_shared_with_it(nodes: None) -> None:
    cgroups.remove(f"/{PARENT}/one")
    assert left() == {str(hierarchy / PARENT / name) for hierarchy in cgroups.hierarchies() for name in (".", "two")}
    cgroups.remove(f"/{PARENT}/two")
    assert left() == set()
