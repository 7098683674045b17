"""``steersman simulate``: schedule a scenario without a cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command("simulate", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("scenario", type=click.Path(exists=True, dir_okay=False))
@click.option("--seed", type=int, default=None, help="Instead of the scenario's.")
@click.option("--placements", "placements_file", default="-", show_default=True, help="Where to write POD NODE lines.")
@click.option("--picture", "picture_file", default="", help="Where to write a picture of the nodes' utilisation (SVG).")
@click.option("--plugin-file", "plugin_files", multiple=True, help="A Python file with plugins for the configuration.")
def command(
    *, scenario: str, seed: int | None, placements_file: str, picture_file: str, plugin_files: tuple[str, ...]
) -> None:
    """Replay the nodes and pods of SCENARIO (YAML) through the scheduler.

    Pods that found no node are reported on standard error, and the exit code is then 3.
    """
    import yaml

    from steersman.scheduler.component import DEFAULT_PLUGINS
    from steersman.scheduler.configuration import ConfigurationError
    from steersman.scheduler.external import from_entry_points, from_file
    from steersman.scheduler.simulation import ScenarioError, simulate
    from steersman.scheduler.utilization_picture import picture

    if picture_file and not picture_file.endswith(".svg"):
        raise click.UsageError(f"--picture: {picture_file}: pictures are SVG; name it .svg")
    try:
        document = yaml.safe_load(Path(scenario).read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise click.UsageError(f"{scenario}: not a scenario")
        outside = [*from_entry_points(), *(spec for path in plugin_files for spec in from_file(path))]
        plugins = [*DEFAULT_PLUGINS, *outside]
        result = simulate({**document, **({} if seed is None else {"seed": seed})}, plugins)
    except (yaml.YAMLError, ScenarioError, ConfigurationError) as error:
        raise click.UsageError(f"{scenario}: {error}") from error
    lines = "".join(f"{pod} {node}\n" for pod, node in sorted(result.placements.items()))
    if placements_file == "-":
        click.echo(lines, nl=False)
    else:
        Path(placements_file).write_text(lines, encoding="utf-8")
    if picture_file:
        Path(picture_file).write_text(picture(result.nodes, Path(scenario).name), encoding="utf-8")
    for pod in result.preempted:
        click.echo(f"preempted {pod}", err=True)
    for pod, why in sorted(result.pending.items()):
        click.echo(f"pending {pod}: {why}", err=True)
    sys.exit(3 if result.pending else 0)
