"""``steersman kubeconfig``."""

from __future__ import annotations

from pathlib import Path

import click

from steersman.cli.cluster_options import data_dir_option, local_cluster


@click.command()
@data_dir_option
def command(data_dir: Path) -> None:
    """Print a kubeconfig with an administrator's rights, complete in itself."""
    from steersman.cluster.kubeconfigs import render

    cluster = local_cluster(data_dir)
    config = cluster.config()
    if config is None:
        raise click.ClickException(f"there is no cluster in {data_dir}; start one with `steersman up`")
    click.echo(render(cluster.admin_kubeconfig(config)), nl=False)
