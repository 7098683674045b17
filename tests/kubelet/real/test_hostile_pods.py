"""Pods that do their worst harm themselves only: the kubelet stays small and answers, their neighbour does not notice."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from steersman.kubelet.cgroups import CgroupFS
from steersman.meta import objects
from steersman.meta.objects import Object
from tests.kubelet.real.conftest import RealNode, is_ready, shell

pytestmark = pytest.mark.real
MIB = 1 << 20
GROWTH_LIMIT_BYTES = 60 * MIB
"""What the kubelet (and the API server in this process) may grow by under any of these pods."""


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def statuses(pod: Object) -> list[Object]:
    return pod["status"].get("containerStatuses") or [{"restartCount": 0}]


async def with_neighbour(node: RealNode, attack: Callable[[], Any]) -> None:
    """``attack`` beside a pod with probes, which is to stay Ready without a restart all the while."""
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "timeoutSeconds": 10}
    await node.create("neighbour", shell("sleep 1000", readinessProbe=probe, livenessProbe=probe))
    await node.until("neighbour", is_ready)
    before = resident_bytes()
    await attack()
    neighbour = await node.pod("neighbour")
    assert is_ready(neighbour) and statuses(neighbour)[0]["restartCount"] == 0
    assert resident_bytes() - before < GROWTH_LIMIT_BYTES
    await node.delete("neighbour")


@pytest.mark.timeout(300)
async def test_a_pod_that_floods_its_log(node: RealNode) -> None:
    """A gigabyte as fast as it can, then less. Files grow by what fits between two checks; they are rotated out."""
    node.config = replace(node.config, log_max_bytes=MIB, log_max_files=3, log_check_s=0.5)
    written_mib = 1024
    lines = f"yes {'x' * 1000} | head -c"
    flood = f"{lines} {written_mib * MIB}"
    less = f"for i in 1 2 3 4 5 6; do sleep 1; {lines} {2 * MIB}; done"

    async def attack() -> None:
        pod = await node.create(
            "flood",
            shell(
                f"{flood}; {less}; touch /tmp/done; sleep 1000",
                readinessProbe={"exec": {"command": ["test", "-e", "/tmp/done"]}, "periodSeconds": 1,
                                "timeoutSeconds": 10, "failureThreshold": 1000},
            ),
        )  # fmt: skip
        await node.until("flood", is_ready, within_s=200)
        folder = node.config.pod_logs_dir / f"default_flood_{objects.uid(pod)}" / "main"
        await node.wait(lambda: len(list(folder.iterdir())) <= 3)
        await node.wait(lambda: sum(path.stat().st_size for path in folder.iterdir()) < written_mib * MIB / 4)
        await node.delete("flood")
        await node.wait(lambda: not folder.exists())

    async with node.kubelet():
        await with_neighbour(node, attack)


async def test_a_pod_that_forks_without_end(node: RealNode) -> None:
    node.config = replace(node.config, pod_pids_limit=64)

    async def attack() -> None:
        pod = await node.create("bomb", shell("bomb() { bomb | bomb & }; bomb; while :; do sleep 1; bomb; done"))
        await node.until("bomb", is_ready)
        folder = Path("/sys/fs/cgroup/pids") / CgroupFS(root=node.config.cgroup_root).path(pod).strip("/")
        if not folder.exists():
            folder = Path("/sys/fs/cgroup") / CgroupFS(root=node.config.cgroup_root).path(pod).strip("/")
        assert int((folder / "pids.max").read_text()) == 64
        await node.wait(lambda: int((folder / "pids.current").read_text()) >= 60)
        assert int((folder / "pids.current").read_text()) <= 64
        await node.delete("bomb")
        await node.wait(lambda: not folder.exists())

    async with node.kubelet():
        await with_neighbour(node, attack)


async def test_a_pod_whose_probes_never_stop_talking(node: RealNode) -> None:
    """An exec probe that writes 200 MB, and an HTTP one whose answer has no end."""
    endless = "while :; do (printf 'HTTP/1.0 200 OK\\r\\n'; yes 'Header: value') | nc -l -p 8080; done"
    talking = {
        "exec": {"command": ["dd", "if=/dev/zero", "bs=1M", "count=200"]},
        "periodSeconds": 1,
        "timeoutSeconds": 8,
    }
    unending = {"httpGet": {"port": 8080}, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 100}

    async def attack() -> None:
        await node.create(
            "talker",
            shell("sleep 1000", name="a", livenessProbe=talking),
            shell(endless, name="b", readinessProbe=unending),
        )
        unhealthy: list[str] = []

        async def said() -> list[str]:
            return [message for reason, message in await node.events() if reason == "Unhealthy"]

        await node.eventually(said, within_s=60)
        unhealthy = await said()
        assert all(len(message) < 12_000 for message in unhealthy)
        await node.delete("talker")

    async with node.kubelet():
        await with_neighbour(node, attack)


async def test_a_pod_that_fills_what_it_was_given(node: RealNode) -> None:
    """A memory volume has its size limit; a tree deeper than any path goes with its pod."""

    async def attack() -> None:
        pod = await node.create(
            "full",
            shell(
                "dd if=/dev/zero of=/memory/f bs=1M count=64; df -m /memory | tail -1 | awk '{print $2}' > /dev/termination-log;"
                " cd /disk; i=0; while [ $i -lt 1200 ]; do mkdir d; cd d; i=$((i+1)); done",
                volumeMounts=[{"name": "memory", "mountPath": "/memory"}, {"name": "disk", "mountPath": "/disk"}],
            ),
            restartPolicy="Never",
            volumes=[
                {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
                {"name": "disk", "emptyDir": {}},
            ],
        )
        done = await node.until("full", lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"), within_s=60)
        assert statuses(done)[0]["state"]["terminated"]["message"] == "8\n"
        await node.delete("full")
        await node.wait(lambda: not (node.config.root_dir / "pods" / objects.uid(pod)).exists())

    async with node.kubelet():
        await with_neighbour(node, attack)


def fill(path: str) -> str:
    return f"dd if=/dev/zero of={path} bs=1M count=64; sleep 1000"


async def test_pods_that_fill_the_nodes_disk(node: RealNode) -> None:
    """Through a volume, their own root and their log: each is evicted by its own limit."""
    node.config = replace(node.config, volume_stats_s=1.0)
    limited = {"limits": {"ephemeral-storage": "8Mi"}}
    mounts = [{"name": "disk", "mountPath": "/disk"}]
    attackers = {
        "volume": (
            shell(fill("/disk/f"), volumeMounts=mounts),
            'Usage of EmptyDir volume "disk" exceeds the limit "8Mi". ',
        ),
        "root": (shell(fill("/f"), resources=limited), "Pod ephemeral local storage usage exceeds the total limit of"),
        "log": (
            shell(f"yes {'x' * 1000} | head -c {64 * MIB}; sleep 1000", resources=limited),
            "Pod ephemeral local storage usage exceeds the total limit of",
        ),
    }

    async def attack() -> None:
        for name, (container, _) in attackers.items():
            volumes = [{"name": "disk", "emptyDir": {"sizeLimit": "8Mi"}}]
            await node.create(name, container, volumes=volumes)
        for name, (_, message) in attackers.items():
            evicted = await node.until(name, lambda pod: pod["status"].get("reason") == "Evicted", within_s=60)
            assert evicted["status"]["phase"] == "Failed"
            assert evicted["status"]["message"].startswith(message)
        await node.delete(*attackers)

    async with node.kubelet():
        await with_neighbour(node, attack)
