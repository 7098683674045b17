"""kube-proxy's rules: 10,000 Services of two endpoints, first load and one change, in a network namespace of its own (root)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time

from steersman.proxy.backends.nftables import NftablesBackend
from steersman.proxy.rules import Endpoint, Frontend, Target

SERVICES = 10_000
CHANGES = 20
NAMESPACE = "steersman-bench"


def run() -> dict[str, float]:
    if os.geteuid() != 0:
        print("bench: proxy needs root; skipped")
        return {}
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        return asyncio.run(_measure())
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


async def _measure() -> dict[str, float]:
    backend = NftablesBackend(
        cluster_ranges=["10.244.0.0/16"], enter=["nsenter", f"--net=/run/netns/{NAMESPACE}", "--"]
    )
    rules = {_frontend(number): _target(number) for number in range(SERVICES)}
    began_s = time.perf_counter()
    await backend.sync(rules)
    load_s = time.perf_counter() - began_s
    times = []
    for number in range(CHANGES):
        began_s = time.perf_counter()
        await backend.update({_frontend(number): _target(number + 1)})
        times.append(time.perf_counter() - began_s)
    times.sort()
    return {
        f"proxy/nftables_{SERVICES}_services/load_s": load_s,
        f"proxy/nftables_{SERVICES}_services/change_ms": times[len(times) // 2] * 1000,
    }


def _frontend(number: int) -> Frontend:
    return Frontend(version=4, address=f"10.96.{number // 250}.{number % 250 + 1}", protocol="tcp", port=80)


def _target(number: int) -> Target:
    return Target(
        endpoints=(
            Endpoint(f"10.244.{number % 200}.{number % 250 + 1}", 8080),
            Endpoint(f"10.244.{(number + 1) % 200}.{number % 250 + 1}", 8080),
        )
    )
