"""``steersman up``: a cluster on this machine."""

from __future__ import annotations

import time
from pathlib import Path

import click

from steersman.cli.cluster_options import data_dir_option, local_cluster, run


@click.command()
@data_dir_option
@click.option("--nodes", type=click.IntRange(0, 200), default=None, help="Real nodes; 0: simulated ones only.")
@click.option("--simulated-nodes", type=click.IntRange(0), default=None, help="Nodes without containers beside them.")
@click.option(
    "--api-port", type=click.IntRange(1, 65535), default=None, help="Port of the API server.  [default: 6443]"
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, min_open=True),
    default=60,
    show_default=True,
    help="Seconds that the API server and the nodes each may take to be ready.",
)
@click.option("--v", "verbosity", type=int, default=None, help="Log level of the components.")
def command(
    data_dir: Path,
    nodes: int | None,
    simulated_nodes: int | None,
    api_port: int | None,
    timeout_s: float,
    verbosity: int | None,
) -> None:
    """Start a cluster on this machine, or bring it back to what it was.

    Does only what is not done yet. Ends when the nodes are Ready and the context `steersman` is in your kubeconfig.
    """
    from steersman.cluster.local import Wanted

    cluster = local_cluster(data_dir)
    began_s = time.monotonic()
    wanted = Wanted(real_nodes=nodes, simulated_nodes=simulated_nodes, api_port=api_port, verbosity=verbosity)
    config = run(cluster.up(wanted, ready_s=timeout_s))
    what = " and ".join(
        text
        for text in (
            f"{len(config.nodes)} node{'s' * (len(config.nodes) != 1)}" if config.nodes else "",
            f"{config.simulated_nodes} simulated node{'s' * (config.simulated_nodes != 1)}"
            if config.simulated_nodes
            else "",
        )
        if text
    )
    click.echo(f"Kubernetes v1.36 is up with {what} ({time.monotonic() - began_s:.1f} s).")
    click.echo(f"  kubectl --context {config.context} get nodes")
    if config.nodes:
        click.echo("  steersman image load FILE     puts images into the nodes")
    click.echo("  steersman status | logs COMPONENT | down | reset")
