"""The composition: every flag that a cluster's programs are started with is one that their commands take."""

from __future__ import annotations

import itertools
from pathlib import Path

import click
import pytest

from steersman.cli.main import main
from steersman.cli.program import Collector
from steersman.cli.run import split
from steersman.cluster.configuration import ClusterConfig, Layout
from steersman.cluster.launching import ProgramSpec
from steersman.cluster.programs import programs

LAYOUT = Layout(Path("/data"), Path("/run/cluster"))
CONFIGS = {
    "one node": ClusterConfig().with_real_nodes(1, "machine"),
    "two nodes": ClusterConfig().with_real_nodes(2, "machine"),
    "simulated": ClusterConfig(simulated_nodes=5),
}


def commands(spec: ProgramSpec) -> list[list[str]]:
    """The components of a program, each with its flags."""
    words = [*itertools.dropwhile(lambda word: word != "steersman.cli", spec.argv)][1:]
    return split(tuple(words[2:])) if words[0] == "run" else [words]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_flag_is_one_that_the_command_takes(config: ClusterConfig) -> None:
    for spec in programs(config, LAYOUT):
        for name, *flags in commands(spec):
            component = main.get_command(click.Context(main), name)
            assert component is not None, name
            with component.make_context(name, flags, obj=Collector()) as context:
                given = {flag.split("=")[0] for flag in flags}
                known = {option for parameter in component.params for option in parameter.opts}
                assert given <= known
                assert not context.args


def names(config: ClusterConfig) -> dict[str, list[str]]:
    return {spec.name: [name for name, *_ in commands(spec)] for spec in programs(config, LAYOUT)}


def test_one_node_is_the_machine_itself() -> None:
    assert names(CONFIGS["one node"]) == {
        "apiserver": ["apiserver"],
        "control": ["controller-manager", "scheduler", "dns"],
        "node-machine": ["kubelet", "network", "proxy"],
    }


def test_several_nodes_have_namespaces_and_the_machine_routes_to_their_pods() -> None:
    assert names(CONFIGS["two nodes"])["control"] == ["controller-manager", "scheduler", "dns", "network"]
    node = next(spec for spec in programs(CONFIGS["two nodes"], LAYOUT) if spec.name == "node-2")
    assert node.network == "/run/netns/steersman0-node-2"


def test_the_api_server_starts_with_the_lowest_order_so_that_it_stops_last() -> None:
    orders = {spec.name: spec.order for spec in programs(CONFIGS["one node"], LAYOUT)}
    assert orders["apiserver"] < orders["control"] < orders["node-machine"]
