"""One probe of one run of a container: its thresholds and what they add up to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from steersman.kubelet.probe_results import ProbeKind

FIELDS: Mapping[ProbeKind, str] = {
    "startup": "startupProbe",
    "liveness": "livenessProbe",
    "readiness": "readinessProbe",
}


class ProbeState(Struct):
    """Counts outcomes in a row. ``result``: None until the probe has a word (readiness: false until it succeeds)."""

    kind: ProbeKind
    spec: Mapping[str, Any]
    result: bool | None = None
    run: int = 0
    last: bool | None = None
    on_hold: bool = False
    """No more probing of this run of the container: startup is decided, or liveness failed."""

    @property
    def period_s(self) -> float:
        return float(self.spec.get("periodSeconds") or 10)

    @property
    def initial_delay_s(self) -> float:
        return float(self.spec.get("initialDelaySeconds") or 0)

    def is_wanted(self, *, started: bool) -> bool:
        """Startup probes run until the container has started, the others from then on."""
        return not self.on_hold and (not started if self.kind == "startup" else started)

    def observe(self, success: bool) -> bool:
        """Take in one outcome; whether ``result`` changed."""
        if self.last is success:
            self.run += 1
        else:
            self.last, self.run = success, 1
        threshold = self.spec.get("successThreshold" if success else "failureThreshold") or (1 if success else 3)
        if self.run < int(threshold):
            return False
        if self.kind == "startup" or (self.kind == "liveness" and not success):
            self.on_hold = True
            self.run = 0
        changed = self.result is not success
        self.result = success
        return changed
