"""``steersman reset``."""

from __future__ import annotations

from pathlib import Path

import click

from steersman.cli.cluster_options import data_dir_option, local_cluster, report, run


@click.command()
@data_dir_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(data_dir: Path, yes: bool) -> None:
    """Stop the cluster and remove everything it ever made on this machine."""
    if not yes:
        click.confirm(f"Remove the cluster in {data_dir} with all its objects, images and volumes?", abort=True)
    report(run(local_cluster(data_dir).reset()))
