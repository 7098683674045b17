"""``steersman version``."""

from __future__ import annotations

import click

from steersman import KUBERNETES_VERSION


@click.command()
def command() -> None:
    """Print which Kubernetes this is."""
    click.echo(f"Steersman 0.1.0, Kubernetes {KUBERNETES_VERSION}")
