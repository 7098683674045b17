"""A program: one kubelet on a real containerd, told everything by a file, run until it is killed.

python -m tests.kubelet.real.kubelet_process SETTINGS.json
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
from pathlib import Path

from steersman.aio.clock import SystemClock
from steersman.client.api import Client
from steersman.client.http import HTTPTransport
from steersman.client.kubeconfig import load
from steersman.kubelet.component import Kubelet
from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.platform import machine_platform
from steersman.kubelet.runtimes.cri import CRIRuntime
from steersman.kubelet.runtimes.image_mounts import ContainerdImageMounter


async def serve(settings: dict[str, str]) -> None:
    clock = SystemClock()
    directory = Path(settings["directory"])
    config = KubeletConfig(
        node_name=settings["node_name"],
        root_dir=directory / "kubelet",
        pod_logs_dir=directory / "logs" / "pods",
        container_logs_dir=directory / "logs" / "containers",
        cgroup_root=settings["cgroup_root"],
        capacity={"cpu": "64", "memory": "64Gi"},
    )
    runtime = CRIRuntime(settings["endpoint"], clock=clock, cgroup_root=config.cgroup_root)
    kubelet = Kubelet(
        client=Client(HTTPTransport(load(settings["kubeconfig"]), clock=clock)),
        clock=clock,
        config=config,
        runtime=runtime,
        platform=machine_platform(
            config, runtime, clock=clock, image_mounter=ContainerdImageMounter(settings["endpoint"])
        ),
        rng=random.Random(),
    )
    await kubelet.run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text())))
