"""In-place resize on real cgroups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from steersman.client.api import STRATEGIC_MERGE_PATCH
from steersman.kubelet.cgroups import CgroupFS
from steersman.kubelet.linux_resources import ResourcePolicy, cpu_weight
from steersman.kubelet.runtimes.sandboxes import LinuxResources
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import EVENTS, PODS
from tests.kubelet.real.conftest import RealNode, is_ready, shell

pytestmark = pytest.mark.real
POLICY = ResourcePolicy(memory_capacity_bytes=1 << 34)
MIB = 1 << 20


def resources(cpu: str, memory: str) -> Object:
    amounts = {"cpu": cpu, "memory": memory}
    return {"requests": amounts, "limits": amounts}


async def resize(node: RealNode, name: str, **by_container: Object) -> None:
    entries = [{"name": container, "resources": wanted} for container, wanted in by_container.items()]
    await node.client.patch(
        PODS,
        name,
        {"spec": {"containers": entries}},
        namespace="default",
        subresource="resize",
        patch_type=STRATEGIC_MERGE_PATCH,
    )


def statuses(pod: Object) -> Mapping[str, Object]:
    return {entry["name"]: entry for entry in pod["status"].get("containerStatuses") or ()}


def condition(pod: Object, kind: str) -> Object | None:
    return next((entry for entry in pod["status"].get("conditions") or () if entry["type"] == kind), None)


def resized(**limits: Mapping[str, str]) -> Any:
    def holds(pod: Object) -> bool:
        found = statuses(pod)
        if pod["status"].get("observedGeneration") != objects.generation(pod):
            return False
        if any(condition(pod, kind) for kind in ("PodResizePending", "PodResizeInProgress")) or not is_ready(pod):
            return False
        return all(found[name]["resources"].get("limits") == wanted for name, wanted in limits.items())

    return holds


def cgroup(node: RealNode, pod: Object, container: str = "") -> LinuxResources:
    """What the kernel has for the pod, or for one of its containers."""
    found = CgroupFS(root=node.config.cgroup_root)
    if not container:
        return found.current(pod, POLICY)
    container_id = statuses(pod)[container]["containerID"].partition("://")[2]
    folder = f"{found.path(pod)}/{container_id}".strip("/")
    return _unified(Path("/sys/fs/cgroup") / folder) if found.is_v2 else _version_1(folder)


def _version_1(folder: str) -> LinuxResources:
    def read(controller: str, file: str) -> int:
        return int((Path("/sys/fs/cgroup") / controller / folder / file).read_text())

    return LinuxResources(
        cpu_shares=read("cpu", "cpu.shares"),
        cpu_quota=read("cpu", "cpu.cfs_quota_us"),
        memory_limit_bytes=read("memory", "memory.limit_in_bytes"),
    )


def _unified(folder: Path) -> LinuxResources:
    def limit(file: str) -> int:
        value = (folder / file).read_text().split()[0]
        return 0 if value == "max" else int(value)

    return LinuxResources(
        cpu_shares=_shares(int((folder / "cpu.weight").read_text())),
        cpu_quota=limit("cpu.max"),
        memory_limit_bytes=limit("memory.max"),
    )


def _shares(weight: int) -> int:
    return next(shares for shares in range(2, 262_145) if cpu_weight(shares) == weight)


def kept(shares: int) -> int:
    """What is left of ``shares`` in the kernel: cgroup v2 has a weight for each 26 of them."""
    return _shares(cpu_weight(shares)) if CgroupFS().is_v2 else shares


async def test_containers_are_resized_up_and_down_without_a_restart(node: RealNode) -> None:
    async with node.kubelet():
        await node.create(
            "web",
            shell("sleep 1000", name="a", resources=resources("20m", "35Mi")),
            shell("sleep 1000", name="b", resources=resources("22m", "37Mi")),
        )
        before = await node.until("web", is_ready)
        assert cgroup(node, before).memory_limit_bytes == 72 * MIB
        await resize(node, "web", a=resources("25m", "40Mi"), b=resources("17m", "32Mi"))
        a, b = {"cpu": "25m", "memory": "40Mi"}, {"cpu": "17m", "memory": "32Mi"}
        after = await node.until("web", resized(a=a, b=b))
        assert after["status"]["observedGeneration"] == 2
        assert [entry["restartCount"] for entry in statuses(after).values()] == [0, 0]
        assert statuses(after)["a"]["containerID"] == statuses(before)["a"]["containerID"]
        assert statuses(after)["a"]["allocatedResources"] == a
        grown, shrunk = cgroup(node, after, "a"), cgroup(node, after, "b")
        assert (grown.cpu_quota, grown.cpu_shares, grown.memory_limit_bytes) == (2500, kept(25), 40 * MIB)
        assert (shrunk.cpu_quota, shrunk.cpu_shares, shrunk.memory_limit_bytes) == (1700, kept(17), 32 * MIB)
        whole = cgroup(node, after)
        assert (whole.cpu_quota, whole.cpu_shares, whole.memory_limit_bytes) == (4200, kept(43), 72 * MIB)
        assert after["status"]["resources"]["limits"] == {"cpu": "42m", "memory": "72Mi"}
        await resize(node, "web", a=resources("20m", "35Mi"))
        await node.until("web", resized(a={"cpu": "20m", "memory": "35Mi"}, b=b))
        await node.delete("web")


async def test_limits_are_added_and_restarts_happen_where_the_policy_says(node: RealNode) -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    async with node.kubelet():
        await node.create(
            "web",
            shell("sleep 1000", name="a", resources={"requests": {"cpu": "20m"}}),
            shell("sleep 1000", name="b", resources=resources("20m", "30Mi"), resizePolicy=policy),
            restartPolicy="OnFailure",
            terminationGracePeriodSeconds=0,
        )
        before = await node.until("web", is_ready)
        added = {"requests": {"cpu": "25m"}, "limits": {"cpu": "35m"}}
        await resize(node, "web", a=added, b=resources("20m", "40Mi"))
        after = await node.until("web", resized(a={"cpu": "35m"}, b={"cpu": "20m", "memory": "40Mi"}))
        found = statuses(after)
        assert (found["a"]["restartCount"], found["b"]["restartCount"]) == (0, 1)
        assert found["a"]["containerID"] == statuses(before)["a"]["containerID"]
        assert cgroup(node, after, "a").cpu_quota == 3500
        assert cgroup(node, after, "b").memory_limit_bytes == 40 * MIB
        assert cgroup(node, after).memory_limit_bytes == 0
        await node.delete("web")


async def test_a_memory_limit_below_usage_is_an_error_until_it_is_taken_back(node: RealNode) -> None:
    async with node.kubelet():
        await node.create("web", shell("sleep 1000", name="a", resources={"limits": {"memory": "40Mi"}}))
        await node.until("web", is_ready)
        await resize(node, "web", a={"requests": {"memory": "10Ki"}, "limits": {"memory": "10Ki"}})
        failed = await node.until("web", lambda pod: (condition(pod, "PodResizeInProgress") or {}).get("reason"))
        shown = condition(failed, "PodResizeInProgress")
        assert shown is not None and shown["reason"] == "Error"
        assert "memory limit (10240) below current usage" in shown["message"]
        assert condition(failed, "PodResizePending") is None
        assert statuses(failed)["a"]["resources"]["limits"] == {"memory": "40Mi"}
        await resize(node, "web", a={"requests": {"memory": "40Mi"}, "limits": {"memory": "40Mi"}})
        await node.until("web", resized(a={"memory": "40Mi"}))
        reasons = [item["reason"] for item in (await node.client.list(EVENTS, namespace="default")).items]
        assert {"ResizeStarted", "ResizeError", "ResizeCompleted"} <= set(reasons)
        await node.delete("web")


async def test_a_kubelet_goes_on_with_what_an_earlier_one_granted(node: RealNode) -> None:
    """A resize asked for while no kubelet runs is decided by the next one; what the first granted is not forgotten."""
    async with node.kubelet():
        await node.create("big", shell("sleep 1000", resources={"requests": {"cpu": "10"}}))
        await node.create("web", shell("sleep 1000", name="a", resources=resources("100m", "40Mi")))
        before = await node.until("web", is_ready)
        await resize(node, "web", a=resources("10", "40Mi"))
        await node.until("web", lambda pod: condition(pod, "PodResizePending"))
    async with node.kubelet():
        held = await node.until("web", lambda pod: condition(pod, "PodResizePending"))
        assert statuses(held)["a"]["allocatedResources"]["cpu"] == "100m"
    await resize(node, "web", a=resources("200m", "40Mi"))
    async with node.kubelet():
        after = await node.until("web", resized(a={"cpu": "200m", "memory": "40Mi"}))
        assert statuses(after)["a"]["containerID"] == statuses(before)["a"]["containerID"]
        assert objects.generation(after) == 3
        await node.delete("web", "big")
