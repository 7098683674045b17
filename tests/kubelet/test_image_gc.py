"""Image garbage collection on a disk whose numbers the test sets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from steersman.aio.clock import FakeClock
from steersman.aio.timers import Timers
from steersman.kubelet.image_gc import ImageGC, ImageGCConfig, ImageGCFailed, Space, format_size
from steersman.kubelet.runtimes.containers import ContainerConfig, ContainerMetadata, Mount
from steersman.kubelet.runtimes.images import Image, ImageSpec
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig, PodSandboxMetadata
from steersman.kubelet.runtimes.simulated import SimulatedRuntime

GI = 1024**3
CAPACITY = 100 * GI


@dataclass
class Disk:
    """What images take up is what is used, besides ``other_bytes``."""

    runtime: SimulatedRuntime
    other_bytes: int = 0
    capacity: int = CAPACITY

    async def image_filesystem(self) -> Space:
        images = sum(image.size_bytes for image in await self.runtime.list_images())
        return Space(capacity_bytes=self.capacity, available_bytes=self.capacity - images - self.other_bytes)


@dataclass
class Collector:
    clock: FakeClock
    runtime: SimulatedRuntime
    disk: Disk
    gc: ImageGC
    events: list[tuple[str, str]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    told: list[Sequence[str]] = field(default_factory=list)

    def add(self, name: str, size_gi: int, *, pinned: bool = False) -> None:
        self.runtime.add_image(
            Image(id=f"sha256:{name}", repo_tags=(f"{name}:1",), size_bytes=size_gi * GI, pinned=pinned)
        )

    async def use(self, *names: str, mounted: str = "") -> None:
        metadata = PodSandboxMetadata(name="p", uid="p", namespace="d")
        config = PodSandboxConfig(metadata=metadata)
        box = await self.runtime.run_pod_sandbox(config)
        for name in names:
            mounts = (Mount(container_path="/x", image=ImageSpec(image=f"sha256:{mounted}")),) if mounted else ()
            await self.runtime.create_container(
                box, ContainerConfig(metadata=ContainerMetadata(name=name), image=ImageSpec(image=f"{name}:1"), mounts=mounts),
                config,
            )  # fmt: skip

    async def names(self) -> set[str]:
        return {image.id.removeprefix("sha256:") for image in await self.runtime.list_images()}


def collector(**config: float) -> Collector:
    clock = FakeClock()
    runtime = SimulatedRuntime(clock=clock, timers=Timers(clock), rng=random.Random(1), pod_cidr="10.1.0.0/24")
    disk = Disk(runtime)
    found: Collector

    async def after(left: Sequence[str], began_s: float) -> None:
        found.told.append(left)

    def removed(reason: str) -> None:
        found.removed.append(reason)

    gc = ImageGC(
        runtime, disk, clock=clock, config=ImageGCConfig(**config),  # type: ignore[arg-type]
        announce=lambda reason, message: found.events.append((reason, message)),
        removed=removed, after=after,
    )  # fmt: skip
    found = Collector(clock, runtime, disk, gc)
    return found


async def test_below_the_high_threshold_everything_stays() -> None:
    found = collector()
    found.add("a", 84)
    await found.gc.collect()
    await found.clock.advance(1000)
    await found.gc.collect()
    assert await found.names() == {"a"}


async def test_above_it_the_longest_unused_go_until_the_low_threshold_is_reached() -> None:
    found = collector(min_age_s=0)
    for name in ("first", "second"):
        found.add(name, 5)
        await found.gc.collect()
        await found.clock.advance(60)
    found.add("third", 5)
    found.disk.other_bytes = 72 * GI
    await found.gc.collect()
    assert await found.names() == {"third"}
    assert found.removed == ["space", "space"]


async def test_images_in_use_by_containers_or_mounted_by_them_stay() -> None:
    found = collector(min_age_s=0)
    for name in ("used", "mounted", "idle", "pinned"):
        found.add(name, 20, pinned=name == "pinned")
    await found.use("used", mounted="mounted")
    found.disk.other_bytes = 10 * GI
    await found.gc.collect()
    assert await found.names() == {"used", "mounted", "pinned"}
    assert found.told == [["sha256:used", "sha256:mounted", "sha256:pinned"]]


async def test_young_images_stay_and_what_could_not_be_freed_is_said() -> None:
    found = collector(min_age_s=120)
    found.add("young", 90)
    with pytest.raises(ImageGCFailed):
        await found.gc.collect()
    [(reason, message)] = found.events
    assert reason == "FreeDiskSpaceFailed"
    assert message == (
        "Insufficient free disk space on the node's image filesystem (90% of 100.0 GiB used). Failed to free sufficient "
        "space by deleting unused images (freed 0 bytes). Investigate disk usage, as it could be used by active images, "
        "logs, volumes, or other data."
    )
    await found.clock.advance(120)
    await found.gc.collect()
    assert await found.names() == set()


async def test_images_nobody_used_for_too_long_go_whatever_the_disk_has() -> None:
    found = collector(max_age_s=3600, min_age_s=120)
    found.add("old", 1)
    found.add("used", 1)
    await found.use("used")
    await found.gc.collect()
    await found.clock.advance(3600)
    await found.gc.collect()
    assert await found.names() == {"old", "used"}, "this kubelet has not looked for longer than an hour"
    await found.clock.advance(60)
    await found.gc.collect()
    assert await found.names() == {"used"}
    assert found.removed == ["age"]


async def test_when_the_node_is_short_of_disk_everything_unused_goes() -> None:
    found = collector()
    found.add("idle", 1)
    found.add("used", 1)
    await found.use("used")
    await found.gc.collect()
    await found.clock.advance(120)
    await found.gc.remove_unused()
    assert await found.names() == {"used"}


async def test_a_disk_without_capacity_is_an_error_that_is_told() -> None:
    found = collector()
    found.disk.capacity = 0
    with pytest.raises(ImageGCFailed, match="invalid capacity 0 on image filesystem"):
        await found.gc.collect()
    assert found.events == [("InvalidDiskCapacity", "invalid capacity 0 on image filesystem")]


@pytest.mark.parametrize(
    ("config", "off"), [({}, False), ({"high_percent": 100}, True), ({"high_percent": 100, "max_age_s": 1}, False)]
)
def test_it_can_be_switched_off(config: dict[str, float], off: bool) -> None:
    assert ImageGCConfig(**config).is_off is off  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 * 1024**2, "5.0 MiB"),
        (GI, "1.0 GiB"),
        (1024 * GI, "1.0 TiB"),
    ],
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert format_size(size) == text
