"""A pod machine with the test as its worker."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from steersman.kubelet.allocation import Actuated
from steersman.kubelet.container_status import StartFailure
from steersman.kubelet.instructions import (
    Cancel,
    Event,
    Finished,
    Instruction,
    MountVolumes,
    PodUpdated,
    Publish,
    Record,
    Remember,
    RuntimeReported,
    StartContainer,
    TimePassed,
    Work,
)
from steersman.kubelet.pod_echo import is_echo
from steersman.kubelet.pod_machine import PodMachine
from steersman.kubelet.records import PodRecord
from steersman.kubelet.status import NodeFacts
from steersman.meta.objects import Object
from tests.kubelet.pods import NOW_S, record

NOTHING = record(sandboxes=[])


class Drive:
    """A machine with the test as its worker."""

    def __init__(
        self,
        obj: Object,
        reported: PodRecord = NOTHING,
        *,
        mounted: bool = True,
        actuated: Actuated | None = None,
    ) -> None:
        self.machine = PodMachine(obj, NodeFacts(host_ips=("192.0.2.1",)), actuated=actuated)
        self.now_s = NOW_S
        self.said: list[Instruction] = []
        self.send(RuntimeReported(record=reported))
        if mounted:
            self.finish(MountVolumes(), reported)

    def send(self, event: Event) -> list[Instruction]:
        self.said = self.machine.handle(event, self.now_s)
        self.machine.validate()
        self._check_echo()
        return self.said

    def _check_echo(self) -> None:
        """What the machine had written, coming back, would have changed nothing: the kubelet does not even show it."""
        written = {**self.machine.pod, "status": self.machine.status}
        if is_echo(self.machine.pod, written):
            event = PodUpdated(pod=written, pending=self.machine._resize.pending)
            said = copy.deepcopy(self.machine).handle(event, self.now_s)
            assert said == [], said

    def finish(self, work: Work, reported: PodRecord, failure: StartFailure | None = None) -> list[Instruction]:
        assert work.key in self.machine.work
        return self.send(Finished(work=work, record=reported, failure=failure))

    def wait(self, delay_s: float) -> list[Instruction]:
        self.now_s += delay_s
        return self.send(TimePassed())

    def work(self) -> list[Work]:
        return [item for item in self.said if not isinstance(item, (Cancel, Record, Publish, Remember))]

    def started(self) -> str:
        [work] = self.work()
        assert isinstance(work, StartContainer)
        return work.container.name

    def events(self) -> list[tuple[str, str]]:
        return [(item.reason, item.message) for item in self.said if isinstance(item, Record)]

    def conditions(self) -> Mapping[str, str]:
        return {entry["type"]: entry["status"] for entry in self.machine.status["conditions"]}

    def container(self, index: int = 0, field: str = "containerStatuses") -> Any:
        return self.machine.status[field][index]

    def finish_start(self, reported: PodRecord, failure: StartFailure | None = None) -> list[Instruction]:
        work = next(item for item in self.machine.work.in_flight.values() if isinstance(item, StartContainer))
        return self.finish(work, reported, failure)
