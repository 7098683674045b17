"""One pod at work: feeds its machine with what happens and carries out what the machine asks for.

A worker has no task of its own. Every event goes through ``PodMachine.handle`` at once; work that takes time runs as a
task, and its end is the next event, together with what the runtime reports after it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.aio.timers import Timers
from steersman.kubelet import podspec
from steersman.kubelet.allocation import Actuated
from steersman.kubelet.container_status import StartFailure
from steersman.kubelet.crash_backoff import CrashBackoff
from steersman.kubelet.handlers import Handlers
from steersman.kubelet.images import CannotStart
from steersman.kubelet.inspector import Fingerprint, Inspector, Touched
from steersman.kubelet.instructions import (
    Cancel,
    CreateSandbox,
    Event,
    Finished,
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
from steersman.kubelet.pod_machine import PodMachine
from steersman.kubelet.pod_operations import PodOperations
from steersman.kubelet.pod_resizer import ResizeFailed
from steersman.kubelet.probe_results import ProbeResults
from steersman.kubelet.probes import ObserveProbe, PodProbes, Spawn
from steersman.kubelet.records import PodRecord
from steersman.kubelet.runtimes.api import RuntimeServiceError, Unavailable
from steersman.kubelet.status import NodeFacts
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quoting import quoted

OUTSIDE_RUNTIME = (MountVolumes, RunPreStop, TearDown)
"""Work that changes nothing of what the runtime reports."""
ASK_AGAIN_S = 1.0
"""Between tries to inspect a pod after work on it, while the runtime does not answer."""
log = logging.getLogger(__name__)


class Listener(Protocol):
    """Who wants to know what becomes of a pod."""

    def status_changed(self, pod: Object, status: Object) -> None: ...

    def announced(self, pod: Object, record: Record) -> None: ...

    def resources_set(self, uid: str, said: Remember) -> None:
        """What the pod's cgroups are set to now, to be kept for the kubelet that comes after this one."""

    def finished(self, uid: str) -> None:
        """Nothing of the pod runs any more and its volumes are gone."""


ObserveWork = Callable[[Object, Work, float, StartFailure | None], None]


class WorkerTools(Struct, frozen=True, kw_only=True):
    """What the workers of one kubelet share."""

    operations: PodOperations
    inspector: Inspector
    handlers: Handlers
    clock: Clock
    timers: Timers
    rng: random.Random
    spawn: Spawn
    listener: Listener
    node: NodeFacts
    crash_backoff: Callable[[], CrashBackoff] = CrashBackoff
    observe_probe: ObserveProbe | None = None
    observe_work: ObserveWork = lambda pod, work, seconds, failure: None
    """Is told of all work that has ended, with how long it took."""


