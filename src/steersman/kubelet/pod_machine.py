"""One pod on this node as a state machine: events in, instructions out; no I/O, no clock of its own.

    syncing ──(deleted, evicted, deadline passed, all containers done)──> terminating ──(nothing runs)──> terminated
    terminated ──(volumes and cgroup gone)──> finished

While syncing, ``pod_plan`` says what the pod lacks and the machine asks for it, one start at a time and any number of
stops; what is in flight is not asked for twice. Nothing is remembered that the runtime knows: a new machine given the
same pod and the same record goes on where the last one stopped, which is how a restarted kubelet restarts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from steersman.kubelet import podspec
from steersman.kubelet.allocation import Actuated, actuated_of, container_amounts, pod_amounts
from steersman.kubelet.container_status import Reported, StartFailure
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
    Remember,
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
    Work,
)
from steersman.kubelet.killing import Killing
from steersman.kubelet.pod_conditions import PendingResize, ResizeProgress, resize_conditions, resize_of
from steersman.kubelet.pod_plan import KillIntent, PodPlan, all_restart, is_initialized, plan, sandbox_need
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.probe_results import NO_RESULTS
from steersman.kubelet.records import ContainerRecord, PodRecord
from steersman.kubelet.resize_message import resize_message
from steersman.kubelet.resizing import Resize, plan_resize
from steersman.kubelet.resource_status import totals_of
from steersman.kubelet.status import TERMINAL, NodeFacts, Verdict, pod_status
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

START_RETRY_S = 10.0
"""A container that could not be created or whose image is missing is tried again after this."""
LOST_RETRY_S = 0.5
"""After this where the runtime went away in the middle of it and is back."""
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
        self._in_flight: dict[str, Work] = {}
        self._failures: dict[str, StartFailure] = {}
        self._retry_at_s: dict[str, float] = {}
        self._retry_delay_s: dict[str, float] = {}
        self._announced: dict[str, float] = {}
        self._backoff = crash_backoff or CrashBackoff()
        self._killing = Killing()
        self._mounted = False
        self._stopped_sandboxes: set[str] = set()
        self._wake_at_s: float | None = None
        self._edited_at_s = float("-inf")
        self._restarting: frozenset[str] = frozenset()
        self._pending: PendingResize | None = None
        self._progress = resize_of(self.status)[1]
        self._actuated = actuated or Actuated()
        self._remembered = self._actuated
        self._granted = self._granted_first = actuated_of(pod)
        self._totals = totals_of(pod)
        self._unsaid: list[Record] = []

    @property
    def in_flight(self) -> frozenset[str]:
        """Keys of the work that was asked for and has not finished."""
        return frozenset(self._in_flight)

    @property
    def actuated(self) -> Actuated:
        """What the pod's cgroups were last set to."""
        return self._actuated

    @property
    def wake_at_s(self) -> float | None:
        """When to send ``TimePassed``; None when nothing waits for time."""
        moments = [moment for moment in (self._wake_at_s, self._killing.wake_at_s()) if moment is not None]
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
        out.extend(self._unsaid)
        self._unsaid.clear()
        self._wake_at_s = None
        if self.state == "syncing" and self._must_terminate(now_s):
            self._enter("terminating")
            creating = (MountVolumes.key, CreateSandbox.key, StartContainer.key)
            out.extend(Cancel(key=key) for key in creating if key in self._in_flight)
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
        if self._actuated != self._remembered:
            self._remembered = self._actuated
            out.append(Remember(actuated=self._actuated, as_granted=self._actuated.agrees_with(self._granted)))
        self._publish(out, now_s)
        return out

    def refresh(self, pod: Object) -> None:
        """``pod`` is as the machine knows it, but for what the machine itself had written to its status."""
        self.pod = {**pod, "spec": self.pod["spec"]}

    def validate(self) -> None:
        """Raise ``AssertionError`` where the machine contradicts itself; tests call it after every step."""
        assert self.state in NEXT
        assert all(work.key == key for key, work in self._in_flight.items())
        if self.state in ("terminated", "finished"):
            assert not list(self.record.running()), "a pod that is over runs nothing"
            assert not set(self._in_flight) - {TearDown.key}
        if self.state == "finished":
            assert not self._in_flight

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
                self._actuated = event.actuated
            case ReferenceChanged():
                self._forgive()
            case TimePassed():
                pass

    def _update(self, event: PodUpdated, now_s: float) -> None:
        if event.pod["spec"] is not self.pod["spec"]:
            if event.pod["spec"] != self.pod["spec"]:
                self._edited_at_s = now_s
            self._totals = totals_of(event.pod)
            self._granted = actuated_of(event.pod)
        self.pod = event.pod
        self._pending = event.pending
        if event.granted:
            self._progress = ResizeProgress(generation=objects.generation(event.pod))
            self._note_retry(ResizePod.key, None, 0.0, RESIZE_RETRY_S)

    def _set_record(self, record: PodRecord) -> None:
        if not self._known:
            self._assume_actuated(record)
        if not self._known or record.taken_at_s >= self.record.taken_at_s:
            self.record = record
            self._known = True
            self._restarting = self._restarting & {item.id for item in record.containers}

    def _assume_actuated(self, record: PodRecord) -> None:
        """Of what runs without a word about its resources it is taken that it runs with those that the pod was
        granted when this machine was made: a resize may have been granted since."""
        if record.sandbox is None:
            return
        granted, known = self._granted_first, self._actuated
        running = {item.name for item in record.running()}
        assumed = {name: amounts for name, amounts in granted.containers.items() if name in running}
        self._actuated = Actuated(pod=known.pod or granted.pod, containers={**assumed, **known.containers})

    def _finish(self, event: Finished, now_s: float) -> None:
        work, failure = event.work, event.failure
        self._in_flight.pop(work.key, None)
        if event.record is not None:
            self._set_record(event.record)
        match work:
            case MountVolumes():
                self._mounted = failure is None
                self._note_retry(work.key, failure, now_s, MOUNT_RETRY_S)
            case CreateSandbox():
                self._note_retry(work.key, failure, now_s, SANDBOX_RETRY_S)
                if failure is None:
                    self._actuated = Actuated(pod=work.amounts)
            case ResizePod():
                self._note_retry(work.key, failure, now_s, RESIZE_RETRY_S)
                self._finish_resize(failure)
            case StartContainer():
                name = work.container.name
                delay_s = LOST_RETRY_S if event.runtime_was_lost else START_RETRY_S
                self._note_retry(f"start/{name}", failure, now_s, (delay_s, delay_s))
                if failure is None:
                    self._failures.pop(name, None)
                else:
                    self._failures[name] = failure
                if failure is None or failure.reason == "PostStartHookError":
                    self._actuated = self._actuated.with_container(name, work.amounts)
            case RunPreStop():
                self._killing.hook_finished(work.record.id)
            case StopContainer() if failure is not None:
                self._killing.stop_failed(work.record.id, now_s)
            case StopSandbox():
                self._note_retry(work.key, failure, now_s, (STOP_RETRY_S, STOP_RETRY_S))
                if failure is None:
                    self._stopped_sandboxes.add(work.sandbox_id)
            case TearDown():
                self._note_retry(work.key, failure, now_s, (STOP_RETRY_S, 60.0))
                if failure is None and self.state == "terminated":
                    self._enter("finished")
            case _:
                self._note_retry(work.key, failure, now_s, (STOP_RETRY_S, STOP_RETRY_S))

    def _note_retry(self, key: str, failure: StartFailure | None, now_s: float, limits: tuple[float, float]) -> None:
        if failure is None:
            self._retry_at_s.pop(key, None)
            self._retry_delay_s.pop(key, None)
            return
        delay_s = self._retry_delay_s.get(key, limits[0])
        self._retry_at_s[key] = now_s + delay_s
        self._retry_delay_s[key] = min(delay_s * 2, limits[1])

    def _forgive(self) -> None:
        """Try again at once what failed for want of an object: mounts and container configurations."""
        self._retry_at_s.pop(MountVolumes.key, None)
        for name, failure in self._failures.items():
            if failure.reason == "CreateContainerConfigError":
                self._retry_at_s.pop(f"start/{name}", None)

    def _finish_resize(self, failure: StartFailure | None) -> None:
        if failure is None:
            return
        before = self._progress or ResizeProgress(generation=objects.generation(self.pod))
        self._progress = ResizeProgress(generation=before.generation, error=failure.message)
        if self._progress != before:
            message = resize_message("Pod resize error", self.pod, before.generation, failure.message)
            self._unsaid.append(Record(type="Warning", reason="ResizeError", message=message))

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
                message = "Pod was active on the node longer than the specified deadline"
                self.verdict = Verdict(reason="DeadlineExceeded", message=message)
                return True
            self._wake(due_s)
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
            self._ask(out, MountVolumes(), now_s)
            return
        todo = plan(self.pod, self.record, self._probes, restarting=self._restarting)
        if todo.kill_pod:
            if not self._kill_pod(out, now_s):
                return
            if todo.create_sandbox:
                self._create_sandbox(out, todo, now_s)
            return
        resize = plan_resize(self.pod, self.record, self._actuated, self._granted)
        kill = [intent for intent in todo.kill if not intent.is_change or self._has_settled(now_s)]
        self._kill_some(out, (*kill, *map(_restart_for_resize, resize.restarts)), now_s)
        for record in todo.remove[:1]:
            self._ask(out, RemoveContainer(record=record), now_s)
        if not todo.remove:
            self._resize(out, resize, now_s)
            self._start(out, todo.start, now_s)

    def _has_settled(self, now_s: float) -> bool:
        """The last edit of the pod is some time ago."""
        due_s = self._edited_at_s + CHANGE_SETTLES_S
        if now_s < due_s:
            self._wake(due_s)
        return now_s >= due_s

    def _kill_some(self, out: list[Instruction], intents: Iterable[KillIntent], now_s: float) -> None:
        grace_s = 0.0 if all_restart(self.pod, self.record) else None
        for intent in intents:
            if intent.restart:
                self._restarting |= {intent.record.id}
            out.extend(
                self._killing.begin(
                    self.pod, intent.record, now_s, message=intent.message, probe=intent.reason, grace_s=grace_s
                )
            )
        self._advance_kills(out, now_s)

    def _resize(self, out: list[Instruction], resize: Resize, now_s: float) -> None:
        """Not while a container starts, nor while one is stopped so that it can start with its new size."""
        sandbox = self.record.sandbox
        if StartContainer.key in self._in_flight or resize.restarts or sandbox is None:
            return
        if resize.containers or resize.pod:
            self._ask(out, ResizePod(resize=resize, sandbox_id=sandbox.id), now_s)

    def _follow_resize(self, out: list[Instruction]) -> None:
        """A resize is in progress as long as something that runs has not the size that it was granted."""
        if plan_resize(self.pod, self.record, self._actuated, self._granted) or (
            self._progress and self._awaits_restart()
        ):
            self._progress = self._progress or ResizeProgress(generation=objects.generation(self.pod))
        elif self._progress is not None and ResizePod.key not in self._in_flight:
            message = resize_message("Pod resize completed", self.pod, self._progress.generation)
            out.append(Record(type="Normal", reason="ResizeCompleted", message=message))
            self._progress = None

    def _awaits_restart(self) -> bool:
        latest = (self.record.latest(container.name) for container in podspec.containers(self.pod))
        return any(item is not None and item.id in self._restarting for item in latest)

    def _create_sandbox(self, out: list[Instruction], todo: PodPlan, now_s: float) -> None:
        if self.record.sandbox is not None and self._announced.get("sandbox") != todo.sandbox_attempt:
            self._announced["sandbox"] = todo.sandbox_attempt
            message = "Pod sandbox changed, it will be killed and re-created."
            out.append(Record(type="Normal", reason="SandboxChanged", message=message))
        self._ask(out, CreateSandbox(attempt=todo.sandbox_attempt, amounts=pod_amounts(self.pod)), now_s)

    def _start(self, out: list[Instruction], containers: Iterable[PodContainer], now_s: float) -> None:
        """Ask for the first of ``containers`` that need not wait; they start one after the other."""
        if StartContainer.key in self._in_flight or ResizePod.key in self._in_flight:
            return
        for container in containers:
            latest = self.record.latest(container.name)
            if latest is not None and latest.id in self._killing:
                continue
            if self._waits(out, container, now_s):
                if container.kind == "init":
                    return
                continue
            exited = self._last_exit(container.name)
            if exited is not None:
                self._backoff.restarted(_backoff_key(container), exited.finished_at_s, now_s)
            restart_count = None if latest is None else latest.restart_count + 1
            amounts = container_amounts(container, self.pod["spec"].get("resources"))
            work = StartContainer(container=container, restart_count=restart_count, amounts=amounts)
            self._ask(out, work, now_s)
            return

    def _last_exit(self, name: str) -> ContainerRecord | None:
        """What back-off counts from: the newest run that has ended, but not one just stopped to be started anew."""
        exited = [item for item in self.record.history(name) if item.state == "EXITED"]
        latest = self.record.latest(name)
        if exited and exited[0] is latest and latest.id in self._restarting:
            return exited[1] if len(exited) > 1 else None
        return exited[0] if exited else None

    def _waits(self, out: list[Instruction], container: PodContainer, now_s: float) -> bool:
        """``container`` may not start yet: it crashed lately, or its last start failed lately."""
        name = container.name
        exited = self._last_exit(name)
        if exited is not None:
            key = _backoff_key(container)
            ready_at_s = self._backoff.ready_at_s(key, exited.finished_at_s)
            if now_s < ready_at_s:
                self._wake(ready_at_s)
                where = f"container={name} pod={podspec.full_name(self.pod)}"
                delay = go_duration(self._backoff.delay_s(key))
                self._failures[name] = StartFailure(
                    reason="CrashLoopBackOff", message=f"back-off {delay} restarting failed {where}"
                )
                if self._announced.get(name) != exited.finished_at_s:
                    self._announced[name] = exited.finished_at_s
                    pod = podspec.full_name(self.pod)
                    message = f"Back-off restarting failed container {name} in pod {pod}"
                    out.append(Record(type="Warning", reason="BackOff", message=message, container=name))
                return True
        retry_at_s = self._retry_at_s.get(f"start/{name}", 0.0)
        if now_s < retry_at_s:
            self._wake(retry_at_s)
            return True
        return False

    def _is_alive(self) -> bool:
        """Of a pod that is over: a runtime may finish what it was told to forget, after it was looked at."""
        ready = (box.id for box in self.record.sandboxes if box.state == "READY")
        return any(True for _ in self.record.running()) or any(box not in self._stopped_sandboxes for box in ready)

    def _kill_pod(self, out: list[Instruction], now_s: float) -> bool:
        """Stop every container, then every sandbox; True when that is done."""
        for record in self.record.running():
            out.extend(self._killing.begin(self.pod, record, now_s, grace_s=self._grace_s, ordered=True))
        self._advance_kills(out, now_s)
        if any(True for _ in self.record.running()) or StartContainer.key in self._in_flight:
            return False
        waiting = [box for box in self.record.sandboxes if box.id not in self._stopped_sandboxes]
        for box in waiting:
            self._ask(out, StopSandbox(sandbox_id=box.id), now_s)
        return not waiting

    def _terminate(self, out: list[Instruction], now_s: float) -> None:
        creating = any(key in self._in_flight for key in (CreateSandbox.key, StartContainer.key, MountVolumes.key))
        if not self._kill_pod(out, now_s) or creating or self._in_flight:
            return
        self._enter("terminated")
        self._tear_down(out, now_s)

    def _tear_down(self, out: list[Instruction], now_s: float) -> None:
        if self.state == "terminated":
            self._ask(out, TearDown(), now_s)

    def _advance_kills(self, out: list[Instruction], now_s: float) -> None:
        for instruction in self._killing.advance(self.pod, self.record, now_s):
            if isinstance(instruction, (RunPreStop, StopContainer)):
                self._in_flight[instruction.key] = instruction
            out.append(instruction)

    def _ask(self, out: list[Instruction], work: Work, now_s: float) -> None:
        """Ask for ``work`` unless it is in flight or failed too lately."""
        if work.key in self._in_flight:
            return
        retry_at_s = self._retry_at_s.get(work.key, 0.0)
        if now_s < retry_at_s:
            self._wake(retry_at_s)
            return
        self._in_flight[work.key] = work
        out.append(work)

    def _wake(self, moment_s: float) -> None:
        self._wake_at_s = moment_s if self._wake_at_s is None else min(self._wake_at_s, moment_s)

    # -- status

    def _compute_status(self, now_s: float, *, is_over: bool = False) -> Object:
        reported = Reported(
            pod=self.pod,
            record=self.record,
            previous=self.status,
            probes=self._probes,
            failures=self._failures,
            runtime_name=self.node.runtime_name,
            recursive_read_only=self.node.recursive_read_only,
            restarting=self._restarting,
            resize=tuple(resize_conditions(self._pending, self._progress)),
            totals=self._totals,
            actuated=self._actuated.pod,
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


def _backoff_key(container: PodContainer) -> str:
    """A container with another image or other resources is not held responsible for its crashes before."""
    resources = container.spec.get("resources") or {}
    return f"{container.name}/{container.spec.get('image')}/{resources}"


def go_duration(seconds: float) -> str:
    """As Go prints a duration of whole seconds: ``10s``, ``1m20s``, ``5m0s``."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
