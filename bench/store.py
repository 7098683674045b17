"""The store and its watch cache: durable writes, fan-out of watches, large lists.

Budgets (docs/architecture.md): 2,000 durable creates a second, 50,000 deliveries a second to 1,000 watchers, 10,000 pods
joined in 50 ms.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from steersman.aio.clock import SystemClock
from steersman.meta.objects import Object
from steersman.store.api import Put, Store
from steersman.store.drivers.memory import MemoryStore
from steersman.store.drivers.sqlite import SQLiteStore
from steersman.store.objects import ObjectStore
from steersman.store.subscriptions import Subscription

POD_BYTES = 3700
"""A running pod of upstream's, with managed fields."""
PODS = "/registry/pods/"


def pod(name: str) -> Object:
    padding = {f"f{i}": {"value": "x" * 60} for i in range((POD_BYTES - 300) // 82)}
    metadata = {"name": name, "namespace": "default", "labels": {"app": "bench", "n": name}}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {"nodeName": "n"}, "status": padding}


@asynccontextmanager
async def sqlite() -> AsyncIterator[Store]:
    with tempfile.TemporaryDirectory(prefix="steersman-bench-", dir=".") as folder:
        store = SQLiteStore(Path(folder) / "store.db", SystemClock())
        await store.start()
        yield store
        await store.close()


@asynccontextmanager
async def objects_on(store: Store) -> AsyncIterator[ObjectStore]:
    objects = ObjectStore(store, clock=SystemClock())
    await objects.start()
    yield objects
    await objects.close()


async def rate(writers: int, total: int, write: Callable[[str], Awaitable[object]]) -> float:
    """Writes a second with ``writers`` of them at once."""

    async def run(writer: int) -> None:
        for count in range(total // writers):
            await write(f"{writers}-{writer}-{count}")

    began_s = time.perf_counter()
    await asyncio.gather(*(run(writer) for writer in range(writers)))
    return total / (time.perf_counter() - began_s)


async def puts() -> dict[str, float]:
    value = b"x" * POD_BYTES
    results = {}
    async with sqlite() as store:

        async def put(name: str) -> None:
            await store.transact([], [Put(key="/bench/" + name, value=value)])

        results["store/put_1_writer/per_s"] = await rate(1, 2000, put)
        results["store/put_64_writers/per_s"] = await rate(64, 20_032, put)
    return results


async def puts_beside_busy_loop(writes: int = 200) -> dict[str, float]:
    """One writer; the loop has always something else to do, ``step_s`` at a time, as a server under load has.

    ``waiting_cpu_us`` is what a write costs on other threads than the loop's, most of it for waiting."""
    results: dict[str, float] = {}

    async def busy(step_s: float) -> None:
        while True:
            end_s = time.perf_counter() + step_s
            while time.perf_counter() < end_s:
                pass
            await asyncio.sleep(0)

    async with sqlite() as store:
        for step_s in (0.00005, 0.0002, 0.001):
            other = asyncio.create_task(busy(step_s))
            waited_s = []
            began_cpu_s = time.process_time() - time.thread_time()
            for number in range(writes):
                began_s = time.perf_counter()
                await store.transact([], [Put(key=f"/bench/{number}", value=b"x" * POD_BYTES)])
                waited_s.append(time.perf_counter() - began_s)
            other.cancel()
            cpu_s = time.process_time() - time.thread_time() - began_cpu_s
            p99_s = statistics.quantiles(waited_s, n=100)[-1]
            row = f"store/put_beside_busy_loop_{step_s * 1e6:.0f}us"
            results |= {f"{row}/p99_ms": p99_s * 1000, f"{row}/waiting_cpu_us": cpu_s / writes * 1e6}
    return results


async def creates() -> dict[str, float]:
    results = {}
    async with sqlite() as store, objects_on(store) as objects:

        async def create(name: str) -> None:
            await objects.create(f"{PODS}default/{name}", pod(name))

        results["store/create_pod_1_writer/per_s"] = await rate(1, 2000, create)
        results["store/create_pod_64_writers/per_s"] = await rate(64, 20_032, create)
    return results


async def fan_out(watchers: int = 1000, events: int = 200) -> dict[str, float]:
    store = MemoryStore(SystemClock())
    await store.start()
    async with objects_on(store) as objects:

        async def read(subscription: Subscription) -> None:
            seen = 0
            while seen < events:
                seen += len(await anext(subscription))

        readers = [asyncio.ensure_future(read(objects.watch(PODS, start_revision=None))) for _ in range(watchers)]
        await asyncio.sleep(0)
        pods = [pod(str(i)) for i in range(events)]
        began_s = time.perf_counter()
        for i, obj in enumerate(pods):
            await objects.create(f"{PODS}default/{i}", obj)
            await asyncio.sleep(0)
        await asyncio.gather(*readers)
        elapsed_s = time.perf_counter() - began_s
    await store.close()
    return {"store/watch_1000_watchers/deliveries_per_s": watchers * events / elapsed_s}


async def lists(count: int = 10_000) -> dict[str, float]:
    results = {}
    async with sqlite() as store:
        async with objects_on(store) as objects:
            await asyncio.gather(*(objects.create(f"{PODS}default/{i:05}", pod(str(i))) for i in range(count)))
            results["store/list_10k/ms"] = await _milliseconds(lambda: objects.list(PODS))
            results["store/list_10k_joined/ms"] = await _milliseconds(lambda: _join(objects))
            past = objects.revision
            for i in range(100):
                stored = objects.cached(f"{PODS}default/{i:05}")
                assert stored is not None
                await objects.update(stored.key, {**stored.obj, "x": i}, expected_revision=stored.revision)
            results["store/list_10k_past_in_window/ms"] = await _milliseconds(lambda: objects.list(PODS, revision=past))
            objects._cache.window.reset(objects.revision)
            results["store/list_10k_past_from_store/ms"] = await _milliseconds(
                lambda: objects.list(PODS, revision=past)
            )
        tracemalloc.start()
        async with objects_on(store) as objects:
            size_bytes, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            results["store/start_10k_cached/bytes_per_pod"] = size_bytes / count
            results["store/labels_of_10k/ms"] = await _milliseconds(lambda: _select(objects))
        results["store/start_10k/ms"] = await _milliseconds(lambda: _open(store))
    return results


async def _join(objects: ObjectStore) -> bytes:
    return b",".join([stored.json for stored in (await objects.list(PODS)).items])


async def _select(objects: ObjectStore) -> list[bytes]:
    return [stored.json for stored in (await objects.list(PODS)).items if stored.labels.get("app") == "bench"]


async def _open(store: Store) -> None:
    async with objects_on(store):
        pass


async def _milliseconds(work: Callable[[], Awaitable[object]]) -> float:
    """The best of three: the first join of a list pays for the memory that the process has not had before."""
    elapsed_s = []
    for _ in range(3):
        began_s = time.perf_counter()
        await work()
        elapsed_s.append(time.perf_counter() - began_s)
    return min(elapsed_s) * 1000


async def _run() -> dict[str, float]:
    return {**await puts(), **await puts_beside_busy_loop(), **await creates(), **await fan_out(), **await lists()}


def run() -> dict[str, float]:
    return asyncio.run(_run())


if __name__ == "__main__":
    for name, number in run().items():
        print(f"{name:50} {number:12,.1f}")
