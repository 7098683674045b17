"""The Node that a kubelet registers and reports, from facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.eviction.thresholds import EvictionConfig, parse_thresholds
from steersman.kubelet.machine_facts import MachineFacts
from steersman.kubelet.node_object import (
    NO_DEVICES,
    DeviceResources,
    NodeHealth,
    allocatable,
    capacity,
    differs,
    heartbeat_age_s,
    initial_node,
    node_status,
    status_events,
)
from steersman.kubelet.reservations import Reservations
from steersman.kubelet.runtimes.api import RuntimeCondition, RuntimeStatus
from steersman.kubelet.runtimes.images import Image
from steersman.meta.objects import Object

FACTS = MachineFacts(cpus=4, memory_bytes=8 << 30, disk_bytes=100 << 30, boot_id="b1")
GIB = 1 << 30
WORKING = RuntimeStatus(
    conditions=(RuntimeCondition(type="RuntimeReady", status=True), RuntimeCondition(type="NetworkReady", status=True))
)
HEALTHY = NodeHealth(runtime=WORKING)


def config(**fields: Any) -> KubeletConfig:
    return KubeletConfig(node_name="n1", **{"eviction": EvictionConfig(), **fields})


def status(
    health: NodeHealth = HEALTHY,
    *,
    previous: Mapping[str, Any] | None = None,
    addresses: Sequence[str] = ("192.0.2.1",),
    images: Sequence[Image] = (),
    now_s: float = 1000.0,
    facts: MachineFacts = FACTS,
    devices: DeviceResources = NO_DEVICES,
    **fields: Any,
) -> Object:
    return node_status(
        config(**fields), facts, addresses=addresses, version=None, health=health, images=images,
        previous=previous or {}, port=10250, now_s=now_s, devices=devices,
    )  # fmt: skip


def condition(found: Object, kind: str) -> Object:
    [only] = [entry for entry in found["conditions"] if entry["type"] == kind]
    return dict(only)


def test_pods_have_what_is_neither_reserved_nor_kept_free() -> None:
    """``[capacity] - [kube-reserved] - [system-reserved] - [hard eviction thresholds]``."""
    hard = parse_thresholds(
        {"memory.available": "500Mi", "nodefs.available": "10%"},
        {"memory.available": "1Gi"},
        {"memory.available": "1m"},
    )
    own = config(
        eviction=EvictionConfig(thresholds=hard),
        reservations=Reservations(kube={"cpu": "250m", "memory": "1Gi"}, system={"cpu": "250m", "memory": "524Mi"}),
    )
    total = capacity(own, FACTS)
    assert total == {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "100Gi", "pods": "110"}
    left = allocatable(own, total)
    tenth = 10_737_418_400  # of 100 GiB, with a percentage of single precision as upstream's
    assert left == {"cpu": "3500m", "memory": "6Gi", "ephemeral-storage": str(100 * GIB - tenth), "pods": "110"}


def test_more_reserved_than_there_is_leaves_nothing() -> None:
    own = config(reservations=Reservations(system={"cpu": "64"}))
    assert allocatable(own, capacity(own, FACTS))["cpu"] == "0"


def test_huge_pages_are_no_ordinary_memory() -> None:
    facts = MachineFacts(cpus=4, memory_bytes=8 * GIB, disk_bytes=GIB, hugepages=(("hugepages-1Gi", 2 * GIB),))
    left = allocatable(config(), capacity(config(), facts))
    assert left["hugepages-1Gi"] == "2Gi"
    assert left["memory"] == "6Gi"


def test_pods_may_be_limited_by_cores() -> None:
    assert capacity(config(pods_per_core=10), FACTS)["pods"] == "40"
    assert capacity(config(pods_per_core=100), FACTS)["pods"] == "110"


def test_devices_are_counted_healthy_ones_given() -> None:
    devices = DeviceResources(
        capacity={"example.com/w": 4}, allocatable={"example.com/w": 3}, removed=("example.com/x",)
    )
    found = status(devices=devices)
    assert (found["capacity"]["example.com/w"], found["allocatable"]["example.com/w"]) == ("4", "3")
    assert found["capacity"]["example.com/x"] == "0"


def test_what_others_wrote_into_the_capacity_stays() -> None:
    found = status(previous={"capacity": {"example.com/dongle": "4", "kubernetes.io/other": "1", "cpu": "1"}})
    assert found["capacity"]["example.com/dongle"] == found["allocatable"]["example.com/dongle"] == "4"
    assert "kubernetes.io/other" not in found["capacity"]
    assert found["capacity"]["cpu"] == "4"


def test_a_node_registers_with_its_labels_and_taints() -> None:
    taint = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
    found = initial_node(
        config(node_labels={"disk": "ssd"}, taints=(taint,), provider_id="cloud://1", pod_cidr="10.1.0.0/24"), FACTS
    )
    assert found["metadata"]["labels"] == {
        "kubernetes.io/hostname": "n1", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64", "disk": "ssd",
    }  # fmt: skip
    assert found["metadata"]["annotations"] == {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    assert found["spec"] == {
        "taints": [taint], "providerID": "cloud://1", "podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]
    }  # fmt: skip


def test_a_node_of_a_cloud_waits_for_its_controller() -> None:
    own: dict[str, Any] = {"cloud_provider": "external", "node_ips": ("192.0.2.1",)}
    found = initial_node(config(**own), FACTS)
    assert [taint["key"] for taint in found["spec"]["taints"]] == ["node.cloudprovider.kubernetes.io/uninitialized"]
    assert found["metadata"]["annotations"]["alpha.kubernetes.io/provided-node-ip"] == "192.0.2.1"
    said = [{"type": "ExternalIP", "address": "198.51.100.1"}]
    assert status(previous={"addresses": said}, **own)["addresses"] == said
    assert status(cloud_provider="external")["addresses"] == [{"type": "Hostname", "address": "n1"}]


def test_addresses_come_before_the_host_name() -> None:
    assert status(addresses=("192.0.2.1", "2001:db8::1"))["addresses"] == [
        {"type": "InternalIP", "address": "192.0.2.1"},
        {"type": "InternalIP", "address": "2001:db8::1"},
        {"type": "Hostname", "address": "n1"},
    ]


def test_a_healthy_node_says_so_with_ready_last() -> None:
    found = status()
    assert [(entry["type"], entry["status"], entry["reason"]) for entry in found["conditions"]] == [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID"),
        ("Ready", "True", "KubeletReady"),
    ]
    assert condition(found, "Ready")["message"] == "kubelet is posting ready status"


@pytest.mark.parametrize(
    ("health", "message"),
    [
        (NodeHealth(runtime_error="no socket"), "container runtime is down: no socket"),
        (NodeHealth(runtime=WORKING, pleg_error="too old"), "PLEG is not healthy: too old"),
        (NodeHealth(runtime=WORKING, shutting_down=True), "node is shutting down"),
        (
            NodeHealth(runtime_error="gone", pleg_error="too old"),
            "[container runtime is down: gone, PLEG is not healthy: too old]",
        ),
        (
            NodeHealth(
                runtime=RuntimeStatus(
                    conditions=(
                        RuntimeCondition(type="RuntimeReady", status=True),
                        RuntimeCondition(
                            type="NetworkReady", status=False, reason="NetworkPluginNotReady", message="no CNI"
                        ),
                    )
                )
            ),
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:no CNI",
        ),
    ],
)
def test_a_node_that_is_not_ready_says_why(health: NodeHealth, message: str) -> None:
    ready = condition(status(health), "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "KubeletNotReady", message)


def test_times_move_with_the_status_heartbeats_always() -> None:
    first = status(now_s=1000.0)
    second = status(now_s=2000.0, previous=first)
    short = status(NodeHealth(runtime=WORKING, pressures=frozenset({"DiskPressure"})), now_s=3000.0, previous=second)
    for kind in ("MemoryPressure", "Ready"):
        assert condition(short, kind)["lastTransitionTime"] == condition(first, kind)["lastTransitionTime"]
        assert condition(short, kind)["lastHeartbeatTime"] != condition(second, kind)["lastHeartbeatTime"]
    disk = condition(short, "DiskPressure")
    assert (disk["status"], disk["reason"]) == ("True", "KubeletHasDiskPressure")
    assert disk["lastTransitionTime"] == disk["lastHeartbeatTime"]
    assert not differs(second, first) and differs(short, second)
    assert heartbeat_age_s(short, 3010.0) == 10
    assert heartbeat_age_s({}, 0) == float("inf")


def test_what_changed_is_told() -> None:
    first = status()
    again = status(NodeHealth(runtime_error="gone", pressures=frozenset({"MemoryPressure"})), previous=first)
    assert status_events(again, first, name="n1") == [
        ("Normal", "NodeHasInsufficientMemory", "Node n1 status is now: NodeHasInsufficientMemory"),
        ("Normal", "NodeNotReady", "Node n1 status is now: NodeNotReady"),
    ]
    rebooted = status(previous=first, facts=MachineFacts(cpus=4, memory_bytes=GIB, disk_bytes=GIB, boot_id="b2"))
    assert status_events(rebooted, first, name="n1") == [
        ("Warning", "Rebooted", "Node n1 has been rebooted, boot id: b2")
    ]


def test_the_largest_images_are_listed() -> None:
    images = [
        Image(id="small", repo_tags=("small:1",), size_bytes=1),
        Image(id="large", repo_tags=tuple(f"large:{number}" for number in range(9)), size_bytes=9),
        Image(id="nameless", size_bytes=99),
    ]
    listed = status(images=images)["images"]
    assert [(item["names"][0], len(item["names"])) for item in listed] == [("large:0", 5), ("small:1", 1)]
    assert status(images=images[:2], max_status_images=1)["images"][0]["sizeBytes"] == 9
    assert len(status(images=images[:2], max_status_images=1)["images"]) == 1
