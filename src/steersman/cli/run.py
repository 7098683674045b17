"""``steersman run``: several components in one process, each with its own flags, as ``up`` composes them.

steersman run -- scheduler --kubeconfig=a.conf -- controller-manager --kubeconfig=b.conf
"""

from __future__ import annotations

import click

from steersman.cli.main import main
from steersman.cli.program import Collector, run_programs


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--v", "verbosity", type=int, default=0, help="Log level of the process.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- COMPONENT [FLAGS] [-- COMPONENT [FLAGS]]…")
@click.pass_context
def command(context: click.Context, verbosity: int, words: tuple[str, ...]) -> None:
    """Run several components in one process, separated by ``--``."""
    collector = Collector(verbosity=verbosity)
    for name, *flags in split(words):
        component = main.get_command(context, name)
        if component is None:
            raise click.UsageError(f"no component named {name!r}")
        with component.make_context(name, flags, obj=collector) as scope:
            component.invoke(scope)
        if not collector.programs or collector.programs[-1].name != name:
            raise click.UsageError(f"{name!r} is no component")
    if not collector.programs:
        raise click.UsageError("name at least one component after --")
    run_programs(collector.programs, verbosity=collector.verbosity)


def split(words: tuple[str, ...]) -> list[list[str]]:
    """The words between ``--`` and ``--``."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "--":
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]
