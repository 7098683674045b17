"""What creating, reading and memory cost as objects grow from a thousand to a hundred thousand."""

from __future__ import annotations

import time

from bench.api.serving import PODS, Server, creating, drain, encoded, get, many, small_pod

SIZES = (1_000, 10_000, 100_000)
MEASURED = 900
"""Creates that are measured at each size."""


async def growth(running: Server, results: dict[str, float]) -> None:
    """Small pods in a store of their own."""
    empty_mb, have = running.resident_mb(), 0
    for size in SIZES:
        for count in (size - have - MEASURED, MEASURED):
            bodies = [encoded(small_pod(f"p{have + number}")) for number in range(count)]
            _, cpu_s = await many(running, 32, [creating(PODS, body) for body in bodies])
            have += count
        name = f"growth_{size // 1000}k"
        results[f"{name}/create_cpu_us"] = cpu_s / MEASURED * 1e6
        results[f"{name}/list_us_per_pod"] = await _list_s(running, "/api/v1/pods") / size * 1e6
        results[f"{name}/list_page_of_500_ms"] = await _list_s(running, "/api/v1/pods?limit=500") * 1000
        single = [(get(f"{PODS}/p{number}"), b"") for number in range(0, size, size // MEASURED)]
        _, cpu_s = await many(running, 8, single)
        results[f"{name}/get_cpu_us"] = cpu_s / len(single) * 1e6
        results[f"{name}/resident_kb_per_pod"] = (running.resident_mb() - empty_mb) / size * 1000
    results["growth/create_cost_100k_to_1k"] = results["growth_100k/create_cpu_us"] / results["growth_1k/create_cpu_us"]


async def _list_s(running: Server, path: str) -> float:
    """The better of two."""
    times = []
    for _ in range(2):
        began_s = time.perf_counter()
        await drain(running, get(path))
        times.append(time.perf_counter() - began_s)
    return min(times)
