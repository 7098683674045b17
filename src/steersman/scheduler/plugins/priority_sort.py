"""PrioritySort: pods of higher priority come first, then those that have waited longer."""

from __future__ import annotations

from typing import Any, ClassVar

from steersman.scheduler.framework import QueueSortPlugin
from steersman.scheduler.plugin_args import Args, reject_unknown
from steersman.scheduler.pod_info import PodInfo


class PrioritySort:
    NAME: ClassVar[str] = "PrioritySort"

    @classmethod
    def from_args(cls, args: Args) -> PrioritySort:
        reject_unknown(args, ())
        return cls()

    def queue_key(self, pod: PodInfo, added_s: float) -> tuple[Any, ...]:
        return (-pod.priority, added_s)


def _conforms() -> QueueSortPlugin:
    return PrioritySort()
