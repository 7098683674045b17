"""How the scheduler's figures grow with the cluster: the workloads of ``bench/scheduler.py`` on 500, 1000, 5000, 15000 nodes.

The core places every workload at every size; through the API go three that ask different things of it: nothing but resources,
spreading over zones, anti-affinity between hosts. Throughput, latency of a pod and memory are there for each size, the size
that is a workload's own in the group ``scheduler``. Nearly all of the time goes into making nodes and pods through the API: six minutes
on two cores.
"""

from __future__ import annotations

from bench.scheduler import api_rows, core_rows
from bench.scheduling.workloads import WORKLOADS, growth

THROUGH_API = ("SchedulingBasic", "TopologySpreading", "PodAntiAffinity")


def run() -> dict[str, float]:
    through_api = [workload for workload in WORKLOADS if workload.name in THROUGH_API]
    return core_rows(growth(WORKLOADS)) | api_rows(growth(through_api))
