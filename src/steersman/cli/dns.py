"""``steersman dns``: the cluster's DNS server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from steersman.cli.program import Environment, Serving, run_component

if TYPE_CHECKING:
    from steersman.dns.component import DNS


@click.command()
@click.option("--kubeconfig", default="", help="How to reach the API server; without it, as a pod does.")
@click.option("--cluster-domain", default="cluster.local", help="The zone that Services and pods are in.")
@click.option("--bind-address", default="127.0.0.1", help="Address to answer on.")
@click.option("--port", default=1053, help="Port to answer on, UDP and TCP.")
@click.option("--resolv-conf", default="/etc/resolv.conf", help="Whose name servers are asked for all other names.")
@click.option("--healthz-port", default=0, help="Port of /healthz, /readyz and /metrics on 127.0.0.1; 0: none.")
@click.option("--v", "verbosity", default=0, help="Log level.")
def command(
    kubeconfig: str,
    cluster_domain: str,
    bind_address: str,
    port: int,
    resolv_conf: str,
    healthz_port: int,
    verbosity: int,
) -> None:
    """Run the cluster's DNS server: names of Services and pods, everything else forwarded."""
    try:
        resolvers = Path(resolv_conf).read_text()
    except OSError as error:
        raise click.UsageError(f"--resolv-conf={resolv_conf}: {error.strerror}") from error

    async def build(environment: Environment) -> DNS:
        from steersman.dns.component import DNS, DNSConfig
        from steersman.dns.forward import resolvers_of

        upstreams = resolvers_of(resolvers)
        own = (bind_address, port)
        return DNS(
            client=environment.client(kubeconfig, user_agent="steersman-dns"),
            clock=environment.clock,
            config=DNSConfig(
                domain=cluster_domain,
                bind_address=bind_address,
                port=port,
                upstreams=tuple(server for server in upstreams if server != own),
            ),
            rng=environment.rng,
            registry=environment.registry,
        )

    run_component("dns", build, serving=Serving(port=healthz_port), verbosity=verbosity)
