"""``steersman network``: a node's pod network agent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from steersman.cli.program import Environment, Serving, run_component

if TYPE_CHECKING:
    from steersman.network.component import PodNetwork


@click.command()
@click.option("--kubeconfig", default="", help="How to reach the API server; without it, as a pod does.")
@click.option("--hostname-override", "node_name", default="", help="Name of this node.")
@click.option("--cluster-cidr", default="", help="Range(s) of all pods, comma-separated: not masqueraded.")
@click.option("--cni-conf-dir", default="/etc/cni/net.d", help="Where the container runtime reads CNI configuration.")
@click.option("--ipam-data-dir", default="/var/lib/cni/networks", help="Where given addresses are remembered.")
@click.option("--bridge", default="steersman-pods", help="Name of the pods' bridge.")
@click.option("--routes-only", is_flag=True, help="For a machine that is no node: routes to pods, nothing else.")
@click.option("--cleanup", is_flag=True, help="Remove what this component made, and exit.")
@click.option("--healthz-port", default=0, help="Port of /healthz and /metrics on 127.0.0.1; 0: none.")
@click.option("--v", "verbosity", default=0, help="Log level.")
def command(
    kubeconfig: str,
    node_name: str,
    cluster_cidr: str,
    cni_conf_dir: str,
    ipam_data_dir: str,
    bridge: str,
    routes_only: bool,
    cleanup: bool,
    healthz_port: int,
    verbosity: int,
) -> None:
    """Run a node's pod network agent: CNI configuration, routes, masquerading."""
    if cleanup:
        import asyncio

        from steersman.network.host import remove_traces

        asyncio.run(remove_traces(bridge))
        return
    if not node_name and not routes_only:
        raise click.UsageError("--hostname-override is needed (or --routes-only)")

    async def build(environment: Environment) -> PodNetwork:
        from steersman.network.component import PodNetwork, PodNetworkConfig

        return PodNetwork(
            client=environment.client(kubeconfig, user_agent="steersman-network"),
            clock=environment.clock,
            config=PodNetworkConfig(
                node_name=node_name,
                cluster_ranges=tuple(text for text in cluster_cidr.split(",") if text),
                cni_conf_dir=Path(cni_conf_dir),
                ipam_data_dir=Path(ipam_data_dir),
                bridge=bridge,
                routes_only=routes_only,
            ),
        )

    run_component("network", build, serving=Serving(port=healthz_port), verbosity=verbosity)
