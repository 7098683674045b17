"""``steersman down``."""

from __future__ import annotations

from pathlib import Path

import click

from steersman.cli.cluster_options import data_dir_option, local_cluster, report, run


@click.command()
@data_dir_option
def command(data_dir: Path) -> None:
    """Stop the cluster: components, pods and network. Objects, images and volumes stay for the next `up`."""
    report(run(local_cluster(data_dir).down()))
