"""The life of a pod, step by step, without containers, clock or event loop."""

from __future__ import annotations

from steersman.kubelet.container_starts import go_duration
from steersman.kubelet.container_status import StartFailure
from steersman.kubelet.instructions import (
    Cancel,
    CreateSandbox,
    Finished,
    MountVolumes,
    PodUpdated,
    ProbesReported,
    Publish,
    RunPreStop,
    RuntimeReported,
    StopContainer,
    StopSandbox,
    TearDown,
    Terminate,
    Work,
)
from steersman.kubelet.pod_machine import PodMachine
from steersman.kubelet.probe_results import ProbeResults
from steersman.kubelet.records import ContainerRecord, PodRecord
from steersman.kubelet.status import NodeFacts, Verdict
from steersman.meta.objects import Object
from tests.kubelet.drive import NOTHING, Drive
from tests.kubelet.pods import NOW_S, container, deleted, pod, ran, record, sandbox

A, B = container("a"), container("b")
GONE_BOX = sandbox(state="NOTREADY")


def test_nothing_happens_before_the_runtime_was_asked() -> None:
    machine = PodMachine(pod(A), NodeFacts())
    assert machine.handle(PodUpdated(pod=pod(A)), NOW_S) == []


def test_a_new_pod_mounts_then_makes_its_sandbox_then_starts_containers_one_by_one() -> None:
    drive = Drive(pod(A, B), mounted=False)
    assert drive.work() == [MountVolumes()]
    drive.finish(MountVolumes(), NOTHING)
    assert drive.work() == [CreateSandbox(attempt=0)]
    drive.finish(CreateSandbox(attempt=0), record())
    assert drive.started() == "a"
    assert drive.conditions()["PodReadyToStartContainers"] == "True"
    drive.finish_start(record(ran(A)))
    assert drive.started() == "b"
    assert drive.machine.status["phase"] == "Pending"
    drive.finish_start(record(ran(A), ran(B)))
    assert drive.work() == []
    assert drive.machine.status["phase"] == "Running"
    assert set(drive.conditions().values()) == {"True"}
    assert drive.machine.status["podIP"] == "10.1.0.2"
    assert drive.machine.status["hostIP"] == "192.0.2.1"


def test_a_pod_that_is_over_keeps_its_address() -> None:
    """As upstream's cache of pods does; who lists pods sees which one it was."""
    drive = Drive(pod(A, restartPolicy="Never"), record(ran(A)))
    drive.send(RuntimeReported(record=record(ran(A, "EXITED"), sandboxes=[GONE_BOX])))
    assert drive.machine.status["phase"] == "Succeeded"
    assert drive.machine.status["podIP"] == "10.1.0.2"
    assert drive.machine.status["podIPs"] == [{"ip": "10.1.0.2"}]


def test_the_same_report_again_changes_nothing() -> None:
    drive = Drive(pod(A), record(ran(A)))
    assert drive.send(RuntimeReported(record=record(ran(A)))) == []
    assert drive.wait(3600) == []


def test_a_machine_that_finds_its_containers_running_starts_nothing() -> None:
    drive = Drive(pod(A, B), record(ran(A), ran(B)))
    assert drive.work() == []
    assert drive.machine.status["phase"] == "Running"


def test_an_older_report_is_not_believed() -> None:
    drive = Drive(pod(A), PodRecord(uid="u", taken_at_s=10, sandboxes=record().sandboxes))
    drive.finish_start(PodRecord(uid="u", taken_at_s=20, sandboxes=record().sandboxes, containers=(ran(A),)))
    drive.send(RuntimeReported(record=PodRecord(uid="u", taken_at_s=15, sandboxes=record().sandboxes)))
    assert drive.work() == []
    assert "running" in drive.container()["state"]


def test_crash_loop_waits_ten_seconds_more_each_time_up_to_five_minutes() -> None:
    drive = Drive(pod(A), record(ran(A)))
    delays = []
    for attempt in range(8):
        drive.now_s += 1
        ended = ran(
            A, "EXITED", attempt=attempt, exit_code=1, age_s=-(drive.now_s - NOW_S) + 1, ended_s=NOW_S - drive.now_s
        )
        drive.send(RuntimeReported(record=record(ended)))
        began_s = drive.now_s
        while not drive.work():
            due_s = drive.machine.wake_at_s
            assert due_s is not None
            assert drive.container()["state"]["waiting"]["reason"] == "CrashLoopBackOff"
            assert drive.container()["lastState"]["terminated"]["exitCode"] == 1
            drive.wait(due_s - drive.now_s)
        delays.append(round(drive.now_s - began_s))
        drive.finish_start(record(ran(A, attempt=attempt + 1, age_s=NOW_S - drive.now_s)))
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300]


