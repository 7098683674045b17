"""``steersman``: finds the command and imports only its module, so that each starts as fast as it can."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

REGISTRY: Mapping[str, tuple[str, str]] = {
    "up": ("up", "Start a cluster on this machine, or bring it back"),
    "status": ("status", "Show what runs and how it is"),
    "down": ("down", "Stop the cluster; objects and images stay"),
    "reset": ("reset", "Stop the cluster and remove everything it ever made"),
    "logs": ("logs", "Show what a component has logged"),
    "kubeconfig": ("kubeconfig", "Print a kubeconfig for the cluster"),
    "image": ("image", "Load images into the nodes, or list them"),
    "nodes": ("nodes", "Add nodes to the cluster, or remove them"),
    "apiserver": ("apiserver", "Run the API server"),
    "scheduler": ("scheduler", "Run the scheduler"),
    "controller-manager": ("controller_manager", "Run the controllers"),
    "kubelet": ("kubelet", "Run a node's agent"),
    "simulated-nodes": ("simulated_nodes", "Run any number of nodes without containers"),
    "proxy": ("proxy", "Run a node's service proxy"),
    "dns": ("dns", "Run the cluster's DNS server"),
    "network": ("network", "Run a node's pod network agent"),
    "run": ("run", "Run several components in one process"),
    "simulate": ("simulate", "Schedule a scenario without a cluster"),
    "supervise": ("supervise", ""),
    "version": ("version", "Print which Kubernetes this is"),
}
"""Command -> (module of this package with a click command named ``command``, one line of help)."""


class Commands(click.Group):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(REGISTRY)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = REGISTRY.get(cmd_name)
        if row is None:
            return None
        command: click.Command = importlib.import_module(f"steersman.cli.{row[0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in REGISTRY.items() if text])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Kubernetes v1.36 in Python: a whole cluster on this machine, or any of its components."""
