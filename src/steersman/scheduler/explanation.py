"""Why a pod is where it is, or nowhere: every plugin's verdict about the nodes as they are now.

For a placed pod the question is put as if it had no node yet, so the answer tells how good its node is today.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from steersman.scheduler.core import NodeScore, SchedulerCore
from steersman.scheduler.diagnosis import Diagnosis
from steersman.scheduler.pod_info import PodInfo


class Explanation(Struct, frozen=True, kw_only=True):
    """The verdict about one pod."""

    pod: str
    node_name: str
    """Where it is; empty where it is pending."""
    node_count: int
    feasible_count: int
    diagnosis: Diagnosis
    """Of the nodes that do not fit."""
    held_back: tuple[str, ...] = ()
    """Why it is not even tried, by plugin."""
    best: tuple[NodeScore, ...] = ()
    """The best nodes, and the pod's own first where it fits."""


def explain(core: SchedulerCore, pod: PodInfo, *, top: int = 5) -> Explanation:
    """Raises ``KeyError`` where no profile is responsible for the pod."""
    placed = core.cluster.nodes.remove_pod(pod.uid)
    try:
        spec = {key: value for key, value in pod.obj["spec"].items() if key != "nodeName"}
        unplaced = replace(pod, node_name="", obj={**pod.obj, "spec": spec}, signature=pod.signature + b"explain")
        found = core.search(unplaced)
        rows = np.flatnonzero(found.feasible)
        best: tuple[NodeScore, ...] = ()
        if len(rows):
            own_row = core.cluster.nodes.rows.get(pod.node_name, -1)
            total = sum(core.scores(found, rows).values(), start=np.zeros(len(rows), dtype=np.int64))
            first = own_row if own_row in rows else int(rows[int(np.argmax(total))])
            best = core.explain(found, first, top - 1)
        return Explanation(
            pod=pod.key,
            node_name=pod.node_name,
            node_count=core.cluster.nodes.node_count,
            feasible_count=len(rows),
            diagnosis=found.diagnose(),
            held_back=() if pod.node_name else held_back(core, pod),
            best=best,
        )
    finally:
        if placed is not None:
            core.cluster.nodes.add_pod(placed)


def held_back(core: SchedulerCore, pod: PodInfo) -> tuple[str, ...]:
    """What ``preEnqueue`` plugins have against trying the pod."""
    asked = [
        (plugin.NAME, plugin.pre_enqueue(pod, core.cluster))
        for plugin in core.frameworks[pod.scheduler_name].pre_enqueue
    ]
    return tuple(f"{name}: {', '.join(found.reasons)}" for name, found in asked if found is not None)


def as_text(explanation: Explanation) -> str:
    """For a terminal."""
    where = f"on {explanation.node_name}" if explanation.node_name else "pending"
    lines = [
        f"pod {explanation.pod}: {where}",
        f"{explanation.feasible_count} of {explanation.node_count} nodes fit",
    ]
    lines[1:1] = [f"not tried, held back by {why}" for why in explanation.held_back]
    diagnosis = explanation.diagnosis
    if diagnosis.pre_filter_message:
        lines.append(f"rejected before any node was looked at: {diagnosis.pre_filter_message}")
    for plugin, count in sorted(diagnosis.rejected_nodes.items(), key=lambda entry: (-entry[1], entry[0])):
        lines.append(f"  {plugin} rejected {count}")
    for reason, count in sorted(diagnosis.reasons.items(), key=lambda entry: (-entry[1], entry[0])):
        lines.append(f"    {count} {reason}")
    if explanation.best:
        lines += ["", *_score_table(explanation)]
    return "\n".join(lines)


def _score_table(explanation: Explanation) -> list[str]:
    plugins = list(explanation.best[0].by_plugin)
    header = ["node", "total", *plugins]
    rows = [
        [score.node_name + (" *" if score.node_name == explanation.node_name else ""), str(score.total)]
        + [str(score.by_plugin[plugin]) for plugin in plugins]
        for score in explanation.best
    ]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (header, *rows)]  # fmt: skip
