"""What a containerd that was killed has forgotten is ended, and nothing that it knows."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from steersman.aio.clock import SystemClock
from steersman.cluster import processes
from steersman.cluster.containerd_remains import NAMESPACE, Remains


class Instance:
    """Shims that are no more than processes with a shim's arguments, and a runc that only removes folders."""

    def __init__(self, root: Path) -> None:
        self.tasks = root / "io.containerd.runtime.v2.task" / NAMESPACE
        self.runc_root = root / "runc" / NAMESPACE
        self.socket = root / "c.sock"
        runc = root / "runc.sh"
        runc.write_text('#!/bin/sh\nrm -r "$2/$5"\n')
        runc.chmod(0o755)
        self.remains = Remains(root, self.socket, str(runc), clock=SystemClock())
        self.shims: dict[str, asyncio.subprocess.Process] = {}

    async def add(self, name: str, *, shim: bool) -> None:
        for folder in (self.tasks / name / "rootfs", self.runc_root / name):
            folder.mkdir(parents=True)
        if shim:
            self.shims[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "import time; time.sleep(1000)", "-id", name, "-address", str(self.socket)
            )
            pid = self.shims[name].pid
            async with asyncio.timeout(10):
                while "-id" not in processes.words(pid):  # noqa: ASYNC110  until it has become that program
                    await asyncio.sleep(0.01)

    def there(self) -> tuple[list[str], list[str]]:
        return sorted(path.name for path in self.tasks.iterdir()), sorted(
            path.name for path in self.runc_root.iterdir()
        )

    async def close(self) -> None:
        for process in self.shims.values():
            if process.returncode is None:
                process.kill()
            await process.wait()


async def test_what_is_not_in_the_books_is_ended(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    try:
        for name, shim in (("known", True), ("app", False), ("forgotten", True), ("beside", False)):
            await instance.add(name, shim=shim)

        async def books() -> list[str]:
            return ["known", "app", "not-started-yet"]

        assert await instance.remains.remove_forgotten(books) == ["beside", "forgotten"]
        assert instance.there() == (["app", "known"], ["app", "known"])
        assert await instance.shims["forgotten"].wait() != 0
        assert instance.shims["known"].returncode is None
        assert await instance.remains.remove_forgotten(books) == []
    finally:
        await instance.close()


async def test_bundles_that_were_being_removed_are_removed(tmp_path: Path) -> None:
    async def books() -> list[str]:
        return ["app"]

    instance = Instance(tmp_path)
    for remove in (instance.remains.remove_unknown, lambda: instance.remains.remove_forgotten(books)):
        (instance.tasks / ".gone" / "rootfs").mkdir(parents=True)
        (instance.tasks / "app" / "rootfs").mkdir(parents=True, exist_ok=True)
        await remove()
        assert [path.name for path in instance.tasks.iterdir()] == ["app"]


async def test_books_are_not_asked_for_where_nothing_runs(tmp_path: Path) -> None:
    async def books() -> list[str]:
        raise AssertionError("nobody should ask")

    assert await Instance(tmp_path).remains.remove_forgotten(books) == []
