"""A real node of this machine: its network namespace, its containerd, its images; and their removal."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from steersman.aio.clock import Clock
from steersman.cluster import cgroups, images, machines, mounts, pause
from steersman.cluster.configuration import ClusterConfig, Layout, NodeConfig
from steersman.cluster.containerd import Containerd, ContainerdConfig

REQUIRED_PROGRAMS = ("containerd", "runc", "nft", "ip", "nsenter")
CNI_CONFIG = "cni"
KUBELET_ROOT = "kubelet"
CGROUP_ROOT = "steersman"


def missing_programs() -> list[str]:
    """What this machine lacks to have real nodes."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return [name for name in REQUIRED_PROGRAMS if shutil.which(name) is None and shutil.which(name, path=path) is None]


def cgroup_root(config: ClusterConfig, node: NodeConfig) -> str:
    """The control group below which all pods of the node are: several nodes share one machine's hierarchy."""
    return f"/{CGROUP_ROOT}-{config.bridge}/{node.name}"


def containerd_of(config: ClusterConfig, layout: Layout, node: NodeConfig, *, clock: Clock) -> Containerd:
    """The node's containerd, running or not."""
    directory, run = layout.node(node.name), layout.node_run(node.name)
    return Containerd(
        ContainerdConfig(
            root=directory / "containerd",
            state=run / "containerd",
            socket=layout.containerd_socket(node.name),
            cni_conf_dir=directory / CNI_CONFIG,
            log=layout.logs / f"containerd-{node.name}.log",
            enter=machines.enter(config, node),
        ),
        clock=clock,
    )


async def ensure_node(config: ClusterConfig, layout: Layout, node: NodeConfig, *, clock: Clock) -> None:
    """Have the node's containerd running with the pause image in it. Raises ``HostError``."""
    directory = layout.node(node.name)
    mounts.make_shared(directory / KUBELET_ROOT)
    instance = containerd_of(config, layout, node, clock=clock)
    await instance.start()
    marker = directory / "pause-image"
    if not marker.exists() or marker.read_text() != pause.IMAGE:
        await images.load_layout(instance.config, pause.image(), clock=clock, pinned=True)
        marker.write_text(pause.IMAGE)


async def stop_node(config: ClusterConfig, layout: Layout, node: NodeConfig, *, clock: Clock) -> list[str]:
    """End the node's pods and containerd; its images and volumes' data stay. The answer lists what went wrong."""
    problems = await containerd_of(config, layout, node, clock=clock).stop_pods()
    mounts.unmount_below(layout.node(node.name) / KUBELET_ROOT)
    cgroups.remove(cgroup_root(config, node))
    return problems


async def remove_node(config: ClusterConfig, layout: Layout, node: NodeConfig, *, clock: Clock) -> list[str]:
    """Remove the node and everything it had on this machine. The answer lists what had to be forced."""
    problems = await containerd_of(config, layout, node, clock=clock).reset()
    directory = layout.node(node.name)
    mounts.unmount_below(directory)
    for place in (directory, layout.node_run(node.name)):
        if place.exists():
            await asyncio.to_thread(shutil.rmtree, place)
    cgroups.remove(cgroup_root(config, node))
    machines.remove_machine(config, node)
    return problems


def load_targets(config: ClusterConfig, layout: Layout, names: Sequence[str], *, clock: Clock) -> list[Containerd]:
    """The containerds of the nodes named, of all where none is. Raises ``KeyError`` for a name that is no node's."""
    wanted = []
    for name in names:
        node = config.node(name)
        if node is None:
            raise KeyError(name)
        wanted.append(node)
    return [containerd_of(config, layout, node, clock=clock) for node in wanted or config.nodes]


def remove_empty(directory: Path) -> None:
    """Remove ``directory`` if nothing is left in it."""
    with contextlib.suppress(OSError):
        directory.rmdir()
