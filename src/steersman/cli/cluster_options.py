"""What the verbs about a local cluster share: where its data is, and how progress looks in a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from steersman.cluster.local import LocalCluster

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def default_data_dir() -> Path:
    """``/var/lib/steersman`` for root, below the home directory for others."""
    if os.geteuid() == 0:
        return Path("/var/lib/steersman")
    base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(base) / "steersman"


def data_dir_option(function: F) -> F:
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        default=default_data_dir,
        show_default="/var/lib/steersman, or ~/.local/share/steersman without root",
        help="Where the cluster keeps its data.",
    )(function)


class TerminalProgress:
    """One line a step: a dot while it lasts, a tick and its time when it is done."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()

    @contextlib.asynccontextmanager
    async def step(self, text: str) -> AsyncIterator[None]:
        began_s = time.monotonic()
        if self._is_terminal:
            click.echo(f"  · {text}", nl=False, err=True)
        try:
            yield
        except BaseException:
            self._finish("✗", text, began_s)
            raise
        self._finish("✓", text, began_s)

    def note(self, text: str) -> None:
        click.echo(f"  ! {text}", err=True)

    def _finish(self, sign: str, text: str, began_s: float) -> None:
        start = "\r" if self._is_terminal else ""
        click.echo(f"{start}  {sign} {text:<40} {time.monotonic() - began_s:5.1f} s", err=True)


def local_cluster(data_dir: Path) -> LocalCluster:
    """The cluster whose data is there."""
    from steersman.aio.clock import SystemClock
    from steersman.cluster.configuration import Layout
    from steersman.cluster.local import LocalCluster

    layout = Layout.of(data_dir.absolute(), is_root=os.geteuid() == 0)
    return LocalCluster(layout, clock=SystemClock(), progress=TerminalProgress(), environment=dict(os.environ))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a verb; what the cluster or the machine refuses becomes one clear message and exit code 1."""
    from steersman.client.transport import Unreachable
    from steersman.cluster.local import ClusterError, HostError
    from steersman.meta.errors import APIError

    try:
        return asyncio.run(work)
    except (ClusterError, HostError, Unreachable) as error:
        raise click.ClickException(str(error)) from error
    except APIError as error:
        raise click.ClickException(error.message) from error


def report(problems: list[str]) -> None:
    """Show what had to be forced."""
    for problem in problems:
        click.echo(f"  ! {problem}", err=True)
