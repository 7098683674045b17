"""``steersman simulated-nodes``: nodes without containers, any number of them in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from steersman.cli.program import Environment, Serving, run_component

if TYPE_CHECKING:
    from steersman.kubelet.fleet import SimulatedFleet


@click.command()
@click.option("--kubeconfig", default="", help="How to reach the API server.")
@click.option("--count", type=click.IntRange(min=0), default=1, help="How many nodes.")
@click.option("--name-prefix", default="simulated-", help="What their names begin with; a number follows.")
@click.option("--node-labels", default="", help="Labels beside type=simulated: key=value,…")
@click.option("--tainted/--untainted", default=True, help="Keep pods off that do not tolerate simulated=true.")
@click.option("--cpu", default="32", help="Each node's CPUs.")
@click.option("--memory", default="256Gi", help="Each node's memory.")
@click.option("--max-pods", default=110, help="How many pods each node takes.")
@click.option("--behaviour", default="", help='What containers do by default, as JSON: {"startSeconds": [1, 3]}')
@click.option("--healthz-port", default=0, help="Port of /healthz and /readyz on 127.0.0.1; 0: none.")
@click.option("--v", "verbosity", type=int, default=0, help="Log level.")
def command(
    kubeconfig: str,
    count: int,
    name_prefix: str,
    node_labels: str,
    tainted: bool,
    cpu: str,
    memory: str,
    max_pods: int,
    behaviour: str,
    healthz_port: int,
    verbosity: int,
) -> None:
    """Run simulated nodes: pods on them walk through their stages as real ones do, without containers."""
    import msgspec

    from steersman.kubelet.runtimes.behaviour import Behaviour, BehaviourError, parse_behaviour

    try:
        default = parse_behaviour(msgspec.json.decode(behaviour or "{}"), Behaviour())
    except (msgspec.DecodeError, BehaviourError, AttributeError) as error:
        raise click.UsageError(f"--behaviour: {error}") from error
    labels = {}
    for entry in filter(None, node_labels.split(",")):
        key, equals, value = entry.partition("=")
        if not equals:
            raise click.UsageError(f"--node-labels: {entry!r} is not key=value")
        labels[key] = value

    async def build(environment: Environment) -> SimulatedFleet:
        from steersman.kubelet.fleet import FleetConfig, SimulatedFleet

        fleet = SimulatedFleet(
            client=environment.client(kubeconfig, user_agent="kubelet"),
            clock=environment.clock,
            config=FleetConfig(
                name_prefix=name_prefix,
                labels=labels,
                tainted=tainted,
                capacity={"cpu": cpu, "memory": memory},
                max_pods=max_pods,
                behaviour=default,
            ),
            rng=environment.rng,
        )
        fleet.add(count)
        return fleet

    run_component("simulated-nodes", build, serving=Serving(port=healthz_port), verbosity=verbosity)
