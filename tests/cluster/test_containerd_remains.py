"""What is left of a containerd when it has ended."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steersman.aio.clock import SystemClock
from steersman.cluster.containerd_remains import Remains


@contextmanager
def shim(socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like one and ends with its input."""
    argv = ["sh", "-c", "read line", "shim", "-id", "sandbox", "-address", str(socket)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def remains(directory: Path) -> Remains:
    return Remains(directory / "state", directory / "socket", "runc", clock=SystemClock())


async def test_a_shim_that_is_about_to_end_is_waited_for(tmp_path: Path) -> None:
    with shim(tmp_path / "socket") as process:
        removing = asyncio.create_task(remains(tmp_path).remove_all())
        await asyncio.sleep(0)
        assert process.stdin is not None
        process.stdin.close()
        assert await removing == []


async def test_a_shim_with_a_container_is_a_problem_at_once(tmp_path: Path) -> None:
    (tmp_path / "state/runc/k8s.io/container").mkdir(parents=True)
    with shim(tmp_path / "socket") as process:
        left = Remains(tmp_path / "state", tmp_path / "socket", "true", clock=SystemClock())
        assert await left.remove_all() == ["container container was still there", f"shim {process.pid} was still there"]
        assert process.wait() == -9
