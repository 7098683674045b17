"""Which of a pod's containers starts next, and which waits: CrashLoopBackOff, and starts that failed lately."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from steersman.kubelet import podspec
from steersman.kubelet.allocation import container_amounts
from steersman.kubelet.container_status import StartFailure
from steersman.kubelet.crash_backoff import CrashBackoff
from steersman.kubelet.instructions import Finished, Instruction, Record, StartContainer
from steersman.kubelet.pod_work import PodWork
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.records import ContainerRecord, PodRecord
from steersman.meta.objects import Object

START_RETRY_S = 10.0
"""A container that could not be created or whose image is missing is tried again after this."""
LOST_RETRY_S = 0.5
"""After this where the runtime went away in the middle of it and is back."""


class ContainerStarts:
    """Of one pod. Times are wall-clock seconds."""

    def __init__(self, work: PodWork, backoff: CrashBackoff) -> None:
        self.failures: dict[str, StartFailure] = {}
        """By container: why it does not run."""
        self.restarting: frozenset[str] = frozenset()
        """Ids of containers that were stopped so that they start anew: their end is no crash."""
        self._work = work
        self._backoff = backoff
        self._announced: dict[str, float] = {}

    def stopped_to_restart(self, container_id: str) -> None:
        self.restarting |= {container_id}

    def forget_missing(self, record: PodRecord) -> None:
        """Containers that the runtime has no longer."""
        self.restarting = self.restarting & {item.id for item in record.containers}

    def finished(self, work: StartContainer, event: Finished, now_s: float) -> None:
        name, failure = work.container.name, event.failure
        delay_s = LOST_RETRY_S if event.runtime_was_lost else START_RETRY_S
        self._work.note(_start_key(name), failure, now_s, (delay_s, delay_s))
        if failure is None:
            self.failures.pop(name, None)
        else:
            self.failures[name] = failure

    def forgive_configuration(self) -> None:
        """Try again at once what failed for want of an object."""
        for name, failure in self.failures.items():
            if failure.reason == "CreateContainerConfigError":
                self._work.forgive(_start_key(name))

    def start_first(
        self,
        out: list[Instruction],
        containers: Iterable[PodContainer],
        pod: Object,
        record: PodRecord,
        now_s: float,
        *,
        is_stopping: Callable[[str], bool],
    ) -> None:
        """Ask for the first of ``containers`` that need not wait; they start one after the other. ``is_stopping``: by
        container id."""
        for container in containers:
            latest = record.latest(container.name)
            if latest is not None and is_stopping(latest.id):
                continue
            if self._waits(out, container, pod, record, now_s):
                if container.kind == "init":
                    return
                continue
            exited = self._last_exit(record, container.name)
            if exited is not None:
                self._backoff.restarted(_backoff_key(container), exited.finished_at_s, now_s)
            restart_count = None if latest is None else latest.restart_count + 1
            amounts = container_amounts(container, pod["spec"].get("resources"))
            work = StartContainer(container=container, restart_count=restart_count, amounts=amounts)
            self._work.ask(out, work, now_s)
            return

    def _waits(
        self, out: list[Instruction], container: PodContainer, pod: Object, record: PodRecord, now_s: float
    ) -> bool:
        """``container`` may not start yet: it crashed lately, or its last start failed lately."""
        exited = self._last_exit(record, container.name)
        if exited is not None:
            ready_at_s = self._backoff.ready_at_s(_backoff_key(container), exited.finished_at_s)
            if now_s < ready_at_s:
                self._work.wake(ready_at_s)
                self._back_off(out, container, exited, pod)
                return True
        return self._work.waits(_start_key(container.name), now_s)

    def _back_off(self, out: list[Instruction], container: PodContainer, exited: ContainerRecord, pod: Object) -> None:
        """Say so in its status, and in an event once for each exit."""
        name, full_name = container.name, podspec.full_name(pod)
        delay = go_duration(self._backoff.delay_s(_backoff_key(container)))
        self.failures[name] = StartFailure(
            reason="CrashLoopBackOff",
            message=f"back-off {delay} restarting failed container={name} pod={full_name}",
        )
        if self._announced.get(name) != exited.finished_at_s:
            self._announced[name] = exited.finished_at_s
            message = f"Back-off restarting failed container {name} in pod {full_name}"
            out.append(Record(type="Warning", reason="BackOff", message=message, container=name))

    def _last_exit(self, record: PodRecord, name: str) -> ContainerRecord | None:
        """What back-off counts from: the newest run that has ended, but not one just stopped to be started anew."""
        exited = [item for item in record.history(name) if item.state == "EXITED"]
        latest = record.latest(name)
        if exited and exited[0] is latest and latest.id in self.restarting:
            return exited[1] if len(exited) > 1 else None
        return exited[0] if exited else None


def _start_key(name: str) -> str:
    return f"start/{name}"


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
