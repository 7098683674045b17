"""``steersman nodes add|remove``."""

from __future__ import annotations

from pathlib import Path

import click

from steersman.cli.cluster_options import data_dir_option, local_cluster, report, run


@click.group()
def command() -> None:
    """Add nodes to the running cluster, or remove them."""


@command.command("add")
@data_dir_option
@click.option("--simulated", type=click.IntRange(1), default=None, help="So many nodes without containers.")
@click.argument("count", type=click.IntRange(1), default=None, required=False)
def add(data_dir: Path, simulated: int | None, count: int | None) -> None:
    """Add COUNT real nodes (one if nothing is said), or simulated ones.

    Simulated nodes are labelled type=simulated and tainted, so that nothing lands there by accident.
    """
    real = count if count is not None else (0 if simulated else 1)
    config = run(local_cluster(data_dir).add_nodes(real=real, simulated=simulated or 0))
    click.echo(f"The cluster has {len(config.nodes)} real and {config.simulated_nodes} simulated nodes.")


@command.command("remove")
@data_dir_option
@click.argument("names", nargs=-1, required=True)
def remove(data_dir: Path, names: tuple[str, ...]) -> None:
    """Remove real nodes: their pods end and their data goes."""
    cluster = local_cluster(data_dir)
    for name in names:
        report(run(cluster.remove_node(name)))
