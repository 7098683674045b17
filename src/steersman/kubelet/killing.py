"""Stopping containers: preStop hook, then the turn of each, then the stop signal, then SIGKILL, all within one grace period.

Pure. One ``Killing`` per pod keeps which containers are being stopped and until when. Sidecars wait for the app
containers, and each for the sidecars that started after it (KEP-753), but never beyond the grace period.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from steersman.kubelet import podspec
from steersman.kubelet.instructions import Instruction, Record, RunPreStop, StopContainer, pre_stop_hook
from steersman.kubelet.records import ContainerRecord, PodRecord

Stage = Literal["waiting", "hook", "stopping"]

RETRY_S = 2.0
"""A runtime that failed to stop a container is asked again after this."""


class _Kill(Struct):
    record: ContainerRecord
    deadline_s: float
    grace_s: float
    ordered: bool
    stage: Stage = "waiting"
    hook_done: bool = False
    stop_deadline_s: float = field(default=float("inf"))
    retry_at_s: float = 0.0
    """0: nothing failed."""


class Killing:
    """The containers of one pod that are on their way out. Times are wall-clock seconds."""

    def __init__(self) -> None:
        self._kills: dict[str, _Kill] = {}

    def __contains__(self, container_id: str) -> bool:
        return container_id in self._kills

    def begin(
        self,
        pod: Mapping[str, Any],
        record: ContainerRecord,
        now_s: float,
        *,
        message: str = "",
        probe: str = "",
        grace_s: float | None = None,
        ordered: bool = False,
    ) -> list[Instruction]:
        """Stop ``record``; repeated calls only ever shorten its grace. ``ordered``: as part of the whole pod's stop."""
        container = podspec.find_container(pod, record.name)
        spec: Mapping[str, Any] = container.spec if container is not None else {}
        own_grace_s = grace_s if grace_s is not None else podspec.grace_period_s(pod, spec, probe)
        known = self._kills.get(record.id)
        if known is not None:
            if now_s + own_grace_s < known.deadline_s:
                known.deadline_s = now_s + own_grace_s
                known.grace_s = own_grace_s
            known.ordered = known.ordered or ordered
            return []
        self._kills[record.id] = _Kill(record, now_s + own_grace_s, own_grace_s, ordered)
        text = message or f"Stopping container {record.name}"
        return [Record(type="Normal", reason="Killing", message=text, container=record.name)]

    def hook_finished(self, container_id: str) -> None:
        kill = self._kills.get(container_id)
        if kill is not None:
            kill.hook_done = True

    def stop_failed(self, container_id: str, now_s: float) -> None:
        kill = self._kills.get(container_id)
        if kill is not None:
            kill.stage, kill.hook_done = "waiting", True
            kill.stop_deadline_s = float("inf")
            kill.retry_at_s = now_s + RETRY_S

    def advance(self, pod: Mapping[str, Any], record: PodRecord, now_s: float) -> list[Instruction]:
        """What is due now. Containers that have stopped are forgotten."""
        running = {item.id: item for item in record.running()}
        for container_id in [key for key in self._kills if key not in running]:
            del self._kills[container_id]
        names = {item.name for item in running.values()}
        due: list[Instruction] = []
        for container_id, kill in self._kills.items():
            instruction = self._next(pod, kill, names, now_s)
            if instruction is not None:
                due.append(instruction)
            assert container_id in running
        return due

    def wake_at_s(self) -> float | None:
        """The earliest time at which ``advance`` may have more to say."""
        moments = [kill.retry_at_s or kill.deadline_s for kill in self._kills.values() if kill.stage != "stopping"]
        return min(moments, default=None)

    def _next(self, pod: Mapping[str, Any], kill: _Kill, running: set[str], now_s: float) -> Instruction | None:
        if now_s < kill.retry_at_s:
            return None
        kill.retry_at_s = 0.0
        expired = now_s >= kill.deadline_s
        hook = pre_stop_hook(podspec.find_container(pod, kill.record.name))
        if kill.stage == "waiting" and not kill.hook_done and hook is not None and not expired:
            kill.stage = "hook"
            return RunPreStop(record=kill.record, timeout_s=kill.deadline_s - now_s)
        if kill.stage == "hook" and not kill.hook_done and not expired:
            return None
        must_wait = kill.ordered and not expired and _goes_before(pod, kill.record.name, running)
        if kill.stage != "stopping" and must_wait:
            kill.stage, kill.hook_done = "waiting", True
            return None
        if kill.stage == "stopping" and kill.deadline_s >= kill.stop_deadline_s:
            return None
        kill.stage = "stopping"
        kill.stop_deadline_s = kill.deadline_s
        return StopContainer(
            record=kill.record, grace_s=max(float(round(kill.deadline_s - now_s)), float(podspec.MINIMUM_GRACE_S))
        )


def _goes_before(pod: Mapping[str, Any], name: str, running: Iterable[str]) -> bool:
    """Something that runs has to stop before ``name``, a sidecar, may."""
    order: Sequence[str] = [item.name for item in podspec.init_containers(pod) if item.kind == "sidecar"]
    if name not in order:
        return False
    before = {*order[order.index(name) + 1 :], *(item.name for item in podspec.app_containers(pod))}
    return not before.isdisjoint(running)