def test_another_image_starts_without_back_off() -> None:
    drive = Drive(pod(A), record(ran(A, "EXITED", exit_code=1)))
    drive.finish_start(record(ran(A, "EXITED", exit_code=1, attempt=1)))
    assert drive.container()["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    drive.send(PodUpdated(pod=pod(container("a", "other:1"))))
    assert drive.started() == "a"


def test_back_off_is_announced_once_a_crash() -> None:
    drive = Drive(pod(A), record(ran(A, "EXITED", exit_code=1)))
    drive.finish_start(record(ran(A, "EXITED", exit_code=1, attempt=1)))
    assert drive.events() == [
        ("BackOff", "Back-off restarting failed container a in pod web_default(6e1f1a4e-0000-4000-8000-000000000001)")
    ]
    assert drive.container()["state"]["waiting"]["message"] == (
        "back-off 10s restarting failed container=a pod=web_default(6e1f1a4e-0000-4000-8000-000000000001)"
    )
    assert drive.container()["restartCount"] == 1
    drive.wait(1)
    assert drive.events() == []


def test_a_container_that_cannot_start_waits_with_its_reason_and_does_not_hold_back_others() -> None:
    drive = Drive(pod(A, B), record())
    drive.finish_start(record(), StartFailure(reason="ErrImagePull", message="not found"))
    assert drive.started() == "b"
    assert drive.container()["state"] == {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
    drive.finish_start(record(ran(B)))
    assert drive.work() == []
    drive.wait(10)
    assert drive.started() == "a"


def test_a_start_that_the_runtime_took_down_with_it_is_tried_again_soon() -> None:
    drive = Drive(pod(A), record())
    [work] = drive.work()
    failure = StartFailure(reason="CreateContainerError", message="connection refused")
    drive.send(Finished(work=work, record=record(), failure=failure, runtime_was_lost=True))
    assert drive.work() == []
    drive.wait(0.5)
    assert drive.started() == "a"


def test_a_failed_init_container_holds_back_the_rest() -> None:
    init = container("i")
    drive = Drive(pod(A, init=[init]), record())
    drive.finish_start(record(), StartFailure(reason="ErrImageNeverPull", message="absent"))
    assert drive.work() == []
    assert drive.container(field="initContainerStatuses")["state"]["waiting"]["reason"] == "ErrImageNeverPull"
    assert drive.container()["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_a_failed_mount_is_tried_again_with_growing_delay() -> None:
    drive = Drive(pod(A), mounted=False)
    for delay_s in (0.5, 1.0, 2.0):
        drive.finish(MountVolumes(), NOTHING, StartFailure(reason="FailedMount", message="no"))
        assert drive.work() == []
        assert drive.machine.wake_at_s == drive.now_s + delay_s
        drive.wait(delay_s)
        assert drive.work() == [MountVolumes()]


def test_deletion_stops_containers_then_the_sandbox_then_tears_down() -> None:
    drive = Drive(pod(A, B), record(ran(A), ran(B)))
    drive.send(PodUpdated(pod=deleted(pod(A, B), 30)))
    assert drive.events() == [("Killing", "Stopping container a"), ("Killing", "Stopping container b")] or (
        drive.events() == [("Killing", "Stopping container b"), ("Killing", "Stopping container a")]
    )
    assert {work.grace_s for work in drive.work() if isinstance(work, StopContainer)} == {30.0}
    ended = record(ran(A, "EXITED"), ran(B, "EXITED", exit_code=143))
    first, second = drive.work()
    drive.finish(first, ended)
    assert drive.work() == [StopSandbox(sandbox_id="box-0")]
    drive.finish(second, ended)
    assert drive.work() == []
    stopped = record(ran(A, "EXITED"), ran(B, "EXITED", exit_code=143), sandboxes=[GONE_BOX])
    drive.finish(StopSandbox(sandbox_id="box-0"), stopped)
    assert drive.work() == [TearDown()]
    assert drive.machine.status["phase"] == "Failed"
    drive.finish(TearDown(), stopped)
    assert drive.machine.state == "finished"
    assert drive.machine.wake_at_s is None


def test_a_shorter_second_deletion_shortens_the_wait() -> None:
    drive = Drive(pod(A), record(ran(A)))
    drive.send(PodUpdated(pod=deleted(pod(A), 30)))
    drive.now_s += 5
    drive.send(PodUpdated(pod=deleted(pod(A), 1)))
    [work] = drive.work()
    assert isinstance(work, StopContainer) and work.grace_s == 2.0


def test_deletion_cancels_a_start_under_way() -> None:
    drive = Drive(pod(A), record())
    drive.send(PodUpdated(pod=deleted(pod(A))))
    assert Cancel(key="start") in drive.said
    drive.finish_start(record(), StartFailure(reason="Cancelled", message=""))
    assert drive.work() == [StopSandbox(sandbox_id="box-0")]


def test_a_deleted_pod_that_never_ran_fails() -> None:
    drive = Drive(deleted(pod(A)), mounted=False)
    assert drive.machine.state == "terminated"
    assert drive.machine.status["phase"] == "Failed"
    assert drive.container()["state"]["terminated"]["reason"] == "ContainerStatusUnknown"


def test_a_sandbox_that_comes_to_be_after_its_pod_is_over_is_stopped() -> None:
    """The runtime goes on with a creation that was cancelled; its sandbox would hold the pod's cgroup for ever."""
    drive = Drive(pod(A), NOTHING)
    drive.send(PodUpdated(pod=deleted(pod(A))))
    assert Cancel(key="sandbox") in drive.said
    drive.finish(CreateSandbox(attempt=0), NOTHING, StartFailure(reason="Cancelled", message=""))
    assert drive.work() == [TearDown()]
    drive.send(RuntimeReported(record=record()))
    assert drive.work() == [StopSandbox(sandbox_id="box-0")]
    drive.finish(TearDown(), record(), StartFailure(reason="TearDown", message="Device or resource busy"))
    drive.finish(StopSandbox(sandbox_id="box-0"), record(sandboxes=[GONE_BOX]))
    drive.wait(60)
    assert drive.work() == [TearDown()]
    drive.finish(TearDown(), record(sandboxes=[GONE_BOX]))
    assert drive.machine.state == "finished"


def test_prestop_runs_within_the_grace_period() -> None:
    hooked = container("a", lifecycle={"preStop": {"exec": {"command": ["bye"]}}})
    drive = Drive(pod(hooked), record(ran(hooked)))
    drive.send(PodUpdated(pod=deleted(pod(hooked), 30)))
    [hook] = drive.work()
    assert isinstance(hook, RunPreStop) and hook.timeout_s == 30
    drive.now_s += 12
    drive.finish(hook, record(ran(hooked)))
    [stop] = drive.work()
    assert isinstance(stop, StopContainer) and stop.grace_s == 18


def test_prestop_that_outlives_the_grace_period_does_not_delay_the_stop() -> None:
    hooked = container("a", lifecycle={"preStop": {"sleep": {"seconds": 100}}})
    drive = Drive(pod(hooked), record(ran(hooked)))
    drive.send(PodUpdated(pod=deleted(pod(hooked), 30)))
    assert drive.machine.wake_at_s == drive.now_s + 30
    drive.wait(30)
    [stop] = drive.work()
    assert isinstance(stop, StopContainer) and stop.grace_s == 2


def test_sidecars_stop_after_the_apps_and_in_reverse() -> None:
    s1, s2 = container("s1", restartPolicy="Always"), container("s2", restartPolicy="Always")
    obj = pod(A, init=[s1, s2])
    drive = Drive(obj, record(ran(s1), ran(s2), ran(A)))
    drive.send(PodUpdated(pod=deleted(obj, 30)))
    [first] = drive.work()
    assert isinstance(first, StopContainer) and first.record.name == "a"
    drive.now_s += 10
    drive.finish(first, record(ran(s1), ran(s2), ran(A, "EXITED")))
    [second] = drive.work()
    assert isinstance(second, StopContainer) and (second.record.name, second.grace_s) == ("s2", 20)
    drive.finish(second, record(ran(s1), ran(s2, "EXITED"), ran(A, "EXITED")))
    [third] = drive.work()
    assert isinstance(third, StopContainer) and third.record.name == "s1"


def test_sidecars_do_not_wait_beyond_the_grace_period() -> None:
    side = container("s", restartPolicy="Always")
    obj = pod(A, init=[side])
    drive = Drive(obj, record(ran(side), ran(A)))
    drive.send(PodUpdated(pod=deleted(obj, 30)))
    drive.wait(30)
    assert [work.record.name for work in drive.work() if isinstance(work, StopContainer)] == ["s"]


def test_a_job_pod_succeeds_once_its_containers_have() -> None:
    obj = pod(A, restartPolicy="Never")
    drive = Drive(obj, record(ran(A)))
    drive.send(RuntimeReported(record=record(ran(A, "EXITED"))))
    assert drive.machine.state == "terminating"
    assert drive.machine.status["phase"] == "Succeeded"
    assert drive.conditions()["Ready"] == "False"
    assert drive.work() == [StopSandbox(sandbox_id="box-0")]


def test_sidecars_are_stopped_when_the_apps_are_done() -> None:
    side = container("s", restartPolicy="Always")
    obj = pod(A, init=[side], restartPolicy="Never")
    drive = Drive(obj, record(ran(side), ran(A)))
    drive.send(RuntimeReported(record=record(ran(side), ran(A, "EXITED"))))
    [stop] = drive.work()
    assert isinstance(stop, StopContainer) and stop.record.name == "s"
    assert drive.machine.status["phase"] == "Running"
    drive.finish(stop, record(ran(side, "EXITED", exit_code=143), ran(A, "EXITED")))
    assert drive.machine.status["phase"] == "Succeeded"


def test_a_pod_past_its_deadline_fails() -> None:
    obj = pod(A, activeDeadlineSeconds=60)
    drive = Drive(obj, record(ran(A)))
    assert drive.machine.wake_at_s == NOW_S + 60
    drive.wait(60)
    [stop] = drive.work()
    assert isinstance(stop, StopContainer)
    said = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
    assert said in drive.events()
    assert drive.machine.status["phase"] == "Running"
    end(drive, stop, ran(A, "EXITED", exit_code=143))
    assert (drive.machine.status["phase"], drive.machine.status["reason"]) == ("Failed", "DeadlineExceeded")
    assert said not in drive.events(), "once"


def test_an_evicted_pod_fails_with_the_reason() -> None:
    drive = Drive(pod(A), record(ran(A)))
    drive.send(Terminate(verdict=Verdict(reason="Evicted", message="low on memory"), grace_s=0))
    [stop] = drive.work()
    assert isinstance(stop, StopContainer) and stop.grace_s == 2
    assert drive.machine.status["phase"] == "Running"
    end(drive, stop, ran(A, "EXITED", exit_code=137))
    assert (drive.machine.status["phase"], drive.machine.status["reason"]) == ("Failed", "Evicted")
    assert not conditions_of(drive, "DisruptionTarget")


def test_a_pod_that_is_evicted_for_the_node_is_a_target_of_disruption_once_it_has_stopped() -> None:
    drive = Drive(pod(A), record(ran(A)))
    drive.send(Terminate(verdict=Verdict(reason="Evicted", message="low", disruption="low"), grace_s=0))
    assert not conditions_of(drive, "DisruptionTarget")
    end(drive, drive.work()[0], ran(A, "EXITED", exit_code=137))
    [condition] = conditions_of(drive, "DisruptionTarget")
    assert (condition["status"], condition["reason"], condition["message"]) == ("True", "TerminationByKubelet", "low")


def test_a_pod_that_finishes_while_the_node_shuts_down_has_succeeded() -> None:
    drive = Drive(pod(A, restartPolicy="Never"), record(ran(A)))
    drive.send(Terminate(verdict=Verdict(reason="Terminated", message="shutdown", keeps_success=True)))
    end(drive, drive.work()[0], ran(A, "EXITED", exit_code=0))
    assert (drive.machine.status["phase"], drive.machine.status["reason"]) == ("Succeeded", "Terminated")


def conditions_of(drive: Drive, kind: str) -> list[Object]:
    return [entry for entry in drive.machine.status["conditions"] if entry["type"] == kind]


def end(drive: Drive, stop: Work, dead: ContainerRecord) -> None:
    """The container stops, then the sandbox."""
    drive.finish(stop, record(dead))
    [box] = drive.work()
    drive.finish(box, record(dead, sandboxes=[GONE_BOX]))


def test_a_pod_gone_from_its_source_is_stopped_and_its_status_is_nobodys() -> None:
    drive = Drive(pod(A), record(ran(A)))
    drive.send(Terminate())
    assert not [item for item in drive.said if isinstance(item, Publish)]
    assert [type(item) for item in drive.work()] == [StopContainer]


def test_a_dead_sandbox_is_replaced_after_its_containers_were_stopped() -> None:
    drive = Drive(pod(A), record(ran(A)))
    drive.send(RuntimeReported(record=record(ran(A), sandboxes=[GONE_BOX])))
    assert [type(item) for item in drive.work()] == [StopContainer]
    ended = record(ran(A, "EXITED", exit_code=137), sandboxes=[GONE_BOX])
    drive.finish(drive.work()[0], ended)
    assert drive.work() == [StopSandbox(sandbox_id="box-0")]
    drive.finish(StopSandbox(sandbox_id="box-0"), ended)
    assert drive.work() == [CreateSandbox(attempt=1)]
    assert drive.events() == [("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")]


def test_liveness_failure_kills_with_the_probes_grace_and_starts_again() -> None:
    probed = container("a", livenessProbe={"exec": {"command": ["x"]}, "terminationGracePeriodSeconds": 5})
    drive = Drive(pod(probed), record(ran(probed)))
    drive.send(ProbesReported(results=ProbeResults({("a-0", "liveness"): False})))
    assert drive.events() == [("Killing", "Container a failed liveness probe, will be restarted")]
    [stop] = drive.work()
    assert isinstance(stop, StopContainer) and stop.grace_s == 5
    drive.finish(stop, record(ran(probed, "EXITED", exit_code=137)))
    assert drive.started() == "a"


def test_a_container_killed_by_liveness_starts_again_however_it_exits() -> None:
    """Upstream starts it in the same breath, whatever ``OnFailure`` would say to an exit with 0."""
    probed = container("a", livenessProbe={"exec": {"command": ["x"]}})
    obj = pod(probed, restartPolicy="OnFailure")
    drive = Drive(obj, record(ran(probed)))
    drive.send(ProbesReported(results=ProbeResults({("a-0", "liveness"): False})))
    drive.finish(drive.work()[0], record(ran(probed, "EXITED", exit_code=0)))
    assert drive.started() == "a"
    assert drive.machine.status["phase"] == "Running"


def test_a_changed_image_replaces_the_container_even_where_it_never_restarts() -> None:
    obj = pod(A, restartPolicy="Never")
    drive = Drive(obj, record(ran(A)))
    changed = container("a", "other:1")
    drive.send(PodUpdated(pod=pod(changed, restartPolicy="Never")))
    drive.wait(1.0)
    assert drive.events() == [("Killing", "Container a definition changed, will be restarted")]
    drive.finish(drive.work()[0], record(ran(A, "EXITED", exit_code=137)))
    assert drive.started() == "a"
    assert drive.machine.status["phase"] == "Running"


def test_edits_in_a_row_replace_a_container_once() -> None:
    drive = Drive(pod(A), record(ran(A)))
    for image in ("other:1", "other:2"):
        drive.send(PodUpdated(pod=pod(container("a", image))))
        assert drive.machine.wake_at_s == drive.now_s + 1.0
        drive.wait(0.9)
        assert (drive.work(), drive.events()) == ([], [])
    drive.wait(0.1)
    [kill] = drive.work()
    drive.finish(kill, record(ran(A, "EXITED", exit_code=137)))
    assert drive.started() == "a"


def test_readiness_decides_ready_and_startup_decides_started() -> None:
    probed = container("a", readinessProbe={"exec": {}}, startupProbe={"exec": {}})
    drive = Drive(pod(probed), record(ran(probed)))
    assert (drive.container()["started"], drive.container()["ready"]) == (False, False)
    drive.send(ProbesReported(results=ProbeResults({("a-0", "startup"): True})))
    assert (drive.container()["started"], drive.container()["ready"]) == (True, False)
    drive.send(ProbesReported(results=ProbeResults({("a-0", "startup"): True, ("a-0", "readiness"): True})))
    assert drive.container()["ready"] is True
    assert drive.conditions()["Ready"] == "True"


def test_transition_times_move_only_with_the_status() -> None:
    drive = Drive(pod(A), record(ran(A)))
    before = drive.machine.status["conditions"]
    drive.now_s += 100
    drive.send(RuntimeReported(record=record(ran(A, "EXITED", exit_code=1))))
    after = {entry["type"]: entry["lastTransitionTime"] for entry in drive.machine.status["conditions"]}
    assert after["PodScheduled"] == before[-1]["lastTransitionTime"]
    assert after["Ready"] != before[2]["lastTransitionTime"]


def test_go_duration() -> None:
    assert [go_duration(s) for s in (10, 80, 300, 3661)] == ["10s", "1m20s", "5m0s", "1h1m1s"]
