"""Image garbage collection on a containerd of its own, whose disk is as small as a test needs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from steersman.aio.clock import SystemClock
from steersman.cluster import images
from steersman.cluster.containerd import Containerd
from steersman.cluster.oci import File, ImageBuild, ImageConfig, Layout
from steersman.cluster.rootfs import architecture, base, busybox
from steersman.kubelet.component import Kubelet
from steersman.kubelet.configuration_file import load_configuration
from steersman.kubelet.configuration_settings import completed, settings_of
from steersman.kubelet.image_gc import ImageGCFailed
from steersman.kubelet.volumes.mounts import mount_tmpfs, unmount
from steersman.testing.containerd import missing, private_containerd
from tests.kubelet.real.conftest import RealNode, is_ready, shell, succeeded

pytestmark = pytest.mark.real

MIB = 1 << 20
DISK_BYTES = 256 * MIB
IMAGE_BYTES = 12 * MIB


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    """What the tests of other modules need stays out of reach; and so does what else fills this machine's disk."""
    if why := missing():
        pytest.skip(why)
    directory = tmp_path_factory.mktemp("node")
    disk = directory / "containerd"
    mount_tmpfs(disk, size_bytes=DISK_BYTES)
    try:
        with private_containerd(directory, number=42) as running:
            yield running
    finally:
        unmount(str(disk))


def named(name: str) -> str:
    return f"localhost/steersman-test/{name}:1"


async def load(node: RealNode, *names: str) -> None:
    """Images of ``IMAGE_BYTES`` each that have nothing in common but busybox."""
    for name in names:
        layout = Layout()
        config = ImageConfig(architecture=architecture(), command=("sh",))
        ballast = File(path="/ballast", data=os.urandom(IMAGE_BYTES))
        layout.add(ImageBuild(names=(named(name),), platforms=((config, ([*base(), *busybox()], [ballast])),)))
        await images.load_layout(node.instance.config, layout, clock=SystemClock())


async def present(node: RealNode) -> set[str]:
    """Every image, by its short name."""
    found = await images.list_images(node.instance.config)
    return {item.name.rpartition("/")[2].removesuffix(":1") for item in found}


def configure(node: RealNode, directory: Path, **fields: object) -> None:
    """The thresholds as a KubeletConfiguration file has them."""
    path = directory / "kubelet.yaml"
    path.write_text(
        yaml.safe_dump({"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", **fields})
    )
    node.config = replace(node.config, image_gc=settings_of(completed(load_configuration(path)))["image_gc"])


async def use(node: RealNode, kubelet: Kubelet, *names: str) -> None:
    """Run each image to its end, one after the other, with a look at what is in use meanwhile."""
    for name in names:
        await node.create(f"uses-{name}", shell("true", image=named(name)), restartPolicy="Never")
        await node.until(f"uses-{name}", succeeded)
        await kubelet.upkeep.image_gc.collect()
        await node.delete(f"uses-{name}")


class Ballast:
    """A file that leaves as much of containerd's disk free as a test wants."""

    def __init__(self, node: RealNode) -> None:
        self._disk = node.instance.config.root
        self._path = self._disk / "ballast"

    def leave(self, free_bytes: int) -> None:
        self.remove()
        disk = os.statvfs(self._disk)
        with self._path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_bsize - free_bytes)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


@pytest.fixture
def ballast(node: RealNode) -> Iterator[Ballast]:
    found = Ballast(node)
    yield found
    found.remove()


async def test_above_the_high_threshold_the_longest_unused_go_until_the_low_one(
    node: RealNode, ballast: Ballast, tmp_path: Path
) -> None:
    """With a fifth of the disk left, a quarter has to be made free: what two of the images hold. What never was used goes
    before them."""
    configure(node, tmp_path, imageGCHighThresholdPercent=80, imageGCLowThresholdPercent=73, imageMinimumGCAge="1ms")
    await load(node, "first", "second", "third", "running")
    async with node.kubelet() as kubelet:
        await node.create("runs", shell("sleep 600", image=named("running")))
        await node.until("runs", is_ready)
        await use(node, kubelet, "second", "third", "first")
        assert await present(node) == {"first", "second", "third", "running", "busybox", "pause"}
        ballast.leave(DISK_BYTES // 5)
        await kubelet.upkeep.image_gc.collect()
        assert await present(node) == {"first", "running", "pause"}
        await node.delete("runs")


async def test_what_cannot_be_freed_is_said_of_the_node(node: RealNode, ballast: Ballast, tmp_path: Path) -> None:
    configure(node, tmp_path, imageGCHighThresholdPercent=80, imageGCLowThresholdPercent=73, imageMinimumGCAge="1h")
    await load(node, "young")
    async with node.kubelet() as kubelet:
        ballast.leave(DISK_BYTES // 5)
        with pytest.raises(ImageGCFailed, match="Failed to free sufficient space by deleting unused images"):
            await kubelet.upkeep.image_gc.collect()
        assert "young" in await present(node), "it has not been there for an hour"
        await node.eventually(lambda: said(node, "FreeDiskSpaceFailed"))


async def test_images_that_nobody_uses_for_long_go_though_there_is_room(node: RealNode, tmp_path: Path) -> None:
    configure(node, tmp_path, imageMinimumGCAge="1ms", imageMaximumGCAge="2s")
    await load(node, "idle", "used")
    async with node.kubelet() as kubelet:
        await node.create("uses", shell("sleep 600", image=named("used")))
        await node.until("uses", is_ready)

        async def idle_is_gone() -> bool:
            await kubelet.upkeep.image_gc.collect()
            return "idle" not in await present(node)

        await node.eventually(idle_is_gone)
        assert await present(node) == {"used", "pause"}
        await node.delete("uses")


async def test_a_node_that_is_short_of_disk_keeps_what_runs_and_what_sandboxes_need(
    node: RealNode, tmp_path: Path
) -> None:
    configure(node, tmp_path, imageMinimumGCAge="1ms")
    await load(node, "idle", "used")
    async with node.kubelet() as kubelet:
        await node.create("uses", shell("sleep 600", image=named("used")))
        await node.until("uses", is_ready)
        await kubelet.upkeep.image_gc.collect()
        await kubelet.upkeep.image_gc.remove_unused()
        assert await present(node) == {"used", "pause"}
        await node.create("more", shell("sleep 600", image=named("used")))
        await node.until("more", is_ready)
        await node.delete("uses", "more")


async def said(node: RealNode, reason: str) -> bool:
    return reason in [found for found, _ in await node.events()]
