"""Devices of plugins that answer at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from steersman.aio.clock import FakeClock
from steersman.kubelet.device_plugins.device_assignments import FILE
from steersman.kubelet.device_plugins.device_manager import GRACE_S, DeviceManager
from steersman.kubelet.device_plugins.devices import Device
from steersman.kubelet.device_plugins.plugin import PluginError
from steersman.kubelet.device_plugins.v1beta1 import deviceplugin_pb2 as pb
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.node_object import DeviceResources
from steersman.kubelet.node_resources.numa_hints import NOWHERE, Hint, nodes_of
from steersman.kubelet.node_resources.provider import AllocationRefused
from steersman.kubelet.own_resources import OwnResourcesFailed
from steersman.kubelet.podspec import PodContainer, app_containers, init_containers
from steersman.kubelet.runtimes import containers as cri
from steersman.meta.objects import Object
from tests.kubelet.node_resources.guaranteed import ActivePods, near

WIDGET, GADGET = "example.com/widget", "example.com/gadget"


class Plugin:
    """Answers from memory."""

    def __init__(self, resource: str = WIDGET) -> None:
        self.resource = resource
        self.needs_pre_start = False
        self.has_preferences = False
        self.refusal = ""
        self.response = pb.ContainerAllocateResponse()
        self.allocated: list[list[str]] = []
        self.started: list[list[str]] = []

    async def allocate(self, ids: Iterable[str]) -> pb.ContainerAllocateResponse:
        self._refuse()
        self.allocated.append(sorted(ids))
        return self.response

    async def prefer(self, free: Iterable[str], included: Iterable[str], count: int) -> frozenset[str]:
        self._refuse()
        return frozenset(sorted(free, reverse=True)[:count])

    async def pre_start(self, ids: Iterable[str]) -> None:
        self._refuse()
        self.started.append(sorted(ids))

    def _refuse(self) -> None:
        if self.refusal:
            raise PluginError(self.refusal)


def asking(name: str = "main", *, sidecar: bool = False, **counts: int) -> Object:
    """``counts``: by the last part of a resource's name."""
    wanted = {f"example.com/{key}": str(count) for key, count in counts.items()}
    found: Object = {"name": name, "image": "i", "resources": {"requests": wanted, "limits": wanted}}
    return {**found, "restartPolicy": "Always"} if sidecar else found


def pod(*apps: Object, name: str = "web", init: tuple[Object, ...] = ()) -> Object:
    metadata = {"name": name, "namespace": "default", "uid": name}
    return {"metadata": metadata, "spec": {"containers": list(apps), "initContainers": list(init)}}


def find(obj: Object) -> PodContainer:
    return next(app_containers(obj))


