"""The resize of one pod, from what it was granted to what its cgroups are set to. Pure; ``resizing`` plans the steps."""

from __future__ import annotations

from steersman.kubelet import podspec
from steersman.kubelet.allocation import Actuated, Amounts, actuated_of
from steersman.kubelet.container_status import StartFailure
from steersman.kubelet.instructions import PodUpdated, Record, Remember
from steersman.kubelet.pod_conditions import PendingResize, ResizeProgress, resize_conditions, resize_of
from steersman.kubelet.records import PodRecord
from steersman.kubelet.resize_message import resize_message
from steersman.kubelet.resizing import Resize, plan_resize
from steersman.kubelet.resource_status import totals_of
from steersman.meta import objects
from steersman.meta.objects import Object


class PodResize:
    """Follows a resize that the node has not granted yet (``pending``) or that is being carried out."""

    def __init__(self, pod: Object, actuated: Actuated | None = None) -> None:
        """``pod`` with the resources that it was granted; ``actuated``: what an earlier machine wrote down."""
        self.pending: PendingResize | None = None
        self.actuated = actuated or Actuated()
        """What the pod's cgroups were last set to."""
        self.totals = totals_of(pod)
        self._progress = resize_of(pod.get("status") or {})[1]
        self._remembered = self.actuated
        self._granted = self._granted_first = actuated_of(pod)
        self._unsaid: list[Record] = []

    def conditions(self) -> tuple[Object, ...]:
        return tuple(resize_conditions(self.pending, self._progress))

    def set_granted(self, pod: Object) -> None:
        """Its spec is another object than it was."""
        self.totals = totals_of(pod)
        self._granted = actuated_of(pod)

    def update(self, event: PodUpdated) -> None:
        self.pending = event.pending
        if event.granted:
            self._progress = ResizeProgress(generation=objects.generation(event.pod))

    def assume_actuated(self, record: PodRecord) -> None:
        """Of what runs without a word about its resources it is taken that it runs with those that the pod was
        granted when this machine was made: a resize may have been granted since."""
        if record.sandbox is None:
            return
        granted, known = self._granted_first, self.actuated
        running = {item.name for item in record.running()}
        assumed = {name: amounts for name, amounts in granted.containers.items() if name in running}
        self.actuated = Actuated(pod=known.pod or granted.pod, containers={**assumed, **known.containers})

    def sandbox_created(self, amounts: Amounts) -> None:
        self.actuated = Actuated(pod=amounts)

    def container_started(self, name: str, amounts: Amounts) -> None:
        self.actuated = self.actuated.with_container(name, amounts)

    def plan(self, pod: Object, record: PodRecord) -> Resize:
        return plan_resize(pod, record, self.actuated, self._granted)

    def failed(self, pod: Object, failure: StartFailure) -> None:
        """An attempt to set the pod's cgroups."""
        before = self._progress or ResizeProgress(generation=objects.generation(pod))
        self._progress = ResizeProgress(generation=before.generation, error=failure.message)
        if self._progress != before:
            message = resize_message("Pod resize error", pod, before.generation, failure.message)
            self._unsaid.append(Record(type="Warning", reason="ResizeError", message=message))

    def follow(self, pod: Object, record: PodRecord, *, restarting: frozenset[str], is_set_now: bool) -> list[Record]:
        """A resize is in progress as long as something that runs has not the size that it was granted.

        ``restarting``: ids of containers that were stopped so that they start anew. ``is_set_now``: cgroups are being
        set.
        """
        if self.plan(pod, record) or (self._progress and _awaits_restart(pod, record, restarting)):
            self._progress = self._progress or ResizeProgress(generation=objects.generation(pod))
        elif self._progress is not None and not is_set_now:
            message = resize_message("Pod resize completed", pod, self._progress.generation)
            self._progress = None
            return [Record(type="Normal", reason="ResizeCompleted", message=message)]
        return []

    def unsaid(self) -> list[Record]:
        """What happened since this was last asked."""
        unsaid, self._unsaid = self._unsaid, []
        return unsaid

    def to_remember(self) -> list[Remember]:
        """What the pod's cgroups are set to, where that has changed since this was last asked."""
        if self.actuated == self._remembered:
            return []
        self._remembered = self.actuated
        return [Remember(actuated=self.actuated, as_granted=self.actuated.agrees_with(self._granted))]


def _awaits_restart(pod: Object, record: PodRecord, restarting: frozenset[str]) -> bool:
    latest = (record.latest(container.name) for container in podspec.containers(pod))
    return any(item is not None and item.id in restarting for item in latest)
