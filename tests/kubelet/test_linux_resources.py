"""Requests and limits as cgroup values, and the QoS class they make."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.kubelet.cgroups import pod_cgroup
from steersman.kubelet.linux_resources import ResourcePolicy, container_resources, pod_resources
from steersman.kubelet.podspec import app_containers, init_containers, qos_class
from steersman.meta.objects import Object
from steersman.meta.podtotals import pod_totals
from tests.kubelet.pods import UID, container, pod

POLICY = ResourcePolicy(memory_capacity_bytes=16 * 2**30, single_process_oom_kill=True)


def needs(name: str = "main", *, requests: Object | None = None, limits: Object | None = None, **more: Any) -> Object:
    return container(name, resources={"requests": requests or {}, "limits": limits or {}}, **more)


GUARANTEED = needs(requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "1", "memory": "1Gi"})


@pytest.mark.parametrize(
    ("obj", "shares", "quota", "memory", "oom"),
    [
        (pod(needs()), 2, 0, 0, 1000),
        (pod(GUARANTEED), 1024, 100_000, 2**30, -997),
        (pod(needs(requests={"cpu": "100m"})), 102, 0, 0, 999),
        (pod(needs(limits={"cpu": "5m"})), 5, 1000, 0, 999),
        (pod(needs(requests={"memory": "4Gi"})), 2, 0, 0, 750),
        (pod(needs(requests={"memory": "16Gi"})), 2, 0, 0, 3),
        (pod(needs(), priority=2_000_001_000), 2, 0, 0, -997),
    ],
)
def test_container_resources(obj: Object, shares: int, quota: int, memory: int, oom: int) -> None:
    [only] = app_containers(obj)
    found = container_resources(obj, only, POLICY)
    assert (found.cpu_shares, found.cpu_quota, found.memory_limit_bytes, found.oom_score_adj) == (
        shares,
        quota,
        memory,
        oom,
    )
    assert found.cpu_period == 100_000


def test_a_sidecar_is_not_killed_before_the_apps() -> None:
    obj = pod(needs(requests={"memory": "8Gi"}), init=[needs("s", requests={"memory": "1Gi"}, restartPolicy="Always")])
    [sidecar] = init_containers(obj)
    assert container_resources(obj, sidecar, POLICY).oom_score_adj == 500


def test_cgroup_v2_kills_a_container_whole() -> None:
    [only] = app_containers(pod())
    policy = ResourcePolicy(memory_capacity_bytes=2**30, cgroup_v2=True)
    assert container_resources(pod(), only, policy).unified == {"memory.oom.group": "1"}


@pytest.mark.parametrize(
    ("obj", "qos", "folder"),
    [
        (pod(needs()), "BestEffort", "besteffort/"),
        (pod(GUARANTEED), "Guaranteed", ""),
        (pod(GUARANTEED, needs("b")), "Burstable", "burstable/"),
        (pod(needs(limits={"cpu": "1", "memory": "1Gi"})), "Guaranteed", ""),
        (pod(needs(requests={"cpu": "1"}, limits={"cpu": "2", "memory": "1Gi"})), "Burstable", "burstable/"),
        (pod(needs(), resources={"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed", ""),
    ],
)  # fmt: skip
def test_qos_class_and_cgroup(obj: Object, qos: str, folder: str) -> None:
    assert qos_class(obj) == qos
    assert pod_cgroup(obj, "/node") == f"/node/kubepods/{folder}pod{UID}"


def test_init_containers_count_by_their_largest_moment_and_sidecars_with_the_apps() -> None:
    obj = pod(
        needs(requests={"cpu": "1"}),
        init=[
            needs("i1", requests={"cpu": "3"}),
            needs("s", requests={"cpu": "500m"}, restartPolicy="Always"),
            needs("i2", requests={"cpu": "3"}),
        ],
        overhead={"cpu": "10m"},
    )
    assert pod_totals(obj["spec"], "requests") == {"cpu": 3510}


def test_a_pod_is_limited_only_where_every_container_is() -> None:
    assert pod_resources(pod(GUARANTEED), POLICY).memory_limit_bytes == 2**30
    assert pod_resources(pod(GUARANTEED, needs("b")), POLICY).memory_limit_bytes == 0


def test_huge_pages_without_a_limit_may_not_be_used() -> None:
    policy = ResourcePolicy(memory_capacity_bytes=2**30, hugepage_sizes_bytes=(2 << 20, 1 << 30))
    obj = pod(needs(requests={"hugepages-2Mi": "4Mi"}, limits={"hugepages-2Mi": "4Mi"}))
    expected = [("2MB", 4 << 20), ("1GB", 0)]
    for resources in (pod_resources(obj, policy), container_resources(obj, next(app_containers(obj)), policy)):
        assert [(limit.page_size, limit.limit_bytes) for limit in resources.hugepage_limits] == expected
