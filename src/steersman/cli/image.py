"""``steersman image load|list``: images in the nodes, with no registry."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steersman.cli.cluster_options import data_dir_option, local_cluster, run

if TYPE_CHECKING:
    from steersman.cluster.containerd import Containerd


@click.group()
def command() -> None:
    """Load images into the nodes, or list them."""


@command.command("load")
@data_dir_option
@click.option("--node", "nodes", multiple=True, help="Only into this node; may be repeated.")
@click.option("--name", default="", help="Name for an image whose archive has none.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def load(data_dir: Path, nodes: tuple[str, ...], name: str, paths: tuple[Path, ...]) -> None:
    """Import OCI image layouts or Docker archives (files or directories)."""

    async def work() -> None:
        from steersman.aio.clock import SystemClock
        from steersman.cluster import images

        targets = _targets(data_dir, nodes)
        for path in paths:
            loaded = await asyncio.gather(
                *(images.load(target.config, path, clock=SystemClock(), name=name) for target in targets)
            )
            for image in loaded[0]:
                click.echo(f"{image} loaded into {len(targets)} node{'s' * (len(targets) != 1)}")

    run(work())


@command.command("list")
@data_dir_option
@click.option("--node", "nodes", multiple=True, help="Only of this node; may be repeated.")
def list_images(data_dir: Path, nodes: tuple[str, ...]) -> None:
    """List the images of the nodes."""

    async def work() -> None:
        from steersman.cluster import images

        seen: dict[tuple[str, str], list[str]] = {}
        targets = _targets(data_dir, nodes)
        for index, target in enumerate(targets):
            for image in await images.list_images(target.config):
                seen.setdefault((image.name, image.size), []).append(str(index))
        for (image_name, size), holders in sorted(seen.items()):
            click.echo(f"{image_name:<60} {size:>12}  {len(holders)}/{len(targets)} nodes")

    run(work())


def _targets(data_dir: Path, names: tuple[str, ...]) -> list[Containerd]:
    from steersman.aio.clock import SystemClock
    from steersman.cluster.nodes import load_targets

    cluster = local_cluster(data_dir)
    config = cluster.config()
    if config is None or not config.nodes:
        raise click.ClickException("there is no cluster with real nodes here; start one with `steersman up`")
    try:
        return load_targets(config, cluster.layout, names, clock=SystemClock())
    except KeyError as error:
        raise click.ClickException(f"no real node is called {error}") from error
