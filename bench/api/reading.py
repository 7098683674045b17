"""GET of one object; LIST in each representation, and what it does to others."""

from __future__ import annotations

import asyncio
import json
import time

from bench.api.serving import PODS, PROTOBUF, Server, creating, drain, encoded, get, many, once, pod

LISTED_PODS = 10_000
GETS = 12_000
LISTS = 5
ALL_PODS = "/api/v1/pods"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def gets(running: Server, results: dict[str, float]) -> None:
    await once(running, *creating(PODS, encoded(pod("one"))))
    for name, head in (
        ("get", get(f"{PODS}/one")),
        ("get_protobuf", get(f"{PODS}/one", accept=PROTOBUF)),
    ):
        await many(running, 8, [(head, b"")] * 1000)
        seconds, cpu_s = await many(running, 8, [(head, b"")] * GETS)
        results[f"{name}/per_second"] = GETS / seconds
        results[f"{name}/per_core_second"] = GETS / cpu_s


async def lists(running: Server, results: dict[str, float]) -> None:
    await fill(running, LISTED_PODS)
    for name, head, times in (
        ("list", get(ALL_PODS), LISTS),
        ("list_gzip", get(ALL_PODS, more="accept-encoding: gzip\r\n"), 2),
        ("list_protobuf", get(ALL_PODS, accept=PROTOBUF), LISTS),
        ("list_table", get(ALL_PODS, accept=_TABLE), 2),
    ):
        took_s = []
        for _ in range(times):
            began_s = time.perf_counter()
            size_bytes = await drain(running, head)
            took_s.append(time.perf_counter() - began_s)
        results[f"{name}/first_ms"] = took_s[0] * 1000
        results[f"{name}/ms"] = min(took_s) * 1000
        results[f"{name}/mb"] = size_bytes / 1e6
    results["list/ten_at_once_get_stall_ms"] = await _stall(running) * 1000
    results["list/resident_mb_after"] = running.resident_mb()


async def fill(running: Server, count: int) -> None:
    """Create pods until there are ``count``."""
    first = json.loads(await once(running, get(f"{ALL_PODS}?limit=1")))
    have = len(first["items"]) + first["metadata"].get("remainingItemCount", 0)
    bodies = [encoded(pod(f"fill-{number}")) for number in range(max(count - have, 0))]
    await many(running, 32, [creating(PODS, body) for body in bodies])


async def _stall(running: Server) -> float:
    """The slowest GET while ten lists are sent."""
    single = await running.connect()
    work = [asyncio.ensure_future(drain(running, get(ALL_PODS))) for _ in range(10)]
    slowest_s = 0.0
    while not all(task.done() for task in work):
        began_s = time.perf_counter()
        await single.request(get(f"{PODS}/one"))
        slowest_s = max(slowest_s, time.perf_counter() - began_s)
    single.close()
    await asyncio.gather(*work)
    return slowest_s
