"""How much containers may swap, by cgroup version, behaviour and what they request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from steersman.kubelet.cgroup_hierarchies import Hierarchy, counts_swap
from steersman.kubelet.linux_resources import ResourcePolicy, container_resources
from steersman.kubelet.podspec import app_containers
from steersman.kubelet.swap import SWAP_MAX, SwapPolicy, refuse_resize
from steersman.meta.objects import Object
from tests.kubelet.pods import container, pod

GI = 2**30
LIMITED = SwapPolicy(cgroup_v2=True, limited=True, memory_bytes=16 * GI, swap_bytes=8 * GI)


def with_memory(request: str = "", limit: str = "", **spec: Any) -> Object:
    resources = {
        name: {"memory": value} for name, value in (("requests", request), ("limits", limit)) if value
    }  # fmt: skip
    return pod(container(resources=resources), **spec)


def swap_of(obj: Object, swap: SwapPolicy | None, **policy: Any) -> tuple[str, int]:
    """What cgroup v2's file is set to, and v1's limit of memory and swap."""
    [only] = app_containers(obj)
    found = container_resources(obj, only, ResourcePolicy(memory_capacity_bytes=16 * GI, swap=swap, **policy))
    return found.unified.get(SWAP_MAX, ""), found.memory_swap_limit_bytes


@pytest.mark.parametrize(
    ("obj", "limit"),
    [
        (with_memory("4Gi"), 2 * GI),
        (with_memory("4Gi", "6Gi"), 2 * GI),
        (with_memory("4Gi", "4Gi"), 0),
        (with_memory(), 0),
        (with_memory("32Gi"), 0),
        (with_memory("4Gi", priority=2_000_000_000), 0),
        (with_memory("1Gi"), GI // 2),
    ],
)
def test_burstable_containers_have_their_share_of_swap(obj: Object, limit: int) -> None:
    assert swap_of(obj, LIMITED) == (str(limit), 0)


def test_without_limited_swap_nobody_swaps() -> None:
    assert swap_of(with_memory("4Gi"), replace(LIMITED, limited=False)) == ("0", 0)
    assert swap_of(with_memory("4Gi"), None) == ("", 0)


def test_on_cgroup_v1_memory_and_swap_have_one_limit() -> None:
    v1 = replace(LIMITED, cgroup_v2=False)
    assert swap_of(with_memory("1Gi", "2Gi"), v1) == ("", 2 * GI)
    assert swap_of(with_memory("1Gi"), v1) == ("", 0)


def test_other_unified_settings_stay() -> None:
    [only] = app_containers(with_memory("4Gi"))
    policy = ResourcePolicy(memory_capacity_bytes=16 * GI, cgroup_v2=True, swap=LIMITED)
    found = container_resources(with_memory("4Gi"), only, policy)
    assert found.unified == {"memory.oom.group": "1", SWAP_MAX: str(2 * GI)}


def test_memory_of_containers_that_may_swap_is_not_resized_while_they_run() -> None:
    text = "In-place resize of containers with swap is not supported."
    before = with_memory("4Gi", "8Gi")
    assert refuse_resize(with_memory("5Gi", "8Gi"), before, LIMITED) == text
    assert refuse_resize(with_memory("4Gi", "9Gi"), before, LIMITED) == ""
    assert refuse_resize(with_memory("5Gi", "8Gi"), before, None) == ""
    before["spec"]["containers"][0]["resizePolicy"] = [
        {"resourceName": "memory", "restartPolicy": "RestartContainer"}
    ]  # fmt: skip
    assert refuse_resize(with_memory("5Gi", "8Gi"), before, LIMITED) == ""


def test_whether_the_kernel_counts_swap(tmp_path: Path) -> None:
    v2 = [Hierarchy(tmp_path, frozenset(), True)]
    own = "0::/system.slice/kubelet.service\n"
    assert not counts_swap(v2, own)
    folder = tmp_path / "system.slice/kubelet.service"
    folder.mkdir(parents=True)
    (folder / "memory.swap.max").write_text("max\n")
    assert counts_swap(v2, own)
    v1 = [Hierarchy(tmp_path / "cpu", frozenset({"cpu"}), False), Hierarchy(tmp_path, frozenset({"memory"}), False)]
    assert not counts_swap(v1, own)
    (tmp_path / "memory.memsw.limit_in_bytes").write_text("-1\n")
    assert counts_swap(v1, own)
