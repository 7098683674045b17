"""Creates, updates, every type of patch, server-side apply; and how soon a new CustomResourceDefinition is served."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from bench.api.serving import JSON, PODS, PROTOBUF, Server, creating, encoded, get, many, once, pod, sending

CREATES = 4_000
WRITES = 1_000
WRITERS = 32
CRDS = 5
_PATCHES = {
    "patch_strategic": "application/strategic-merge-patch+json",
    "patch_merge": "application/merge-patch+json",
    "patch_json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


async def creates(running: Server, results: dict[str, float]) -> None:
    from steersman.schema.protobuf.envelope import encode_object

    async def measured(name: str, count: int, body: Callable[[str], bytes], content_type: str) -> None:
        def requests(prefix: str, number: int) -> list[tuple[bytes, bytes]]:
            bodies = [body(f"{name}-{prefix}-{index}") for index in range(number)]
            return [sending("POST", PODS, made, content_type=content_type, accept=content_type) for made in bodies]

        await many(running, WRITERS, requests("warm", 500))
        seconds, cpu_s = await many(running, WRITERS, requests("pod", count))
        results[f"create/{name}_per_second"] = count / seconds
        results[f"create/{name}_per_core_second"] = count / cpu_s

    await measured("durable", CREATES, lambda name: encoded(pod(name)), JSON)
    await measured("protobuf", WRITES, lambda name: encode_object(pod(name)), PROTOBUF)


async def changes(running: Server, results: dict[str, float]) -> None:
    """Of objects that are there: microseconds of the server's CPU a request."""
    names = [f"changed-{number}" for number in range(WRITES)]
    await many(running, WRITERS, [creating(PODS, encoded(pod(name))) for name in names])

    async def measured(case: str, make: Callable[[str], tuple[bytes, bytes]]) -> None:
        requests = [make(name) for name in names]
        seconds, cpu_s = await many(running, WRITERS, requests)
        results[f"{case}/per_second"] = len(requests) / seconds
        results[f"{case}/cpu_us"] = cpu_s / len(requests) * 1e6

    for case, content_type in _PATCHES.items():
        await measured(case, lambda name, case=case, kind=content_type: _patch(case, kind, name))  # type: ignore[misc]
        await measured(f"{case}_status", lambda name, case=case, kind=content_type: _patch(case, kind, name, "status"))  # type: ignore[misc]
    current = {name: json.loads(await once(running, get(f"{PODS}/{name}"))) for name in names}

    def update(name: str) -> tuple[bytes, bytes]:
        live = current[name]
        noted = {**live, "metadata": {**live["metadata"], "annotations": {"note": "update"}}}
        return sending("PUT", f"{PODS}/{name}", encoded(noted))

    await measured("update", update)
    await measured("delete", lambda name: sending("DELETE", f"{PODS}/{name}", b'{"gracePeriodSeconds":0}'))


def _patch(case: str, content_type: str, name: str, subresource: str = "") -> tuple[bytes, bytes]:
    value = f"{case}-{subresource}"
    body: Any = {"status": {"reason": value}} if subresource else {"metadata": {"annotations": {"note": value}}}
    if case == "patch_json":
        add = {"path": "/status/reason", "value": value} if subresource else {"path": "/metadata/annotations", "value": {"note": value}}  # fmt: skip
        body = [{"op": "add", **add}]
    query = ""
    if case == "apply":
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, **body}
        query = f"?fieldManager=bench{subresource}&force=true"
    path = f"{PODS}/{name}/{subresource}" if subresource else f"{PODS}/{name}"
    return sending("PATCH", path + query, encoded(body), content_type=content_type)


async def custom_kinds(running: Server, results: dict[str, float]) -> None:
    """From sending a CustomResourceDefinition until its collection is served: the slowest of a few."""
    slowest_s = 0.0
    for number in range(CRDS):
        plural, group = f"benches{number}", "bench.example.com"
        path = f"/apis/{group}/v1/namespaces/default/{plural}"
        connection = await running.connect()
        began_s = time.perf_counter()
        await connection.request(*creating("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", encoded(_definition(plural, group))))  # fmt: skip
        while not await _is_served(running, path):  # noqa: ASYNC110 - as a client would
            await asyncio.sleep(0.001)
        slowest_s = max(slowest_s, time.perf_counter() - began_s)
        await connection.request(
            *creating(path, encoded({"apiVersion": f"{group}/v1", "kind": f"Bench{number}", "metadata": {"name": "a"}}))
        )
        connection.close()
    results["crd/servable_ms"] = slowest_s * 1000


async def _is_served(running: Server, path: str) -> bool:
    try:
        await once(running, get(path))
    except RuntimeError:
        return False
    return True


def _definition(plural: str, group: str) -> dict[str, Any]:
    number = plural.removeprefix("benches")
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "minimum": 0}}}}}  # fmt: skip
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "singular": f"bench{number}", "kind": f"Bench{number}", "listKind": f"Bench{number}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
