"""What folders and volumes take up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from steersman.aio.clock import FakeClock
from steersman.kubelet.disk_usage import tree_usage
from steersman.kubelet.volume_stats import VolumeStats, measure
from steersman.kubelet.volumes.api import MountedVolume
from steersman.meta.objects import Object
from tests.kubelet.pods import pod

KI = 1024


def fill(path: Path, kibibytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * kibibytes * KI)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def test_blocks_and_inodes_are_counted_once(tmp_path: Path) -> None:
    fill(tmp_path / "a/one", 64)
    fill(tmp_path / "two", 32)
    os.link(tmp_path / "two", tmp_path / "a/again")
    (tmp_path / "link").symlink_to("/")
    found = tree_usage(tmp_path)
    assert 96 * KI <= found.used_bytes < 150 * KI
    assert found.inodes == 5  # the root, a, one, two and the link


def test_a_hole_takes_up_nothing(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1024**3)
    assert tree_usage(tmp_path).used_bytes < 100 * KI


def test_a_single_file(tmp_path: Path) -> None:
    fill(tmp_path / "one", 8)
    assert tree_usage(tmp_path / "one").inodes == 1
    with pytest.raises(FileNotFoundError):
        tree_usage(tmp_path / "none")


VOLUMES = [
    {"name": "scratch", "emptyDir": {}},
    {"name": "memory", "emptyDir": {"medium": "Memory"}},
    {"name": "settings", "configMap": {"name": "c"}},
    {"name": "token", "projected": {"sources": []}},
    {"name": "claim", "persistentVolumeClaim": {"claimName": "data"}},
    {"name": "own", "ephemeral": {"volumeClaimTemplate": {}}},
    {"name": "host", "hostPath": {"path": "/"}},
]


def mounted(folder: Path, obj: Object) -> dict[str, MountedVolume]:
    return {item["name"]: MountedVolume(name=item["name"], path=folder) for item in obj["spec"]["volumes"]}


def test_volumes_by_kind(tmp_path: Path) -> None:
    fill(tmp_path / "file", 256)
    obj = pod(volumes=VOLUMES)
    found = {item.name: item for item in measure(obj, mounted(tmp_path, obj), 0.0)}
    assert set(found) == {"scratch", "memory", "settings", "token", "claim", "own"}
    assert {name for name, item in found.items() if item.is_ephemeral} == {"scratch", "settings"}
    assert 256 * KI <= found["scratch"].disk.used_bytes < 512 * KI
    assert found["claim"].disk.used_bytes > found["scratch"].disk.used_bytes, "the whole file system"
    assert (found["claim"].claim, found["own"].claim, found["scratch"].claim) == ("data", "web-own", "")


async def test_volumes_are_measured_by_turns_and_forgotten(tmp_path: Path) -> None:
    clock = FakeClock()
    obj = pod(volumes=VOLUMES[:1])
    pods = [obj]
    stats = VolumeStats(clock=clock, period_s=60, pods=lambda: pods, mounted=lambda uid: mounted(tmp_path, obj))
    uid = obj["metadata"]["uid"]
    assert stats.of(uid) == ()
    await stats.measure_due()
    before = stats.of(uid)[0].disk.used_bytes
    fill(tmp_path / "file", 128)
    await stats.measure_due()
    assert stats.of(uid)[0].disk.used_bytes == before, "not before a minute has passed"
    await clock.advance(60)
    await stats.measure_due()
    assert stats.of(uid)[0].disk.used_bytes >= before + 128 * KI
    pods.clear()
    await stats.measure_due()
    assert stats.of(uid) == ()
