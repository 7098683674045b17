"""Volumes of one pod on this machine's file system, and the objects that they come from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.kubelet.pod_paths import PodPaths
from steersman.kubelet.volume_manager import MountFailed, NodeValues, VolumeManager
from steersman.kubelet.volumes.api import Tokens
from steersman.kubelet.volumes.mounts import mount_points
from steersman.kubelet.volumes.registry import registry
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from tests.kubelet.pods import UID, pod


class Cluster:
    """Objects by plural and name; tokens by audience."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        try:
            return self.objects[resource.plural, name]
        except KeyError:
            raise NotFound(f'{resource.kind.lower()} "{name}" not found') from None

    async def token(self, pod: Any, *, audience: str, expiration_s: int) -> str:
        return f"token for {audience} {expiration_s}"


class Harness:
    def __init__(self, root: Path, *, clock: FakeClock | None = None, tokens: Tokens | None = None) -> None:
        self.root = root
        self.cluster = Cluster()
        self.clock = clock or FakeClock()
        self.manager = VolumeManager(
            plugins=registry(self.clock),
            paths=PodPaths(root=root),
            source=self.cluster,
            tokens=tokens or self.cluster,
            node=NodeValues(
                host_ips=("192.0.2.1",),
                allocatable={"memory": "1Gi", "cpu": "4"},
                node=lambda: {"metadata": {"name": "node-1", "labels": {"kubernetes.io/hostname": "node-1"}}},
            ),
        )

    async def mount(self, _obj: Object | None = None, **source: Any) -> Path:
        obj = _obj or pod()
        obj = {**obj, "spec": {**obj["spec"], "volumes": [{"name": "v", **source}]}}
        return (await self.manager.mount(obj))["v"].path

    async def fails(self, **source: Any) -> str:
        with pytest.raises(MountFailed) as failure:
            await self.mount(**source)
        [message] = failure.value.messages
        return message


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """Whatever a test mounted goes with its pod, and leaves nothing."""
    harness = Harness(tmp_path)
    yield harness
    await harness.manager.remove(UID)
    assert not [point for point in mount_points() if point.startswith(str(tmp_path))]
    assert not (tmp_path / "pods" / UID).exists()
