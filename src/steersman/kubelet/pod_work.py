"""What a pod's machine has asked for: what is in flight, when what failed may be tried again, when to wake."""

from __future__ import annotations

from collections.abc import Iterable

from steersman.kubelet.container_status import StartFailure
from steersman.kubelet.instructions import Instruction, StopContainer, StopSandbox, Work


class PodWork:
    """Work by key. Times are wall-clock seconds."""

    def __init__(self) -> None:
        self.in_flight: dict[str, Work] = {}
        self.wake_at_s: float | None = None
        """When something that waits may be tried; None when nothing does."""
        self._retry_at_s: dict[str, float] = {}
        self._retry_delay_s: dict[str, float] = {}

    def __contains__(self, key: str) -> bool:
        """It was asked for and has not finished."""
        return key in self.in_flight

    def any_of(self, keys: Iterable[str]) -> bool:
        return any(key in self.in_flight for key in keys)

    @property
    def stopping(self) -> frozenset[str]:
        """Ids of what the runtime was asked to stop."""
        works = self.in_flight.values()
        containers = (work.record.id for work in works if isinstance(work, StopContainer))
        sandboxes = (work.sandbox_id for work in works if isinstance(work, StopSandbox))
        return frozenset((*containers, *sandboxes))

    def ask(self, out: list[Instruction], work: Work, now_s: float) -> None:
        """Ask for ``work`` unless it is in flight or failed too lately."""
        if work.key not in self.in_flight and not self.waits(work.key, now_s):
            self.begin(out, work)

    def begin(self, out: list[Instruction], work: Work) -> None:
        self.in_flight[work.key] = work
        out.append(work)

    def finish(self, key: str) -> None:
        self.in_flight.pop(key, None)

    def waits(self, key: str, now_s: float) -> bool:
        """Until it may be tried again, which the machine is woken for."""
        retry_at_s = self._retry_at_s.get(key, 0.0)
        if now_s < retry_at_s:
            self.wake(retry_at_s)
            return True
        return False

    def note(self, key: str, failure: StartFailure | None, now_s: float, limits: tuple[float, float]) -> None:
        """How it ended. ``limits``: the delay after a first failure, which doubles with each, and the longest."""
        if failure is None:
            self._retry_at_s.pop(key, None)
            self._retry_delay_s.pop(key, None)
            return
        delay_s = self._retry_delay_s.get(key, limits[0])
        self._retry_at_s[key] = now_s + delay_s
        self._retry_delay_s[key] = min(delay_s * 2, limits[1])

    def forgive(self, key: str) -> None:
        """Let it be tried again at once; its delays go on where they were."""
        self._retry_at_s.pop(key, None)

    def wake(self, moment_s: float) -> None:
        """Not later than ``moment_s``."""
        self.wake_at_s = moment_s if self.wake_at_s is None else min(self.wake_at_s, moment_s)
