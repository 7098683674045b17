"""One pod on this node as a state machine: events in, instructions out; no I/O, no clock of its own.

    syncing ──(deleted, evicted, deadline passed, all containers done)──> terminating ──(nothing runs)──> terminated
    terminated ──(volumes and cgroup gone)──> finished

While syncing, ``pod_plan`` says what the pod lacks and the machine asks for it, one start at a time and any number of
stops; what is in flight is not asked for twice (``PodWork``), what may not start yet waits (``ContainerStarts``), and
what was granted is set (``PodResize``). Nothing is remembered that the runtime knows: a new machine given the same pod
and the same record goes on where the last one stopped, which is how a restarted kubelet restarts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from steersman.kubelet import podspec
from steersman.kubelet.allocation import Actuated, pod_amounts
from steersman.kubelet.container_starts import ContainerStarts
from steersman.kubelet.container_status import Reported
from steersman.kubelet.crash_backoff import CrashBackoff
from steersman.kubelet.instructions import (
    Cancel,
    CreateSandbox,
    Event,
    Finished,
    Instruction,
    MountVolumes,
    PodUpdated,
    ProbesReported,
    Publish,
    Record,
    ReferenceChanged,
    RemoveContainer,
    ResizePod,
    ResourcesSet,
    RunPreStop,
    RuntimeReported,
    StartContainer,
    StopContainer,
    StopSandbox,
    TearDown,
    Terminate,
    TimePassed,
)
from steersman.kubelet.killing import Killing
from steersman.kubelet.pod_plan import KillIntent, PodPlan, all_restart, is_initialized, plan, sandbox_need
from steersman.kubelet.pod_resize import PodResize
from steersman.kubelet.pod_work import PodWork
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.probe_results import NO_RESULTS
from steersman.kubelet.records import ContainerRecord, PodRecord
from steersman.kubelet.resizing import Resize
from steersman.kubelet.status import PAST_DEADLINE, TERMINAL, NodeFacts, Verdict, pod_status
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.times import parse_time

State = Literal["syncing", "terminating", "terminated", "finished"]
NEXT: dict[State, tuple[State, ...]] = {
    "syncing": ("terminating",),
    "terminating": ("terminated",),
    "terminated": ("finished", "terminating"),
    "finished": (),
}

CREATING = (MountVolumes.key, CreateSandbox.key, StartContainer.key)
"""What is broken off when the pod is to end."""
SANDBOX_RETRY_S = (1.0, 10.0)
"""First and longest delay between tries to make a sandbox."""
MOUNT_RETRY_S = (0.5, 122.0)
"""First and longest delay between tries to mount (upstream's operation executor)."""
STOP_RETRY_S = 2.0
RESIZE_RETRY_S = (10.0, 60.0)
CHANGE_SETTLES_S = 1.0
"""A changed container is replaced this long after the last change, so that edits in a row replace it once. Who edits a pod and
looks at it again finds it running still, as with upstream's kubelet, which sees the end of a container at its next relist."""


class PodMachine:
    """Drives one pod. ``handle`` takes an event and the wall-clock time and returns what to do."""

    def __init__(
        self,
        pod: Object,
        node: NodeFacts,
        *,
        crash_backoff: CrashBackoff | None = None,
        actuated: Actuated | None = None,
    ) -> None:
        """``pod`` with the resources that it was granted; ``actuated``: what an earlier machine wrote down."""
        self.pod = pod
        self.node = node
        self.state: State = "syncing"
        self.record = PodRecord(uid=objects.uid(pod))
        self.status: Object = pod.get("status") or {}
        self.verdict: Verdict | None = None
        self._known = False
        self._grace_s: float | None = None
        self._gone = False
        self._probes = NO_RESULTS
        self.work = PodWork()
        """What was asked for and has not finished, and what is tried again."""
        self._starts = ContainerStarts(self.work, crash_backoff or CrashBackoff())
        self._resize = PodResize(pod, actuated)
        self._killing = Killing()
        self._mounted = False
        self.stopped_sandboxes: set[str] = set()
        """Their network is taken down too."""
        self._announced_attempt: int | None = None
        self._edited_at_s = float("-inf")

    @property
    def actuated(self) -> Actuated:
        """What the pod's cgroups were last set to."""
        return self._resize.actuated

    @property
    def wake_at_s(self) -> float | None:
        """When to send ``TimePassed``; None when nothing waits for time."""
        moments = [moment for moment in (self.work.wake_at_s, self._killing.wake_at_s()) if moment is not None]
        return min(moments, default=None)

    @property
    def mounted(self) -> bool:
        """The pod's volumes are ready."""
        return self._mounted and self.state == "syncing"

    @property
    def is_gone(self) -> bool:
        """The pod is no longer at its source: nobody wants its status."""
        return self._gone

    def handle(self, event: Event, now_s: float) -> list[Instruction]:
        """Take in ``event`` and return what is to be done now, in order."""
        out: list[Instruction] = []
        self._take(event, now_s)
        if not self._known:
            return out
        out.extend(self._resize.unsaid())
        self.work.wake_at_s = None
        if self.state == "syncing" and self._must_terminate(now_s):
            self._enter("terminating")
            out.extend(Cancel(key=key) for key in CREATING if key in self.work)
            if self.verdict is PAST_DEADLINE and (self.pod.get("status") or {}).get("phase") not in TERMINAL:
                out.append(Record(type="Normal", reason=PAST_DEADLINE.reason, message=PAST_DEADLINE.message))
        elif self.state == "terminated" and self._is_alive():
            self._enter("terminating")
        match self.state:
            case "syncing":
                self._follow_resize(out)
                self._sync(out, now_s)
            case "terminating":
                self._terminate(out, now_s)
            case "terminated":
                self._tear_down(out, now_s)
        out.extend(self._resize.to_remember())
        self._publish(out, now_s)
        return out

    def refresh(self, pod: Object) -> None:
        """``pod`` is as the machine knows it, but for what the machine itself had written to its status."""
        self.pod = {**pod, "spec": self.pod["spec"]}

    def validate(self) -> None:
        """Raise ``AssertionError`` where the machine contradicts itself; tests call it after every step."""
        assert self.state in NEXT
        assert all(work.key == key for key, work in self.work.in_flight.items())
        if self.state in ("terminated", "finished"):
            assert not list(self.record.running()), "a pod that is over runs nothing"
            assert not set(self.work.in_flight) - {TearDown.key}
        if self.state == "finished":
            assert not self.work.in_flight

    # -- events

    def _take(self, event: Event, now_s: float) -> None:
        match event:
            case PodUpdated():
                self._update(event, now_s)
            case RuntimeReported():
                self._set_record(event.record)
            case ProbesReported():
                self._probes = event.results
            case Finished():
                self._finish(event, now_s)
            case Terminate():
                if event.verdict is None:
                    self._gone = True
                else:
                    self.verdict = self.verdict or event.verdict
                if event.grace_s is not None:
                    self._grace_s = event.grace_s if self._grace_s is None else min(self._grace_s, event.grace_s)
            case ResourcesSet():
                self._resize.actuated = event.actuated
            case ReferenceChanged():
                self._forgive()
            case TimePassed():
                pass

    def _update(self, event: PodUpdated, now_s: float) -> None:
        if event.pod["spec"] is not self.pod["spec"]:
            if event.pod["spec"] != self.pod["spec"]:
                self._edited_at_s = now_s
            self._resize.set_granted(event.pod)
        self.pod = event.pod
        self._resize.update(event)
        if event.granted:
            self.work.note(ResizePod.key, None, now_s, RESIZE_RETRY_S)

    def _set_record(self, record: PodRecord) -> None:
        if not self._known:
            self._resize.assume_actuated(record)
        if not self._known or record.taken_at_s >= self.record.taken_at_s:
            self.record = record
            self._known = True
            self._starts.forget_missing(record)

    def _finish(self, event: Finished, now_s: float) -> None:
        work, failure = event.work, event.failure
        self.work.finish(work.key)
        if event.record is not None:
            self._set_record(event.record)
        match work:
            case MountVolumes():
                self._mounted = failure is None
                self.work.note(work.key, failure, now_s, MOUNT_RETRY_S)
            case CreateSandbox():
                self.work.note(work.key, failure, now_s, SANDBOX_RETRY_S)
                if failure is None:
                    self._resize.sandbox_created(work.amounts)
            case ResizePod():
                self.work.note(work.key, failure, now_s, RESIZE_RETRY_S)
                if failure is not None:
                    self._resize.failed(self.pod, failure)
            case StartContainer():
                self._starts.finished(work, event, now_s)
                if failure is None or failure.reason == "PostStartHookError":
                    self._resize.container_started(work.container.name, work.amounts)
            case RunPreStop():
                self._killing.hook_finished(work.record.id)
            case StopContainer() if failure is not None:
                self._killing.stop_failed(work.record.id, now_s)
            case StopSandbox():
                self.work.note(work.key, failure, now_s, (STOP_RETRY_S, STOP_RETRY_S))
                if failure is None:
                    self.stopped_sandboxes.add(work.sandbox_id)
            case TearDown():
                self.work.note(work.key, failure, now_s, (STOP_RETRY_S, 60.0))
                if failure is None and self.state == "terminated":
                    self._enter("finished")
            case _:
                self.work.note(work.key, failure, now_s, (STOP_RETRY_S, STOP_RETRY_S))

    def _forgive(self) -> None:
        """Try again at once what failed for want of an object: mounts and container configurations."""
        self.work.forgive(MountVolumes.key)
        self._starts.forgive_configuration()

    # -- states

    def _enter(self, state: State) -> None:
        assert state in NEXT[self.state], f"{self.state} -> {state}"
        self.state = state

    def _must_terminate(self, now_s: float) -> bool:
        if self._gone or self.verdict is not None or objects.is_deleting(self.pod):
            return True
        deadline_s = self.pod["spec"].get("activeDeadlineSeconds")
        started = self.status.get("startTime")
        if deadline_s is not None and started:
            due_s = parse_time(started) + deadline_s
            if now_s >= due_s:
                self.verdict = PAST_DEADLINE
                return True
            self.work.wake(due_s)
        if (self.pod.get("status") or {}).get("phase") in TERMINAL and not podspec.is_static(self.pod):
            return True
        return self._can_end() and not self._runs() and self._compute_status(now_s)["phase"] in TERMINAL

    def _can_end(self) -> bool:
        """Some container may stay ended; where all start again the pod never is over by itself."""
        items = (*podspec.app_containers(self.pod), *podspec.init_containers(self.pod))
        return any(podspec.restart_policy(self.pod, item) != "Always" for item in items)

    def _runs(self) -> bool:
        """An app container runs, and no init container can have failed: the pod is not over."""
        apps = {container.name for container in podspec.app_containers(self.pod)}
        inits = any(container.kind == "init" for container in podspec.init_containers(self.pod))
        return not inits and any(item.name in apps for item in self.record.running())

    def _sync(self, out: list[Instruction], now_s: float) -> None:
        if not self._mounted:
            self.work.ask(out, MountVolumes(), now_s)
            return
        todo = plan(self.pod, self.record, self._probes, restarting=self._starts.restarting)
        if todo.kill_pod:
            if not self._kill_pod(out, now_s):
                return
            if todo.create_sandbox:
                self._create_sandbox(out, todo, now_s)
            return
        resize = self._resize.plan(self.pod, self.record)
        kill = [intent for intent in todo.kill if not intent.is_change or self._has_settled(now_s)]
        self._kill_some(out, (*kill, *map(_restart_for_resize, resize.restarts)), now_s)
        for record in todo.remove[:1]:
            self.work.ask(out, RemoveContainer(record=record), now_s)
        if not todo.remove:
            self._set_resources(out, resize, now_s)
            self._start(out, todo.start, now_s)

    def _has_settled(self, now_s: float) -> bool:
        """The last edit of the pod is some time ago."""
        due_s = self._edited_at_s + CHANGE_SETTLES_S
        if now_s < due_s:
            self.work.wake(due_s)
        return now_s >= due_s

    def _kill_some(self, out: list[Instruction], intents: Iterable[KillIntent], now_s: float) -> None:
        grace_s = 0.0 if all_restart(self.pod, self.record) else None
        for intent in intents:
            if intent.restart:
                self._starts.stopped_to_restart(intent.record.id)
            out.extend(
                self._killing.begin(
                    self.pod, intent.record, now_s, message=intent.message, probe=intent.reason, grace_s=grace_s
                )
            )
        self._advance_kills(out, now_s)

    def _set_resources(self, out: list[Instruction], resize: Resize, now_s: float) -> None:
        """Not while a container starts, nor while one is stopped so that it can start with its new size."""
        sandbox = self.record.sandbox
        if StartContainer.key in self.work or resize.restarts or sandbox is None:
            return
        if resize.containers or resize.pod:
            self.work.ask(out, ResizePod(resize=resize, sandbox_id=sandbox.id), now_s)

    def _follow_resize(self, out: list[Instruction]) -> None:
        restarting, is_set_now = self._starts.restarting, ResizePod.key in self.work
        out.extend(self._resize.follow(self.pod, self.record, restarting=restarting, is_set_now=is_set_now))

    def _create_sandbox(self, out: list[Instruction], todo: PodPlan, now_s: float) -> None:
        if self.record.sandbox is not None and self._announced_attempt != todo.sandbox_attempt:
            self._announced_attempt = todo.sandbox_attempt
            message = "Pod sandbox changed, it will be killed and re-created."
            out.append(Record(type="Normal", reason="SandboxChanged", message=message))
        self.work.ask(out, CreateSandbox(attempt=todo.sandbox_attempt, amounts=pod_amounts(self.pod)), now_s)

    def _start(self, out: list[Instruction], containers: Iterable[PodContainer], now_s: float) -> None:
        if not self.work.any_of((StartContainer.key, ResizePod.key)):
            self._starts.start_first(
                out, containers, self.pod, self.record, now_s, is_stopping=self._killing.__contains__
            )

    def _is_alive(self) -> bool:
        """Of a pod that is over: a runtime may finish what it was told to forget, after it was looked at."""
        ready = (box.id for box in self.record.sandboxes if box.state == "READY")
        return any(True for _ in self.record.running()) or any(box not in self.stopped_sandboxes for box in ready)

    def _kill_pod(self, out: list[Instruction], now_s: float) -> bool:
        """Stop every container, then every sandbox; True when that is done."""
        for record in self.record.running():
            out.extend(self._killing.begin(self.pod, record, now_s, grace_s=self._grace_s, ordered=True))
        self._advance_kills(out, now_s)
        if any(True for _ in self.record.running()) or StartContainer.key in self.work:
            return False
        waiting = [box for box in self.record.sandboxes if box.id not in self.stopped_sandboxes]
        for box in waiting:
            self.work.ask(out, StopSandbox(sandbox_id=box.id), now_s)
        return not waiting

    def _terminate(self, out: list[Instruction], now_s: float) -> None:
        if not self._kill_pod(out, now_s) or self.work.in_flight:
            return
        self._enter("terminated")
        self._tear_down(out, now_s)

    def _tear_down(self, out: list[Instruction], now_s: float) -> None:
        if self.state == "terminated":
            self.work.ask(out, TearDown(), now_s)

    def _advance_kills(self, out: list[Instruction], now_s: float) -> None:
        for instruction in self._killing.advance(self.pod, self.record, now_s):
            if isinstance(instruction, (RunPreStop, StopContainer)):
                self.work.begin(out, instruction)
            else:
                out.append(instruction)

    # -- status

    def _compute_status(self, now_s: float, *, is_over: bool = False) -> Object:
        reported = Reported(
            pod=self.pod,
            record=self.record,
            previous=self.status,
            probes=self._probes,
            failures=self._starts.failures,
            runtime_name=self.node.runtime_name,
            recursive_read_only=self.node.recursive_read_only,
            restarting=self._starts.restarting,
            resize=self._resize.conditions(),
            totals=self._resize.totals,
            actuated=self._resize.actuated.pod,
        )
        return pod_status(reported, self.node, now_s=now_s, verdict=self.verdict, is_over=is_over)

    def _publish(self, out: list[Instruction], now_s: float) -> None:
        if self._gone:
            return
        status = self._compute_status(now_s, is_over=self.state in ("terminated", "finished"))
        if status != self.status:
            self.status = status
            out.append(Publish(status=status))

    # -- what probes and the server want to know

    @property
    def sandbox_ready(self) -> bool:
        return not sandbox_need(self.pod, self.record).changed

    @property
    def initialized(self) -> bool:
        return is_initialized(self.pod, self.record)


def _restart_for_resize(record: ContainerRecord) -> KillIntent:
    return KillIntent(record=record, message=f"Container {record.name} resize requires restart", restart=True)