class PodWorker:
    """Drives one pod from its first sight to its end."""

    def __init__(self, pod: Object, tools: WorkerTools, *, actuated: Actuated | None = None) -> None:
        """``pod`` as it was granted; ``actuated``: what an earlier worker of it said was set."""
        self._tools = tools
        self.machine = PodMachine(pod, tools.node, crash_backoff=tools.crash_backoff(), actuated=actuated)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unbegun: set[str] = set()
        """Work whose task has yet to take its first step."""
        self._carrying_out: set[str] = set()
        self._cancelled: set[str] = set()
        self._reported_finished = False
        self.volumes_lock = asyncio.Lock()
        """Held while the pod's volumes are being made, brought up to date or removed."""
        self._adopt: Mapping[str, Any] | None = pod.get("status")
        self._probes = PodProbes(
            handlers=tools.handlers,
            clock=tools.clock,
            timers=tools.timers,
            rng=tools.rng,
            spawn=tools.spawn,
            changed=self._on_probes,
            announce=lambda name, reason, message: tools.listener.announced(
                self.pod, Record(type="Warning", reason=reason, message=message, container=name)
            ),
            observe=tools.observe_probe,
        )

    @property
    def pod(self) -> Object:
        return self.machine.pod

    @property
    def uid(self) -> str:
        return objects.uid(self.machine.pod)

    @property
    def known(self) -> PodRecord | None:
        """What need not be asked of the runtime again where it is in the same state: all but what is being changed."""
        return None if ResizePod.key in self.machine.work else self.machine.record

    @property
    def is_starting(self) -> bool:
        """What it starts just now it will look at itself."""
        return not self._carrying_out.isdisjoint((CreateSandbox.key, StartContainer.key))

    def expects(self, fingerprint: Fingerprint) -> bool:
        """All that differs from what is known of the pod is just being stopped, which it will look at itself."""
        return self.machine.work.stopping.issuperset(item for item, _ in fingerprint ^ self.machine.record.fingerprint)

    @property
    def is_finished(self) -> bool:
        return self.machine.state == "finished"

    def update(self, event: PodUpdated) -> None:
        self._feed(event)

    def refresh(self, pod: Object) -> None:
        """Only what this worker had written has changed."""
        self.machine.refresh(pod)

    def reported(self, record: PodRecord) -> None:
        self._adopt_results(record)
        self._feed(RuntimeReported(record=record))

    def terminate(self, event: Terminate) -> None:
        self._feed(event)

    def wake(self) -> None:
        """Time has passed that the machine asked for."""
        self._feed(TimePassed())

    def reference_changed(self) -> None:
        self._feed(ReferenceChanged())

    async def close(self) -> None:
        """Let go of the pod as it is; containers go on."""
        self._tools.timers.cancel(("pod", self.uid))
        self._probes.stop()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_resources_set(self, actuated: Actuated) -> None:
        self._feed(ResourcesSet(actuated=actuated))

    def _on_probes(self, results: ProbeResults) -> None:
        self._feed(ProbesReported(results=results))

    def _feed(self, event: Event) -> None:
        tools, machine = self._tools, self.machine
        for instruction in machine.handle(event, tools.clock.now()):
            match instruction:
                case Publish():
                    tools.listener.status_changed(machine.pod, instruction.status)
                case Record():
                    tools.listener.announced(machine.pod, instruction)
                case Remember():
                    tools.listener.resources_set(self.uid, instruction)
                case Cancel():
                    self._cancel(instruction.key)
                case _:
                    self._begin(instruction)
        self._follow_probes(event)
        self._set_timer()
        if self.is_finished and not self._reported_finished:
            self._reported_finished = True
            self._probes.stop()
            tools.listener.finished(self.uid)

    def _follow_probes(self, event: Event) -> None:
        if isinstance(event, (ProbesReported, TimePassed)) or self.is_finished:
            return
        before = self._probes.results()
        self._probes.follow(self.pod, self.machine.record, pod_ip=self._ip(self.machine.record))
        after = self._probes.results()
        if after != before:
            self._feed(ProbesReported(results=after))

    def _adopt_results(self, record: PodRecord) -> None:
        """What an earlier kubelet's probes said holds from the first status on: a pod that was ready has been so since then."""
        adopt, self._adopt = self._adopt, None
        if adopt is not None:
            self._probes.follow(self.pod, record, pod_ip=self._ip(record), adopt=adopt)
            self._feed(ProbesReported(results=self._probes.results()))

    def _ip(self, record: PodRecord) -> str:
        """Where probes find the pod."""
        ips = self.machine.node.host_ips if podspec.is_host_network(self.pod) else record.ips
        return ips[0] if ips else ""

    def _set_timer(self) -> None:
        wake_at_s = self.machine.wake_at_s
        key = ("pod", self.uid)
        if wake_at_s is None:
            self._tools.timers.cancel(key)
        else:
            self._tools.timers.after(key, wake_at_s - self._tools.clock.now(), self.wake)

    def _begin(self, work: Work) -> None:
        name = f"{objects.key_of(self.pod)}/{work.key}"
        self._unbegun.add(work.key)
        self._tasks[work.key] = self._tools.spawn(self._run(work), name=name)

    def _cancel(self, key: str) -> None:
        """Only until it has been carried out: finding out what came of it is never cut short."""
        task = self._tasks.get(key)
        if task is not None and key in self._carrying_out | self._unbegun:
            self._cancelled.add(key)
            if key in self._carrying_out:
                task.cancel()

    async def _run(self, work: Work) -> None:
        failure: StartFailure | None = None
        lost = False
        touched: Touched | None = None
        began_s = self._tools.clock.monotonic()
        self._unbegun.discard(work.key)
        self._carrying_out.add(work.key)
        try:
            if work.key in self._cancelled:
                raise asyncio.CancelledError
            touched = await self._carry_out(work)
        except CannotStart as error:
            failure, lost = error.failure, isinstance(error.__cause__, Unavailable)
        except ResizeFailed as error:
            log.info("resize of %s failed: %s", podspec.full_name(self.pod), error)
            failure = StartFailure(reason="Error", message=str(error))
        except (RuntimeServiceError, OSError) as error:
            log.warning("%s of %s failed: %s", work.key, podspec.full_name(self.pod), error)
            failure = StartFailure(reason="RuntimeError", message=str(error))
            self._say_not_killed(work, error.with_code if isinstance(error, RuntimeServiceError) else str(error))
        except asyncio.CancelledError:
            if work.key not in self._cancelled:
                raise
            failure = StartFailure(reason="Cancelled", message="the pod is being terminated")
        except Exception as error:
            log.exception("%s of %s failed", work.key, podspec.full_name(self.pod))
            failure = StartFailure(reason="InternalError", message=f"{type(error).__name__}: {error}")
        finally:
            self._carrying_out.discard(work.key)
            self._cancelled.discard(work.key)
        self._tools.observe_work(self.pod, work, self._tools.clock.monotonic() - began_s, failure)
        record = None if isinstance(work, OUTSIDE_RUNTIME) else await self._look(touched)
        self._tasks.pop(work.key, None)
        self._feed(Finished(work=work, record=record, failure=failure, runtime_was_lost=lost))

    def _say_not_killed(self, work: Work, why: str) -> None:
        """Something of a pod that is to end goes on. It is tried again."""
        if self.machine.state != "terminating":
            return
        match work:
            case StopContainer():
                what = f'failed to "KillContainer" for "{work.record.name}" with KillContainerError: {quoted(why)}'
            case StopSandbox():
                what = f'failed to "KillPodSandbox" for "{self.uid}" with KillPodSandboxError: {quoted(why)}'
            case _:
                return
        self._announce(Record(type="Warning", reason="FailedKillPod", message=f"error killing pod: {what}"))

    async def _look(self, touched: Touched | None) -> PodRecord:
        """What the runtime has of the pod after some work; all of it is looked at where that is not known to have touched
        one thing alone."""
        inspector = self._tools.inspector
        while True:
            try:
                record = await inspector.look_at(touched, lambda: self.machine.record) if touched is not None else None
                touched = None
                record = record or await inspector.inspect(self.uid, self.known)
                if record.taken_at_s >= self.machine.record.taken_at_s:
                    return record
            except RuntimeServiceError as error:
                log.warning("cannot inspect %s: %s", podspec.full_name(self.pod), error)
                await self._tools.clock.sleep(ASK_AGAIN_S)

    async def _carry_out(self, work: Work) -> Touched | None:
        """What it has touched, where that is all."""
        operations, pod, record = self._tools.operations, self.pod, self.machine.record
        match work:
            case MountVolumes():
                async with self.volumes_lock:
                    await operations.mount_volumes(pod, record, self._announce)
            case CreateSandbox():
                return Touched(sandbox_id=await operations.create_sandbox(pod, work.attempt, self._announce))
            case StartContainer():
                assert record.sandbox is not None, "containers start in a sandbox"
                container_id = await operations.start_container(pod, record, work, self._announce)
                return Touched(sandbox_id=record.sandbox.id, container_id=container_id)
            case RunPreStop():
                await operations.run_pre_stop(pod, record, work, self._announce)
            case StopContainer():
                await operations.stop_container(work.record.id, work.grace_s)
                return Touched(sandbox_id=work.record.sandbox_id, container_id=work.record.id)
            case RemoveContainer():
                await operations.remove_container(work.record.id)
            case StopSandbox():
                await operations.stop_sandbox(work.sandbox_id)
                return Touched(sandbox_id=work.sandbox_id)
            case ResizePod():
                await operations.resizer.resize(
                    pod, work.sandbox_id, work.resize, self.machine.actuated, self._on_resources_set
                )
            case TearDown():
                async with self.volumes_lock:
                    await operations.tear_down(self.uid)
        return None

    def _announce(self, record: Record) -> None:
        self._tools.listener.announced(self.pod, record)
