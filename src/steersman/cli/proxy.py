"""``steersman proxy``: a node's service proxy, with kube-proxy's flags."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from steersman.cli.program import Environment, Serving, run_component

if TYPE_CHECKING:
    from steersman.proxy.component import Proxy


@click.command()
@click.option("--kubeconfig", default="", help="How to reach the API server; without it, as a pod does.")
@click.option("--master", default="", help="Address of the API server, in place of the kubeconfig's.")
@click.option("--hostname-override", "node_name", default="", help="Name of this node.")
@click.option("--cluster-cidr", default="", help="Range(s) of all pods: clients outside of them are masqueraded.")
@click.option("--proxy-mode", default="nftables", help="How rules are applied: nftables.")
@click.option("--healthz-bind-address", default="127.0.0.1:10256", help="Where /healthz answers; empty: nowhere.")
@click.option("--sync-period-s", default=3600.0, help="How often all rules are written anew, in seconds.")
@click.option("--min-sync-period-s", default=0.05, help="Changes within this time are applied together, in seconds.")
@click.option("--cleanup", is_flag=True, help="Remove this proxy's rules, and exit.")
@click.option("--v", "verbosity", default=0, help="Log level.")
def command(
    kubeconfig: str,
    master: str,
    node_name: str,
    cluster_cidr: str,
    proxy_mode: str,
    healthz_bind_address: str,
    sync_period_s: float,
    min_sync_period_s: float,
    cleanup: bool,
    verbosity: int,
) -> None:
    """Run a node's service proxy: ClusterIPs, node ports, external addresses."""
    from steersman.proxy.backends import REGISTRY

    row = REGISTRY.get(proxy_mode)
    if row is None:
        raise click.UsageError(f"--proxy-mode={proxy_mode} is not supported; choose of: {', '.join(REGISTRY)}")
    backend = getattr(importlib.import_module(row[0]), row[1])
    ranges = tuple(text for text in cluster_cidr.split(",") if text)
    if cleanup:
        import asyncio

        asyncio.run(backend().remove())
        return
    if not node_name:
        import socket

        node_name = socket.gethostname().lower()

    async def build(environment: Environment) -> Proxy:
        from steersman.proxy.component import Proxy, ProxyConfig

        return Proxy(
            client=environment.client(kubeconfig, master=master, user_agent="kube-proxy"),
            clock=environment.clock,
            config=ProxyConfig(node_name=node_name, min_sync_period_s=min_sync_period_s, sync_period_s=sync_period_s),
            backend=backend(cluster_ranges=ranges),
            registry=environment.registry,
        )

    host, _, port = healthz_bind_address.rpartition(":")
    serving = Serving(bind_address=host or "127.0.0.1", port=int(port or 0)) if healthz_bind_address else Serving()
    run_component("proxy", build, serving=serving, verbosity=verbosity)
