"""Which pod goes first."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.kubelet.disk_usage import TreeUsage
from steersman.kubelet.eviction import thresholds as signals
from steersman.kubelet.eviction.ranking import ranked
from steersman.kubelet.eviction.signals import ContainerDisk, Filesystems, PodConsumption
from steersman.meta import objects
from steersman.meta.objects import Object
from tests.kubelet.pods import container, pod

MI = 1024**2
ONE_DISK = Filesystems()
IMAGES_APART = Filesystems(image=True)


def asking(name: str, *, priority: int = 0, volumes: Any = (), **requests: str) -> Object:
    resources = {"requests": {key.replace("_", "-"): value for key, value in requests.items()}}
    return pod(container(resources=resources), name=name, uid=name, priority=priority, volumes=list(volumes))


def memory(mebibytes: int) -> PodConsumption:
    return PodConsumption(memory_bytes=mebibytes * MI)


def disk(rootfs: int = 0, logs: int = 0, volume: int = 0) -> PodConsumption:
    return PodConsumption(
        containers={"main": ContainerDisk(rootfs=TreeUsage(used_bytes=rootfs, inodes=rootfs),
                                          logs=TreeUsage(used_bytes=logs, inodes=logs))},
        volumes={"data": TreeUsage(used_bytes=volume, inodes=volume)},
    )  # fmt: skip


def order(
    pods: list[Object], usage: dict[str, PodConsumption], signal: str, filesystems: Filesystems = ONE_DISK
) -> str:
    return " ".join(objects.name(item) for item in ranked(pods, usage, signal, filesystems))


def test_a_pod_over_its_request_goes_before_any_other_whatever_its_priority() -> None:
    within, over = asking("within", memory="100Mi"), asking("over", priority=1000, memory="10Mi")
    assert order([within, over], {"within": memory(90), "over": memory(11)}, signals.MEMORY) == "over within"


def test_then_priority_decides_then_how_much_more_is_used() -> None:
    pods = [
        asking("little", memory="10Mi"), asking("much", memory="10Mi"), asking("important", priority=5, memory="10Mi")
    ]  # fmt: skip
    usage = {"little": memory(20), "much": memory(200), "important": memory(500)}
    assert order(pods, usage, signals.MEMORY) == "much little important"


def test_a_pod_of_which_nothing_is_known_goes_first() -> None:
    assert order([asking("known"), asking("unknown")], {"known": memory(500)}, signals.MEMORY) == "unknown known"


def test_best_effort_pods_are_always_over_their_request() -> None:
    pods = [asking("guaranteed", memory="1Gi"), asking("effort")]
    assert order(pods, {"guaranteed": memory(900), "effort": memory(1)}, signals.MEMORY) == "effort guaranteed"


def test_process_ids_are_a_matter_of_priority_and_number() -> None:
    pods = [asking("few"), asking("many"), asking("important", priority=9)]
    usage = {"few": PodConsumption(processes=5), "many": PodConsumption(processes=500),
             "important": PodConsumption(processes=9999)}  # fmt: skip
    assert order(pods, usage, signals.PIDS) == "many few important"


EMPTY_DIR = ({"name": "data", "emptyDir": {}},)
IN_MEMORY = ({"name": "data", "emptyDir": {"medium": "Memory"}},)


@pytest.mark.parametrize(
    ("signal", "filesystems", "first"),
    [
        (signals.NODE_FS, ONE_DISK, "rootfs"),
        (signals.IMAGE_FS, ONE_DISK, "rootfs"),
        (signals.CONTAINER_FS, ONE_DISK, "rootfs"),
        (signals.NODE_FS, IMAGES_APART, "volume"),
        (signals.IMAGE_FS, IMAGES_APART, "rootfs"),
        (signals.NODE_INODES, IMAGES_APART, "volume"),
        (signals.NODE_FS, Filesystems(image=True, container=True), "rootfs"),
    ],
)
def test_what_counts_is_what_is_on_the_disk_that_is_full(signal: str, filesystems: Filesystems, first: str) -> None:
    pods = [asking("rootfs", volumes=EMPTY_DIR), asking("logs"), asking("volume", volumes=EMPTY_DIR)]
    usage = {"rootfs": disk(rootfs=900), "logs": disk(logs=10), "volume": disk(volume=500)}
    assert order(pods, usage, signal, filesystems).split()[0] == first


def test_a_volume_in_memory_is_not_on_disk() -> None:
    pods = [asking("memory", volumes=IN_MEMORY), asking("disk", volumes=EMPTY_DIR)]
    assert order(pods, {"memory": disk(volume=999), "disk": disk(volume=1)}, signals.NODE_FS) == "disk memory"


def test_requests_of_ephemeral_storage_protect() -> None:
    pods = [asking("asked", ephemeral_storage="1Ki"), asking("did-not")]
    assert order(pods, {"asked": disk(rootfs=1000), "did-not": disk(rootfs=10)}, signals.NODE_FS) == "did-not asked"
