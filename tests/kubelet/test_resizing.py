"""In-place resize in the pod machine: what is asked for, in which order, and what the status says meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.kubelet.allocation import (
    Actuated,
    Amounts,
    actuated_of,
    allocation_of,
    container_amounts,
    with_allocation,
)
from steersman.kubelet.container_status import StartFailure
from steersman.kubelet.instructions import (
    Finished,
    MountVolumes,
    PodUpdated,
    Remember,
    ResizePod,
    ResourcesSet,
    RuntimeReported,
    StartContainer,
    StopContainer,
)
from steersman.kubelet.pod_conditions import PendingResize
from steersman.kubelet.pod_machine import PodMachine
from steersman.kubelet.podspec import app_containers
from steersman.kubelet.resizing import plan_resize
from steersman.kubelet.status import NodeFacts
from steersman.meta.objects import Object
from tests.kubelet.drive import NOTHING, Drive
from tests.kubelet.pods import NOW_S, container, pod, ran, record


def sized(name: str = "a", cpu: str = "100m", memory: str = "100Mi", **fields: Any) -> Object:
    amounts = {"cpu": cpu, "memory": memory}
    return container(name, resources={"requests": amounts, "limits": amounts}, **fields)


def running(*specs: Object, **fields: Any) -> Drive:
    return Drive(pod(*specs, **fields), record(*map(ran, specs)))


def granted(drive: Drive, *specs: Object, generation: int = 2, **fields: Any) -> None:
    metadata = {"generation": generation}
    drive.send(PodUpdated(pod=pod(*specs, metadata=metadata, **fields), granted=True))


def condition(drive: Drive, kind: str) -> Object | None:
    return next((entry for entry in drive.machine.status["conditions"] if entry["type"] == kind), None)


def succeed(drive: Drive, *specs: Object) -> None:
    """The resize that was asked for is carried out."""
    [work] = drive.work()
    assert isinstance(work, ResizePod)
    drive.send(ResourcesSet(actuated=actuated_of(drive.machine.pod)))
    drive.finish(work, record(*map(ran, specs)))


def test_a_resize_is_asked_for_shown_and_said_to_be_done() -> None:
    drive = running(sized())
    bigger = sized(cpu="200m")
    granted(drive, bigger)
    [work] = drive.work()
    assert isinstance(work, ResizePod)
    [change] = work.resize.containers
    assert (change.name, change.current.cpu_limit_milli, change.desired.cpu_limit_milli) == ("a", 100, 200)
    shown = condition(drive, "PodResizeInProgress")
    assert shown is not None and (shown["status"], shown["observedGeneration"]) == ("True", 2)
    assert "reason" not in shown
    assert drive.machine.status["allocatedResources"] == {"cpu": "200m", "memory": "100Mi"}
    succeed(drive, bigger)
    assert condition(drive, "PodResizeInProgress") is None
    [event] = drive.events()
    assert event == (
        "ResizeCompleted",
        'Pod resize completed: {"containers":[{"name":"a","resources":{"limits":{"cpu":"200m","memory":"100Mi"},'
        '"requests":{"cpu":"200m","memory":"100Mi"}}}],"generation":2}',
    )
    assert drive.work() == []


def test_what_was_set_is_to_be_remembered() -> None:
    drive = running(sized())
    granted(drive, sized(memory="200Mi"))
    actuated = actuated_of(drive.machine.pod)
    assert Remember(actuated=actuated, as_granted=True) in drive.send(ResourcesSet(actuated=actuated))


def test_a_later_machine_goes_on_with_a_resize_that_was_granted() -> None:
    before = actuated_of(pod(sized()))
    drive = Drive(pod(sized(cpu="200m")), record(ran(sized())), actuated=before)
    assert [type(work) for work in drive.work()] == [ResizePod]


def test_a_machine_that_finds_containers_without_a_word_on_their_size_takes_it_as_granted() -> None:
    drive = running(sized())
    assert drive.work() == []
    granted(drive, sized(cpu="200m"))
    assert [type(work) for work in drive.work()] == [ResizePod]


def test_a_resize_granted_before_the_runtime_was_asked_is_carried_out() -> None:
    before, after = pod(sized()), pod(sized(cpu="200m"), metadata={"generation": 2})
    machine = PodMachine(before, NodeFacts())
    assert machine.handle(PodUpdated(pod=after, granted=True), NOW_S) == []
    machine.handle(RuntimeReported(record=record(ran(sized()))), NOW_S)
    said = machine.handle(Finished(work=MountVolumes(), record=None), NOW_S)
    assert [item.key for item in said if isinstance(item, ResizePod)] == [ResizePod.key]


def test_a_failed_resize_says_why_once_and_is_tried_again() -> None:
    drive = running(sized())
    granted(drive, sized(memory="1Mi"))
    for round in range(2):
        [work] = drive.work()
        drive.finish(work, record(ran(sized())), StartFailure(reason="Error", message="no"))
        shown = condition(drive, "PodResizeInProgress")
        assert shown is not None and (shown["reason"], shown["message"]) == ("Error", "no")
        assert [reason for reason, _ in drive.events()] == ([] if round else ["ResizeError"])
        assert drive.work() == []
        drive.wait(20)


def test_a_resize_that_is_taken_back_ends_without_work() -> None:
    drive = running(sized())
    granted(drive, sized(memory="1Mi"))
    drive.finish(drive.work()[0], record(ran(sized())), StartFailure(reason="Error", message="no"))
    granted(drive, sized(), generation=3)
    assert drive.work() == []
    assert condition(drive, "PodResizeInProgress") is None
    assert [reason for reason, _ in drive.events()] == ["ResizeCompleted"]


def test_a_new_grant_after_a_failure_is_tried_at_once() -> None:
    drive = running(sized())
    granted(drive, sized(memory="1Mi"))
    drive.finish(drive.work()[0], record(ran(sized())), StartFailure(reason="Error", message="no"))
    granted(drive, sized(memory="50Mi"), generation=3)
    assert [type(work) for work in drive.work()] == [ResizePod]
    shown = condition(drive, "PodResizeInProgress")
    assert shown is not None and shown["observedGeneration"] == 3 and "reason" not in shown


def test_a_pending_resize_is_shown_and_nothing_is_done() -> None:
    drive = running(sized())
    pending = PendingResize(reason="Deferred", message="no room", generation=2)
    drive.send(PodUpdated(pod=pod(sized(), metadata={"generation": 2}), pending=pending))
    assert drive.work() == []
    shown = condition(drive, "PodResizePending")
    assert shown is not None
    assert (shown["reason"], shown["message"], shown["observedGeneration"]) == ("Deferred", "no room", 2)
    drive.send(PodUpdated(pod=pod(sized(), metadata={"generation": 3})))
    assert condition(drive, "PodResizePending") is None


RESTART = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]


@pytest.mark.parametrize("exit_code", [0, 137])
@pytest.mark.parametrize("policy", ["Always", "OnFailure"])
def test_a_container_whose_policy_says_so_is_replaced(policy: str, exit_code: int) -> None:
    drive = running(sized(resizePolicy=RESTART), restartPolicy=policy)
    bigger = sized(memory="200Mi", resizePolicy=RESTART)
    granted(drive, bigger, restartPolicy=policy)
    assert ("Killing", "Container a resize requires restart") in drive.events()
    [stop] = drive.work()
    assert isinstance(stop, StopContainer)
    ended = ran(bigger, "EXITED", exit_code=exit_code)
    drive.finish(stop, record(ended))
    assert drive.machine.status["phase"] == "Running"
    [resize] = drive.work()
    assert isinstance(resize, ResizePod) and resize.resize.pod and not resize.resize.containers
    assert condition(drive, "PodResizeInProgress") is not None
    drive.send(ResourcesSet(actuated=drive.machine.actuated.with_pod(actuated_of(drive.machine.pod).pod or Amounts())))
    drive.finish(resize, record(ended))
    [start] = drive.work()
    assert isinstance(start, StartContainer) and start.amounts.memory_limit_bytes == 200 << 20
    assert condition(drive, "PodResizeInProgress") is not None
    drive.finish(start, record(ran(bigger, attempt=1), ended))
    assert condition(drive, "PodResizeInProgress") is None
    assert drive.work() == []


def test_the_other_resource_does_not_cost_a_restart() -> None:
    drive = running(sized(resizePolicy=RESTART))
    granted(drive, sized(cpu="200m", resizePolicy=RESTART))
    assert [type(work) for work in drive.work()] == [ResizePod]


def test_restarts_for_a_resize_do_not_count_for_back_off() -> None:
    drive = running(sized(resizePolicy=RESTART))
    for attempt in range(3):
        spec = sized(memory=f"{200 + attempt}Mi", resizePolicy=RESTART)
        granted(drive, spec, generation=attempt + 2)
        ended = ran(spec, "EXITED", attempt=attempt, exit_code=137)
        drive.finish(drive.work()[0], record(ended))
        [resize] = drive.work()
        drive.send(ResourcesSet(actuated=actuated_of(drive.machine.pod)))
        drive.finish(resize, record(ended))
        assert [type(work) for work in drive.work()] == [StartContainer]
        drive.finish_start(record(ran(spec, attempt=attempt + 1), ended))
        drive.now_s += 60


def test_a_container_that_does_not_run_is_started_with_its_new_size() -> None:
    drive = Drive(pod(sized()), NOTHING)
    drive.finish(drive.work()[0], record())
    drive.finish_start(record(), StartFailure(reason="ErrImagePull", message="no"))
    granted(drive, sized(memory="200Mi"))
    [resize] = drive.work()
    assert isinstance(resize, ResizePod) and resize.resize.pod and not resize.resize.containers
    drive.send(ResourcesSet(actuated=actuated_of(drive.machine.pod)))
    drive.finish(resize, record())
    drive.wait(10)
    [start] = drive.work()
    assert isinstance(start, StartContainer) and start.amounts.memory_limit_bytes == 200 << 20


def test_no_container_starts_while_the_pod_is_being_resized() -> None:
    specs = [sized("a"), sized("b")]
    drive = Drive(pod(*specs), record(ran(specs[0])))
    drive.finish_start(record(ran(specs[0])), StartFailure(reason="ErrImagePull", message="no"))
    granted(drive, sized("a", cpu="300m"), specs[1])
    assert [type(work) for work in drive.work()] == [ResizePod]
    drive.wait(10)
    assert drive.work() == []


def test_what_shrinks_goes_before_what_grows() -> None:
    before = [sized("a"), sized("b"), sized("c", memory="10Mi")]
    after = [sized("a", cpu="200m"), sized("b", cpu="50m", memory="200Mi"), sized("c", memory="5Mi")]
    resize = plan_resize(pod(*after), record(*map(ran, before)), actuated_of(pod(*before)))
    assert [change.name for change in resize.of("cpu")] == ["b", "a"]
    assert [change.name for change in resize.of("memory")] == ["c", "b"]


def test_sidecars_and_init_containers_are_resized_while_they_run() -> None:
    side, init = sized("side", restartPolicy="Always"), sized("init")
    before = pod(sized("app"), init=[side, init])
    after = pod(sized("app"), init=[sized("side", cpu="1", restartPolicy="Always"), sized("init", memory="1Gi")])
    resize = plan_resize(after, record(ran(side), ran(init)), actuated_of(before))
    assert {change.name for change in resize.containers} == {"side", "init"}


def test_a_pod_level_limit_reaches_containers_that_have_none() -> None:
    before = pod(container("a"), sized("b"), resources={"limits": {"memory": "1Gi"}})
    after = pod(container("a"), sized("b"), resources={"limits": {"memory": "2Gi"}})
    reported = record(ran(container("a")), ran(sized("b")))
    resize = plan_resize(after, reported, actuated_of(before))
    assert [change.name for change in resize.containers] == ["a"] and resize.pod


def test_a_pod_keeps_what_it_was_granted_until_it_is_granted_more() -> None:
    before, desired = pod(sized()), pod(sized(cpu="4"), resources={"limits": {"cpu": "4"}})
    kept = with_allocation(desired, allocation_of(before))
    assert kept["spec"] == before["spec"]
    assert with_allocation(before, allocation_of(pod(sized(cpu="0.1")))) is before
    [found] = app_containers(kept)
    assert container_amounts(found, None).cpu_limit_milli == 100


def test_nothing_is_known_of_a_container_that_was_never_started() -> None:
    assert not plan_resize(pod(sized()), record(ran(sized())), Actuated())


def test_a_pod_that_is_over_has_no_resize() -> None:
    drive = running(sized(), restartPolicy="Never")
    granted(drive, sized(cpu="200m"), restartPolicy="Never")
    drive.send(PodUpdated(pod=drive.machine.pod, pending=PendingResize(reason="Deferred", message="", generation=3)))
    work = drive.machine.work.in_flight["resize"]
    drive.finish(work, record(ran(sized(), "EXITED")))
    assert drive.machine.status["phase"] == "Succeeded"
    assert condition(drive, "PodResizePending") is None
    assert condition(drive, "PodResizeInProgress") is None
