"""A real containerd for a test: private, in directories of its own, with a bridge of its own, gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steersman.aio.clock import SystemClock
from steersman.cluster import cgroups, images, pause
from steersman.cluster.containerd import Containerd, ContainerdConfig
from steersman.cluster.machines import run
from steersman.cluster.oci import ImageBuild, ImageConfig, Layout
from steersman.cluster.rootfs import architecture, base, busybox

BUSYBOX = "localhost/steersman-test/busybox:1"


def missing() -> str:
    """Why this machine cannot run real containers; empty when it can."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [name for name in ("containerd", "runc", "ctr", "busybox") if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def busybox_layout() -> Layout:
    layout = Layout()
    config = ImageConfig(architecture=architecture(), command=("sh",))
    layout.add(ImageBuild(names=(BUSYBOX,), platforms=((config, ([*base(), *busybox()],)),)))
    return layout


@contextmanager
def private_containerd(directory: Path, *, number: int = 0, enter: tuple[str, ...] = ()) -> Iterator[Containerd]:
    """A running containerd with the pause image and ``BUSYBOX``; ``number`` tells those of one process apart, ``enter``
    puts it on another machine's network (``nsenter --net=…``)."""
    name = f"st{os.getpid()}-{number}"[:15]
    state = Path("/run") / f"steersman-test-{os.getpid()}-{number}"
    config = ContainerdConfig(
        root=directory / "containerd",
        state=state,
        socket=state / "containerd.sock",
        cni_conf_dir=directory / "cni",
        log=directory / "containerd.log",
        enter=enter,
    )
    _write_network(config.cni_conf_dir, directory, name, number)
    instance = Containerd(config, clock=SystemClock())
    try:
        asyncio.run(_start(instance))
        yield instance
    finally:
        problems = asyncio.run(instance.reset())
        with contextlib.suppress(RuntimeError):
            run("ip", "link", "delete", name)
        cgroups.remove(cgroup_parent(instance))
    assert not problems, problems


def cgroup_parent(instance: Containerd) -> str:
    """Where a test's sandboxes go, so that nothing of them is left."""
    return f"/{instance.config.state.name}"


async def _start(instance: Containerd) -> None:
    await instance.start()
    clock = SystemClock()
    await images.load_layout(instance.config, pause.image(), clock=clock, pinned=True)
    await images.load_layout(instance.config, busybox_layout(), clock=clock)


def _write_network(conf_dir: Path, directory: Path, bridge: str, number: int) -> None:
    subnet = f"10.{200 + number % 50}.{os.getpid() % 250}.0/24"
    conf_dir.mkdir(parents=True, exist_ok=True)
    plugin = {
        "type": "bridge",
        "bridge": bridge,
        "isGateway": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(directory / "ipam"),
            "ranges": [[{"subnet": subnet}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    network = {"cniVersion": "1.0.0", "name": bridge, "plugins": [plugin]}
    (conf_dir / "10-test.conflist").write_text(json.dumps(network))
