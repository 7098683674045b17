"""The last word of each container's probes, by container id; what has no probe or no word yet is None."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

ProbeKind = Literal["startup", "liveness", "readiness"]


class ProbeResults(Struct, frozen=True):
    """True: passes, False: failed as often as its threshold says, None: nothing known."""

    by_container: Mapping[tuple[str, ProbeKind], bool] = field(default_factory=dict)

    def startup(self, container_id: str) -> bool | None:
        return self.by_container.get((container_id, "startup"))

    def liveness(self, container_id: str) -> bool | None:
        return self.by_container.get((container_id, "liveness"))

    def readiness(self, container_id: str) -> bool | None:
        return self.by_container.get((container_id, "readiness"))


NO_RESULTS = ProbeResults()
