"""The scheduler on upstream's scheduler_perf workloads: pods placed per second.

Rows ``scheduler/<workload>/<nodes>Nodes/…`` are of processes that talk HTTPS with each other: an API server on SQLite, the
scheduler, three clients that make the measured pods while they are scheduled. Rows ``scheduler-core/…`` are of the pure
core without an API. After each run the placements are checked against what the pods demand.

This group takes every workload at its own size: less than ten minutes on two cores that nobody else uses. The group
``scheduler_growth`` shows what becomes of the figures on 500, 1000, 5000 and 15000 nodes.

    python -m bench.scheduler [--apiserver PATH --etcd PATH] [--scheduler PATH] [--core-only | --api-only] [WORKLOAD[/N] …]

runs some workloads, also with upstream's programs in the place of ours, and writes no results. Where others use the machine,
too, trust CPU times only.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict

from bench.scheduling.measure import measure
from bench.scheduling.processes import Programs
from bench.scheduling.workloads import WORKLOADS, Object, Workload, chosen, named, node
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.component import default_configuration
from steersman.scheduler.core import SchedulerCore
from steersman.scheduler.framework import Nomination
from steersman.scheduler.pod_info import PodInfo, parse_pod


def measure_core(workload: Workload) -> dict[str, float]:
    """Place the pods of one workload without an API."""
    cluster = Cluster()
    for number in range(workload.nodes):
        cluster.nodes.put_node(node(number, workload.zones))
    core = SchedulerCore(default_configuration().frameworks, cluster, seed=1)
    for number in range(workload.before):
        _place(core, _stored(workload.pod_before, f"before-{number}"))
    pods = [_stored(workload.pod, f"pod-{number}") for number in range(workload.measured)]
    took_s = []
    started_s, used_s = time.perf_counter(), time.process_time()
    for obj in pods:
        began_s = time.perf_counter()
        _place(core, obj)
        took_s.append(time.perf_counter() - began_s)
    total_s, spent_s = time.perf_counter() - started_s, time.process_time() - used_s
    took_s.sort()
    return {
        "pods_per_s": len(pods) / total_s,
        "cpu_us_per_pod": spent_s / len(pods) * 1e6,
        "p50_us": took_s[len(took_s) // 2] * 1e6,
        "p99_us": took_s[int(len(took_s) * 0.99)] * 1e6,
    }


def _stored(template: Object, name: str) -> Object:
    """As the API server would give it back."""
    made = named(template, name, "sched-1")
    return {**made, "metadata": {**made["metadata"], "uid": name}, "status": {}}


def _place(core: SchedulerCore, obj: Object) -> None:
    info = parse_pod(obj)
    decision = core.decide(info)
    if isinstance(decision.nomination, Nomination):
        for victim in decision.nomination.victims:
            core.cluster.nodes.remove_pod(victim.uid)
        decision = core.decide(info)
    if not decision.node_name:
        raise RuntimeError(f"{info.key}: {decision.diagnosis and decision.diagnosis.message}")
    if not isinstance(core.assume(info, decision.node_name), PodInfo):
        raise RuntimeError(f"{info.key} was not reserved")


def run() -> dict[str, float]:
    """All workloads at their own size, with Steersman's own programs."""
    return core_rows(WORKLOADS) | api_rows(WORKLOADS)


def core_rows(workloads: Iterable[Workload]) -> dict[str, float]:
    return {
        f"scheduler-core/{workload.row}/{metric}": value
        for workload in workloads
        for metric, value in measure_core(workload).items()
    }


def api_rows(workloads: Iterable[Workload]) -> dict[str, float]:
    return {
        f"scheduler/{workload.row}/{metric}": value
        for workload in workloads
        for metric, value in asdict(measure(workload, Programs())).items()
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.scheduler")
    parser.add_argument("--apiserver", default="steersman", help="path of upstream's kube-apiserver")
    parser.add_argument("--etcd", default="etcd", help="path of etcd, for upstream's kube-apiserver")
    parser.add_argument("--scheduler", default="steersman", help="path of upstream's kube-scheduler")
    parser.add_argument("--store", default="sqlite", choices=("sqlite", "memory"))
    parser.add_argument("--core-only", action="store_true")
    parser.add_argument("--api-only", action="store_true")
    parser.add_argument("workload", nargs="*")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    programs = Programs(apiserver=given.apiserver, scheduler=given.scheduler, etcd=given.etcd, store=given.store)
    for workload in chosen(given.workload):
        rows: dict[str, float] = {}
        if not given.api_only:
            rows |= {f"scheduler-core/{workload.row}/{key}": value for key, value in measure_core(workload).items()}
        if not given.core_only:
            outcome = asdict(measure(workload, programs))
            rows |= {f"scheduler/{workload.row}/{key}": value for key, value in outcome.items()}
        for row, value in rows.items():
            print(f"{row:76} {value:12.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
