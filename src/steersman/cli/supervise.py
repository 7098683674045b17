"""``steersman supervise``: the process behind ``up``. Not for people, but harmless: it runs what the cluster's file says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import click

SHARED = (
    "aiohttp.web",
    "cryptography.hazmat.primitives.asymmetric.padding",
    "cryptography.hazmat.primitives.serialization",
    "cryptography.x509",
    "importlib.metadata",
    "joserfc.jwt",
    "prometheus_client",
    "uvloop",
    "yaml",
    "zoneinfo",
    "steersman.aio.broadcast",
    "steersman.cli.health",
    "steersman.cli.program",
    "steersman.cli.run",
    "steersman.client.api",
    "steersman.client.events",
    "steersman.client.http",
    "steersman.client.informer",
    "steersman.client.kubeconfig",
    "steersman.cluster.nodes",
    "steersman.cluster.programs",
    "steersman.cluster.supervisor",
    "steersman.meta.podtotals",
    "steersman.meta.quotas",
    "steersman.meta.resources",
    "steersman.meta.selectors",
    "steersman.network.component",
)
"""What more than one process of the cluster imports, without what starts threads when imported (numpy, grpc)."""
FORGOTTEN_AFTER_S = 60.0
"""After a containerd was started again: by then its pods have been stopped or taken over."""
FORGOTTEN_EVERY_S = 300.0
"""Besides, as its clients may be killed too."""


@click.command(hidden=True)
@click.option("--data-dir", required=True, type=click.Path(path_type=Path))
def command(data_dir: Path) -> None:
    """Keep the programs of a local cluster running until SIGTERM; read its configuration again on SIGHUP."""
    from steersman.cluster import zygote
    from steersman.cluster.configuration import Layout
    from steersman.cluster.launching import steersman

    title = " ".join((*steersman(), "zygote", f"--data-dir={data_dir}"))
    pid, connection = zygote.spawn(title, SHARED, _become)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    asyncio.run(_run(Layout.of(data_dir, is_root=os.geteuid() == 0), connection))
    os.waitpid(pid, 0)


def _become(words: Sequence[str]) -> None:
    from steersman.cli.main import main

    main([*words], prog_name="steersman")


async def _run(layout: object, connection: socket.socket) -> None:
    from steersman.aio.clock import SystemClock
    from steersman.cluster import configuration, nodes
    from steersman.cluster.configuration import Layout
    from steersman.cluster.containerd import ContainerdError
    from steersman.cluster.launching import ExecLauncher, ProgramSpec
    from steersman.cluster.programs import programs
    from steersman.cluster.supervisor import Supervisor
    from steersman.cluster.zygote import ForkLauncher

    assert isinstance(layout, Layout)
    clock = SystemClock()

    def read_programs() -> list[ProgramSpec]:
        config = configuration.load(layout)
        return programs(config, layout) if config is not None else []

    async def keep_containerd() -> None:
        """containerd is nobody's child, so it is looked after by looking."""
        look_at_s: dict[str, float] = {}
        while True:
            await clock.sleep(2.0)
            config = configuration.load(layout)
            if config is None:
                continue
            for node in config.nodes:
                instance = nodes.containerd_of(config, layout, node, clock=clock)
                now_s = clock.monotonic()
                if layout.containerd_socket(node.name).exists() and not instance.pid():
                    logging.error("containerd of %s ended; starting it again", node.name)
                    look_at_s[node.name] = now_s + FORGOTTEN_AFTER_S
                    try:
                        await instance.start()
                    except ContainerdError as error:
                        logging.error("%s", error)
                elif now_s >= look_at_s.setdefault(node.name, now_s + FORGOTTEN_EVERY_S):
                    look_at_s[node.name] = now_s + FORGOTTEN_EVERY_S
                    with contextlib.suppress(ContainerdError):  # it ended again: then there is a next time
                        await instance.remove_forgotten()

    launcher = ForkLauncher(connection, otherwise=ExecLauncher())
    supervisor = Supervisor(read_programs, launcher=launcher, state_file=layout.state, clock=clock)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    loop.add_signal_handler(signal.SIGHUP, supervisor.reload)
    keeping = asyncio.ensure_future(keep_containerd())
    try:
        await supervisor.run()
    finally:
        keeping.cancel()
        launcher.close()
