"""How the scheduler's figures grow with the cluster: every workload of ``bench/scheduler.py`` on more and on fewer nodes."""

from __future__ import annotations

from bench.scheduler import measure_all
from bench.scheduling.workloads import growth


def run() -> dict[str, float]:
    return measure_all(growth())
