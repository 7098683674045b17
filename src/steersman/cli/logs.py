"""``steersman logs COMPONENT``."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click

from steersman.cli.cluster_options import data_dir_option, local_cluster

SHARED = {"controller-manager": "control", "scheduler": "control", "dns": "control"}
"""Components that share a process, and its log."""


@click.command()
@data_dir_option
@click.option("-f", "--follow", is_flag=True, help="Go on showing what is logged.")
@click.option("--tail", type=int, default=-1, help="Only the last so many lines.")
@click.argument("component", required=False)
def command(data_dir: Path, follow: bool, tail: int, component: str | None) -> None:
    """Show what a component has logged; without a name, which logs there are."""
    directory = local_cluster(data_dir).layout.logs
    known = sorted(path.stem for path in directory.glob("*.log"))
    if component is None:
        for name in known:
            click.echo(name)
        return
    name = SHARED.get(component, component)
    if name not in known and f"node-{name}" in known:
        name = f"node-{name}"
    if name not in known:
        raise click.ClickException(f"no log of {component!r}; there are: {', '.join(known) or 'none'}")
    argv = ["tail", f"--lines={tail if tail >= 0 else '+1'}"]
    if follow:
        argv.append("--follow=name")
    subprocess.run([*argv, str(directory / f"{name}.log")], check=False)