class World:
    """Managers of one node, one after another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.active = ActivePods()
        self.metrics = KubeletMetrics()
        self.unwell: list[frozenset[str]] = []
        self.changes = 0
        self.manager = self.restarted()

    def restarted(self) -> DeviceManager:
        self.manager = DeviceManager(
            self.folder, nodes=(0, 1), active_pods=self.active, clock=self.clock, metrics=self.metrics,
            changed=self._changed, health_changed=self.unwell.append,
        )  # fmt: skip
        return self.manager

    def _changed(self) -> None:
        self.changes += 1

    def plug(self, devices: str = "a b c d", *, resource: str = WIDGET) -> Plugin:
        plugin = Plugin(resource)
        self.manager.connected(plugin)
        self.show(plugin, devices)
        return plugin

    def show(self, plugin: Plugin, devices: str) -> None:
        """``a0 b!``: near to node 0; unhealthy."""
        found = [
            Device(
                id=word[0],
                health="Unhealthy" if word.endswith("!") else "Healthy",
                nodes=tuple(int(digit) for digit in word[1:] if digit.isdigit()),
            )
            for word in devices.split()
        ]
        self.manager.listed(plugin, found)

    async def start(self, obj: Object, affinity: Hint = NOWHERE) -> Object:
        self.active.add(obj)
        try:
            for each in (*init_containers(obj), *app_containers(obj)):
                await self.manager.allocate(obj, each, affinity)
        except AllocationRefused:
            self.active.end(obj["metadata"]["uid"])
            raise
        return obj

    def given(self, name: str = "web", container: str = "main", resource: str = WIDGET) -> str:
        return "".join(sorted(self.manager.assignments.ids(name, container, resource) or ()))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_container_has_its_devices_until_its_pod_ends(world: World) -> None:
    plugin = world.plug()
    await world.start(pod(asking(widget=2)))
    await world.start(pod(asking(widget=1), name="second"))
    assert (world.given(), world.given("second"), plugin.allocated) == ("ab", "c", [["a", "b"], ["c"]])
    world.active.end("web")
    await world.start(pod(asking(widget=3), name="third"))
    assert world.given("third") == "abd"


async def test_nothing_is_taken_back_before_all_pods_are_known(world: World) -> None:
    world.plug("a")
    await world.start(pod(asking(widget=1)))
    world.active.known = None
    world.manager.take_back_stale()
    assert world.given() == "a"


async def test_what_there_is(world: World) -> None:
    plugin = world.plug("a b! c")
    await world.start(pod(asking(widget=1)))
    assert world.manager.resources() == DeviceResources(capacity={WIDGET: 3}, allocatable={WIDGET: 2})
    world.show(plugin, "a b")
    assert world.manager.resources() == DeviceResources(capacity={WIDGET: 2}, allocatable={WIDGET: 2})
    assert world.changes == 3
    world.show(plugin, "a b")
    assert world.changes == 3, "nothing has changed"


async def test_a_plugin_that_goes_leaves_its_resource_for_five_minutes(world: World) -> None:
    plugin = world.plug("a b")
    await world.clock.advance(1)
    world.manager.disconnected(plugin)
    assert world.manager.resources() == DeviceResources(capacity={WIDGET: 2}, allocatable={WIDGET: 0})
    await world.clock.advance(GRACE_S)
    assert world.manager.resources().capacity == {WIDGET: 2}
    await world.clock.advance(0.1)
    for _ in range(2):
        assert world.manager.resources() == DeviceResources(removed=(WIDGET,))
    world.plug("a")
    assert world.manager.resources() == DeviceResources(capacity={WIDGET: 1}, allocatable={WIDGET: 1})


async def test_a_plugin_takes_the_place_of_another(world: World) -> None:
    old = world.plug("a")
    new = Plugin()
    world.manager.connected(new)
    assert world.manager.resources().allocatable == {WIDGET: 0}, "it has not told of its devices"
    world.show(new, "b c")
    world.show(old, "z")
    world.manager.disconnected(old)
    assert world.manager.resources().allocatable == {WIDGET: 2}


async def test_the_next_kubelet_knows_who_has_what(world: World) -> None:
    plugin = world.plug("a0 b01")
    plugin.response = pb.ContainerAllocateResponse(envs={"A": "1"})
    await world.start(pod(asking(widget=2)))
    world.restarted()
    assert world.manager.resources() == DeviceResources(capacity={WIDGET: 0}, allocatable={WIDGET: 0})
    assert world.given() == "ab"
    assert world.manager.assignments.of("web", "main")[WIDGET].by_node == {0: ["a", "b"], 1: ["b"]}
    assert world.manager.assignments.settings("web", "main").envs == {"A": "1"}
    again = world.plug("a0 b01 c1")
    await world.start(pod(asking(widget=2)))
    assert again.allocated == [], "the container has them already"
    await world.start(pod(asking(widget=1), name="second"))
    assert world.given("second") == "c"


async def test_a_resource_whose_plugin_does_not_come_back_goes_after_a_restart_too(world: World) -> None:
    world.plug("a")
    world.restarted()
    await world.clock.advance(GRACE_S + 1)
    assert world.manager.resources() == DeviceResources(removed=(WIDGET,))


@pytest.mark.parametrize("content", [b"", b"{}", b'{"Data": {}}', b'{"Data": {}, "checksum": 7}'])
async def test_a_broken_checkpoint_is_as_good_as_none(world: World, content: bytes) -> None:
    (world.folder / FILE).write_bytes(content)
    world.restarted()
    world.plug("a")
    await world.start(pod(asking(widget=1)))
    assert world.given() == "a"


async def test_devices_of_init_containers_are_used_again_those_of_sidecars_are_not(world: World) -> None:
    world.plug("a b c d e")
    init = (asking("sidecar", sidecar=True, widget=1), asking("first", widget=2), asking("second", widget=3))
    await world.start(pod(asking("main", widget=2), asking("other", widget=1), init=init))
    names = ("sidecar", "first", "second", "main", "other")
    assert [world.given(container=name) for name in names] == ["a", "bc", "bcd", "bc", "d"]


REFUSALS: list[tuple[str, Callable[[World], object], int, str]] = [
    ("too few", lambda world: world.plug("a"), 2,
     f"requested number of devices unavailable for {WIDGET}. Requested: 2, Available: 1"),
    ("unhealthy", lambda world: world.plug("a! b!"), 1,
     f"no healthy devices present; cannot allocate unhealthy devices {WIDGET}"),
    ("gone", lambda world: world.manager.disconnected(world.plug("a")), 1,
     f"no healthy devices present; cannot allocate unhealthy devices {WIDGET}"),
    ("refused", lambda world: setattr(world.plug("a"), "refusal", "broken"), 1, "broken"),
]  # fmt: skip


@pytest.mark.parametrize(("why", "plug", "count", "message"), REFUSALS, ids=[case[0] for case in REFUSALS])
async def test_what_cannot_be_given(
    world: World, why: str, plug: Callable[[World], object], count: int, message: str
) -> None:
    plug(world)
    with pytest.raises(AllocationRefused) as caught:
        await world.start(pod(asking(widget=count)))
    assert str(caught.value) == f"Allocate failed due to {message}, which is unexpected"
    assert caught.value.reason == "UnexpectedAdmissionError"
    assert world.given() == ""


async def test_a_container_that_has_devices_asks_for_the_same_again(world: World) -> None:
    plugin = world.plug("a b")
    await world.start(pod(asking(widget=1)))
    with pytest.raises(AllocationRefused, match=r'changed request for resource "example\.com/widget" from 1 to 2'):
        await world.start(pod(asking(widget=2)))
    world.active.known = None
    world.show(plugin, "a! b")
    with pytest.raises(AllocationRefused, match="previously allocated devices are no longer healthy"):
        await world.manager.allocate(pod(asking(widget=1)), find(pod(asking(widget=1))), NOWHERE)


async def test_a_pod_that_was_refused_leaves_nothing(world: World) -> None:
    world.plug("a b")
    world.plug("x", resource=GADGET)
    with pytest.raises(AllocationRefused):
        await world.start(pod(asking(widget=2), asking("other", gadget=2)))
    await world.start(pod(asking(widget=2), name="second"))
    assert world.given("second") == "ab"


async def test_of_no_interest_are_resources_without_a_plugin(world: World) -> None:
    assert not world.manager.wants(pod(asking(widget=1)))
    world.plug("a")
    assert world.manager.wants(pod(asking(widget=1)))
    assert world.manager.wants(pod({"name": "main"}, init=(asking("first", widget=1),)))
    assert not world.manager.wants(pod(asking(gadget=1)))
    assert not world.manager.wants(pod(asking(widget=0)))


async def test_the_plugin_prefers(world: World) -> None:
    world.plug("a b c").has_preferences = True
    await world.start(pod(asking(widget=2)))
    assert world.given() == "bc"


async def test_what_two_plugins_want_for_a_container(world: World) -> None:
    widgets, gadgets = world.plug("a"), world.plug("x", resource=GADGET)
    widgets.response = pb.ContainerAllocateResponse(
        envs={"A": "1", "B": "2"},
        mounts=[pb.Mount(container_path="/m", host_path="/one", read_only=True)],
        devices=[pb.DeviceSpec(container_path="/dev/w", host_path="/dev/null", permissions="rw")],
        annotations={"k": "1"},
        cdi_devices=[pb.CDIDevice(name="example.com/w=a"), pb.CDIDevice(name="example.com/both=1")],
    )
    gadgets.response = pb.ContainerAllocateResponse(
        envs={"B": "3", "C": "4"},
        mounts=[pb.Mount(container_path="/m", host_path="/two"), pb.Mount(container_path="/n", host_path="/two")],
        cdi_devices=[pb.CDIDevice(name="example.com/both=1")],
    )
    obj = await world.start(pod(asking(widget=1, gadget=1)))
    settings = await world.manager.prepare(obj, find(obj))
    assert (settings.envs, settings.annotations) == ({"A": "1", "B": "2", "C": "4"}, {"k": "1"})
    assert [(mount.container_path, mount.host_path, mount.readonly) for mount in settings.mounts] == [
        ("/m", "/one", True), ("/n", "/two", False)
    ]  # fmt: skip
    assert settings.devices == (cri.Device(container_path="/dev/w", host_path="/dev/null", permissions="rw"),)
    assert settings.cdi_devices == ("example.com/w=a", "example.com/both=1")


async def test_a_plugin_that_wants_to_hears_of_every_start(world: World) -> None:
    plugin = world.plug("a b")
    obj = await world.start(pod(asking(widget=1)))
    await world.manager.prepare(obj, find(obj))
    assert plugin.started == []
    plugin.needs_pre_start = True
    for _ in range(2):
        await world.manager.prepare(obj, find(obj))
    assert plugin.started == [["a"], ["a"]]
    plugin.refusal = "not now"
    with pytest.raises(OwnResourcesFailed, match="not now"):
        await world.manager.prepare(obj, find(obj))


async def test_a_container_may_start_again_while_its_plugin_is_away_but_not_when_it_is_gone(world: World) -> None:
    plugin = world.plug("a")
    obj = await world.start(pod(asking(widget=1)))
    world.manager.disconnected(plugin)
    await world.manager.prepare(obj, find(obj))
    await world.clock.advance(GRACE_S + 1)
    world.manager.resources()
    with pytest.raises(OwnResourcesFailed, match=f"endpoint not found in cache for a registered resource: {WIDGET}"):
        await world.manager.prepare(obj, find(obj))


async def test_devices_that_were_forgotten_are_given_at_the_start(world: World) -> None:
    """A pod that was admitted before its resource had a plugin."""
    obj = world.active.add(pod(asking(widget=1)))
    world.plug("a").response = pb.ContainerAllocateResponse(envs={"A": "1"})
    assert (await world.manager.prepare(obj, find(obj))).envs == {"A": "1"}
    second = world.active.add(pod(asking(widget=1), name="second"))
    with pytest.raises(OwnResourcesFailed, match="Requested: 1, Available: 0"):
        await world.manager.prepare(second, find(second))


async def test_health_shows_in_the_pods_status(world: World) -> None:
    plugin = world.plug("a b c")
    await world.start(pod(asking(widget=2)))
    status = {"containerStatuses": [{"name": "main"}, {"name": "other"}]}

    def health() -> dict[str, str]:
        main, other = world.manager.with_health("web", status)["containerStatuses"]
        assert other == {"name": "other"}
        [shown] = main["allocatedResourcesStatus"]
        assert shown["name"] == WIDGET
        return {entry["resourceID"]: entry["health"] for entry in shown["resources"]}

    assert health() == {"a": "Healthy", "b": "Healthy"}
    world.show(plugin, "a! b c!")
    assert (health(), world.unwell) == ({"a": "Unhealthy", "b": "Healthy"}, [frozenset({"web"})])
    world.show(plugin, "a! b c")
    assert len(world.unwell) == 1, "nobody has c"
    world.show(plugin, "a b c")
    assert (health()["a"], len(world.unwell)) == ("Healthy", 2)
    assert world.manager.with_health("second", status) is status


async def test_a_pod_that_has_devices_fits_though_its_plugin_be_gone(world: World) -> None:
    plugin = world.plug("a b")
    await world.start(pod(asking(widget=2)))
    world.manager.disconnected(plugin)
    assert world.manager.raised("web", {"cpu": "1", WIDGET: "0"}) == {"cpu": "1", WIDGET: "2"}
    assert world.manager.raised("web", {WIDGET: "3"}) == {WIDGET: "3"}
    assert world.manager.raised("second", {WIDGET: "0"}) == {WIDGET: "0"}


def shown(hints: object) -> list[str]:
    assert isinstance(hints, list)
    return ["".join(map(str, nodes_of(hint.nodes))) + ("*" if hint.preferred else "") for hint in hints]


async def test_hints_of_a_container_and_of_its_pod(world: World) -> None:
    world.plug("a0 b0 c1 d1")
    world.plug("x", resource=GADGET)
    obj = pod(asking(widget=2, gadget=1), asking("other", widget=2))
    hints = world.manager.hints(obj, find(obj))
    assert shown(hints[WIDGET]) == ["0*", "1*", "01"]
    assert hints[GADGET] is None, "it does not matter where gadgets are"
    assert shown(world.manager.pod_hints(obj)[WIDGET]) == ["01*"]
    await world.start(obj, near(1))
    assert (world.given(), world.given(container="other")) == ("cd", "ab")
    assert shown(world.manager.hints(obj, find(obj))[WIDGET]) == ["1*", "01"], "as it was given"
    second = world.active.add(pod(asking(widget=1), name="second"))
    assert shown(world.manager.hints(second, find(second))[WIDGET]) == []
    assert shown(world.manager.pod_hints(second)[WIDGET]) == []


async def test_allocations_are_measured(world: World) -> None:
    world.plug("a")
    await world.start(pod(asking(widget=1)))
    read = world.metrics.registry.get_sample_value
    labels = {"resource_name": WIDGET}
    assert read("kubelet_device_plugin_alloc_duration_seconds_count", labels) == 1
