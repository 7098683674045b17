"""Reads and writes in work and waiting, in all levels together."""

from __future__ import annotations

from steersman.apiserver.flowcontrol.distribution import Distribution

BOUNDS = (0, 0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
KINDS = ("mutating", "readOnly")
PHASES = ("executing", "waiting")
_PEAK_S = 1.0
_NS = 1e9


class RequestKinds:
    """Numbers of requests by kind and phase, how long they were so, and their peaks of the last second."""

    def __init__(self, *, now_s: float) -> None:
        self.limit = (1, 1)
        """Waiting, executing: what the histograms are fractions of."""
        self.histograms = {(phase, kind): Distribution(BOUNDS) for phase in PHASES for kind in KINDS}
        self._now = [0, 0, 0, 0]
        """Reads executing, reads waiting, writes executing, writes waiting."""
        self._peaks = [0, 0, 0, 0]
        self._shown = [0, 0, 0, 0]
        self._second = now_s
        self._last_s = now_s
        self._held: dict[tuple[int, int, int, int], float] = {}

    def changed(self, is_write: bool, *, waiting: int, executing: int, now_s: float) -> None:
        now, at = self._now, 2 if is_write else 0
        elapsed_s = now_s - self._last_s
        if elapsed_s > 0:
            self._last_s = now_s
            held = self._held
            key = (now[0], now[1], now[2], now[3])
            held[key] = held.get(key, 0.0) + elapsed_s
            if len(held) > 4096:
                self.fold()
        if now_s - self._second >= _PEAK_S:
            self._shown, self._peaks, self._second = self._peaks, list(now), now_s
        now[at] += executing
        now[at + 1] += waiting
        if now[at] > self._peaks[at]:
            self._peaks[at] = now[at]
        if now[at + 1] > self._peaks[at + 1]:
            self._peaks[at + 1] = now[at + 1]

    def peak(self, phase: str, kind: str) -> int:
        """The most at once in the last whole second with requests, and since."""
        at = (2 if kind == "mutating" else 0) + (phase == "waiting")
        return max(self._shown[at], self._peaks[at])

    def fold(self) -> None:
        """Hand the durations on to the histograms."""
        waiting, executing = self.limit
        for state, held_s in self._held.items():
            weight = round(held_s * _NS)
            for at, kind in ((0, "readOnly"), (2, "mutating")):
                self.histograms["executing", kind].observe(state[at] / max(executing, 1), weight)
                self.histograms["waiting", kind].observe(state[at + 1] / max(waiting, 1), weight)
        self._held = {}
