"""What only cgroup v2 has: one tree, containers killed as a whole, swap by container, pressure."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from steersman.kubelet.cgroup_hierarchies import find_hierarchies
from steersman.kubelet.cgroups import CgroupFS
from steersman.kubelet.node_usage import NodeUsage
from steersman.kubelet.summary import summary
from steersman.meta.objects import Object
from tests.kubelet.real.conftest import RealNode, is_ready, shell

pytestmark = [pytest.mark.real, pytest.mark.skipif(not CgroupFS().is_v2, reason="needs cgroup v2")]
ROOT = Path("/sys/fs/cgroup")
MIB = 1 << 20


def needs_swap() -> None:
    if not NodeUsage().memory().swap_total_bytes:
        pytest.skip("needs swap")


def use(mib: int) -> str:
    """A command whose process has so much memory of its own, all of it touched."""
    return f"dd if=/dev/zero of=/dev/null bs={mib}M count=1 2>/dev/null"


def folder(node: RealNode, pod: Object, container: str = "") -> Path:
    found = ROOT / CgroupFS(root=node.config.cgroup_root).path(pod).strip("/")
    if not container:
        return found
    statuses = {item["name"]: item for item in pod["status"]["containerStatuses"]}
    return found / str(statuses[container]["containerID"]).partition("://")[2]


def values(place: Path, *files: str) -> list[str]:
    return [(place / file).read_text().strip() for file in files]


def processes(place: Path) -> int:
    return sum(len(file.read_text().split()) for file in place.rglob("cgroup.procs"))


def ended(pod: Object) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def terminated(pod: Object) -> Object:
    state: Object = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    return state


def test_the_one_tree_is_found() -> None:
    (found,) = find_hierarchies(Path("/proc/self/mountinfo").read_text())
    assert (found.unified, found.mount) == (True, ROOT)


async def test_requests_and_limits_are_in_the_kernel_at_every_level(node: RealNode) -> None:
    node.config = replace(node.config, pod_pids_limit=100)
    amounts = {"requests": {"cpu": "500m", "memory": "32Mi"}, "limits": {"cpu": "700m", "memory": "64Mi"}}
    async with node.kubelet():
        await node.create("bounded", shell("sleep 1000", resources=amounts), shell("sleep 1000", name="free"))
        pod = await node.until("bounded", is_ready)
        main, free, whole = folder(node, pod, "main"), folder(node, pod, "free"), folder(node, pod)
        assert values(main, "cpu.max", "memory.max", "memory.high", "memory.min", "memory.oom.group") == [
            "70000 100000", str(64 * MIB), "max", "0", "1",
        ]  # fmt: skip
        assert values(free, "cpu.max", "memory.max", "memory.oom.group", "cpu.weight") == [
            "max 100000", "max", "1", "1",
        ]  # fmt: skip
        assert values(whole, "cpu.weight", "cpu.max", "memory.max", "pids.max") == ["20", "max 100000", "max", "100"]
        controllers = {"cpu", "cpuset", "memory", "pids"}
        assert controllers <= {*(whole / "cgroup.subtree_control").read_text().split()}
        assert whole.parent.name == "burstable"
        await node.delete("bounded")
        await node.wait(lambda: not whole.exists())


async def test_a_container_over_its_limit_is_killed_as_a_whole(node: RealNode) -> None:
    """The shell that forked the process goes with it, and the container says why."""
    async with node.kubelet():
        limits = {"limits": {"memory": "40Mi"}}
        await node.create("over", shell(f"({use(200)}); exit 0", resources=limits), restartPolicy="Never")
        pod = await node.until("over", ended)
        assert (terminated(pod)["reason"], terminated(pod)["exitCode"]) == ("OOMKilled", 137)
        assert pod["status"]["phase"] == "Failed"
        await node.delete("over")


async def test_or_only_the_process_where_the_node_is_told_so(node: RealNode) -> None:
    node.config = replace(node.config, single_process_oom_kill=True)
    async with node.kubelet():
        limits = {"limits": {"memory": "40Mi"}}
        await node.create("over", shell(f"({use(200)}); echo status $?", resources=limits), restartPolicy="Never")
        pod = await node.until("over", ended)
        # The shell's "Killed" goes to its other stream, and may come later.
        assert "status 137" in node.log_of(pod, "main").splitlines()
        assert terminated(pod)["exitCode"] == 0
        await node.delete("over")


async def test_a_burstable_container_swaps_its_share_and_others_do_not(node: RealNode) -> None:
    needs_swap()
    memory = NodeUsage().memory()
    node.config = replace(node.config, swap_behavior="LimitedSwap")
    share = int(256 * MIB / memory.capacity_bytes * memory.swap_total_bytes) // 4096 * 4096
    # Not by much: pages on their way to a slow disk count as memory and as swap until they are there.
    over_limit_mib = 300 + share // MIB // 8
    async with node.kubelet():
        await node.create(
            "swaps",
            shell(
                f"{use(over_limit_mib)} || echo failed; sleep 1000",
                resources={"requests": {"memory": "256Mi"}, "limits": {"memory": "300Mi"}},
            ),
            shell("sleep 1000", name="none", resources={"requests": {"memory": "8Mi"}, "limits": {"memory": "8Mi"}}),
        )
        await node.create("guaranteed", shell("sleep 1000", resources={"limits": {"cpu": "100m", "memory": "16Mi"}}))
        await node.create("best-effort", shell("sleep 1000"))
        swaps = await node.until("swaps", is_ready)
        main = folder(node, swaps, "main")
        assert values(main, "memory.swap.max") == [str(share)]
        assert values(folder(node, swaps, "none"), "memory.swap.max") == ["0"]
        for name in ("guaranteed", "best-effort"):
            assert values(folder(node, await node.until(name, is_ready), "main"), "memory.swap.max") == ["0"], name
        await node.wait(lambda: _event(main, "memory.events", "max") > 0)
        assert _event(main, "memory.events", "oom_kill") == 0
        assert "failed" not in node.log_of(swaps, "main")
        await node.delete("swaps", "guaranteed", "best-effort")


def _event(place: Path, file: str, name: str) -> int:
    return int(dict(line.split() for line in (place / file).read_text().splitlines())[name])


async def test_no_container_swaps_unless_the_node_is_told_so(node: RealNode) -> None:
    needs_swap()
    async with node.kubelet():
        await node.create("stays", shell("sleep 1000", resources={"requests": {"memory": "64Mi"}}))
        pod = await node.until("stays", is_ready)
        assert values(folder(node, pod, "main"), "memory.swap.max") == ["0"]
        await node.delete("stays")


async def test_the_summary_says_what_the_kernel_counts(node: RealNode) -> None:
    async with node.kubelet() as kubelet:
        holding = [{"name": "memory", "mountPath": "/memory"}]
        await node.create(
            "user",
            shell(
                "dd if=/dev/zero of=/memory/f bs=1M count=30; touch /tmp/done; sleep 1000",
                resources={"limits": {"memory": "64Mi"}},
                volumeMounts=holding,
                readinessProbe={"exec": {"command": ["test", "-e", "/tmp/done"]}, "periodSeconds": 1},
            ),
            volumes=[{"name": "memory", "emptyDir": {"medium": "Memory"}}],
        )
        pod = await node.until("user", is_ready)
        found = await summary(kubelet.upkeep.stats)
        (shown,) = (item for item in found["pods"] if item["podRef"]["name"] == "user")
        current = int((folder(node, pod) / "memory.current").read_text())
        assert 30 * MIB < shown["memory"]["workingSetBytes"] <= shown["memory"]["usageBytes"]
        assert abs(shown["memory"]["usageBytes"] - current) < 8 * MIB
        assert shown["process_stats"]["process_count"] == processes(folder(node, pod))
        assert shown["cpu"]["usageCoreNanoSeconds"] > 0
        (container,) = shown["containers"]
        assert 30 * MIB < container["memory"]["workingSetBytes"] < 64 * MIB
        pods = {item["name"]: item for item in found["node"]["systemContainers"]}["pods"]
        assert pods["memory"]["workingSetBytes"] >= shown["memory"]["workingSetBytes"]
        assert _root_usage() == pytest.approx(found["node"]["memory"]["usageBytes"], rel=0.1)
        await node.delete("user")


def _root_usage() -> int:
    counters = dict(line.split() for line in (ROOT / "memory.stat").read_text().splitlines())
    return int(counters["anon"]) + int(counters["file"])


@pytest.mark.skipif("STEERSMAN_VM" not in os.environ, reason="the kernel kills what it likes: tests.vm runs it")
async def test_the_node_tells_what_the_kernel_killed_for_want_of_memory(node: RealNode) -> None:
    async with node.kubelet():
        await node.create("victim", shell("exec tail -f /dev/null"), restartPolicy="Never")
        await node.until("victim", is_ready)
        await asyncio.to_thread(Path("/proc/sysrq-trigger").write_text, "f")
        pod = await node.until("victim", ended)
        assert terminated(pod)["exitCode"] == 137

        async def told() -> list[str]:
            return [message for reason, message in await node.events() if reason == "SystemOOM"]

        (message,) = await node.eventually(told)
        assert message.startswith("System OOM encountered, victim process: tail, pid: ")
        await node.delete("victim")
