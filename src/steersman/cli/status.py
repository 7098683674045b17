"""``steersman status``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from steersman.cli.cluster_options import data_dir_option, local_cluster, run


@click.command()
@data_dir_option
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", help="How to show it.")
def command(data_dir: Path, output: str) -> None:
    """Show what runs and how it is. Exit code 1 when something should run and does not."""
    from steersman.cluster.local import LocalCluster

    cluster: LocalCluster = local_cluster(data_dir)
    config = cluster.config()
    if config is None:
        raise click.ClickException(f"there is no cluster in {data_dir}; start one with `steersman up`")
    state = cluster.state()
    programs: dict[str, Any] = state.get("programs") or {}
    rows = [
        {
            "name": name,
            "pid": entry["pid"],
            "state": "running" if entry["pid"] else "restarting",
            "age_s": round(time.time() - entry["started_s"]) if entry["pid"] else 0,
            "restarts": entry["restarts"],
            "last_exit": entry["last_exit"],
            "resident_mib": _resident_mib(entry["pid"]),
        }
        for name, entry in programs.items()
    ]
    nodes = run(_nodes(cluster)) if state else []
    healthy = bool(state) and all(row["pid"] for row in rows) and all(node["ready"] for node in nodes)
    if output == "json":
        click.echo(json.dumps({"running": bool(state), "programs": rows, "nodes": nodes}, indent=2))
    else:
        _show(config.server, rows, nodes, running=bool(state))
    sys.exit(0 if healthy else 1)


async def _nodes(cluster: Any) -> list[dict[str, Any]]:
    from steersman.client.transport import Unreachable
    from steersman.meta import objects
    from steersman.meta.resources import NODES

    async with cluster.admin() as client:
        try:
            listed = (await client.list(NODES)).items
        except Unreachable:
            return []
    return [
        {
            "name": objects.name(node),
            "ready": objects.is_true(node, "Ready"),
            "simulated": objects.labels(node).get("type") == "simulated",
        }
        for node in listed
    ]


def _show(server: str, rows: list[dict[str, Any]], nodes: list[dict[str, Any]], *, running: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not running:
        console.print(f"The cluster of {server} is stopped; `steersman up` starts it.")
        return
    console.print(f"API server: {server}")
    table = Table(box=None, pad_edge=False)
    for column in ("COMPONENT", "STATE", "PID", "AGE", "RESTARTS", "MEMORY", "LAST EXIT"):
        table.add_column(column)
    for row in rows:
        age = _age(row["age_s"]) if row["pid"] else ""
        memory = f"{row['resident_mib']} MiB" if row["pid"] else ""
        table.add_row(
            row["name"], row["state"], str(row["pid"] or ""), age, str(row["restarts"]), memory, row["last_exit"]
        )
    console.print(table)
    ready = sum(1 for node in nodes if node["ready"])
    console.print(f"Nodes: {ready} of {len(nodes)} Ready")
    for node in nodes:
        if not node["ready"]:
            console.print(f"  {node['name']} is not Ready")


def _age(seconds: int) -> str:
    return f"{seconds}s" if seconds < 120 else f"{seconds // 60}m" if seconds < 7200 else f"{seconds // 3600}h"


def _resident_mib(pid: int) -> int:
    """Proportional: programs are forked from one and share pages (docs/decisions/0008); those count once for all together."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) // 1024
