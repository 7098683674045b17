"""CPU of one request in the server's process: what each verb and each kind of patch costs, without sockets and clients.

The request core on a memory store, its filters, admission, managed fields, validation and watch cache included. Pods are as
a Deployment's controller makes them and their statuses as a kubelet writes them. Figures are microseconds of CPU, the best
of three rounds; of lists for each object in them, of fan-out for each delivery.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from steersman.aio.clock import SystemClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.meta.wire import Peer, Request, Response
from steersman.store.drivers.memory import MemoryStore

PODS = "/api/v1/namespaces/default/pods"
ROUNDS = 3
COUNT = 600
LISTED = 2_000
WATCHERS = 200
JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PATCHES = {
    "strategic": "application/strategic-merge-patch+json",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


def pod(name: str) -> dict[str, Any]:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8c7b9", "uid": "6e1b3c52-1f0f-4a25-9a4f-6d8a8f0f3b11", "controller": True, "blockOwnerDeletion": True}  # fmt: skip
    container = {
        "name": "web",
        "image": "registry.example/team/web:v1.2.3",
        "env": [{"name": "MODE", "value": "fast"}],
        "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }
    labels = {"app": "web", "pod-template-hash": "5d4f8c7b9"}
    metadata = {"name": name, "labels": labels, "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def status(number: int) -> dict[str, Any]:
    """As a kubelet writes it; ``number`` makes a second one differ."""
    since = f"2026-01-01T00:00:{number % 60:02}Z"
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    running = {
        "name": "web", "image": "registry.example/team/web:v1.2.3", "imageID": "sha256:0123", "ready": True,
        "restartCount": number, "started": True, "containerID": "containerd://4567", "state": {"running": {"startedAt": since}},
    }  # fmt: skip
    return {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
        "hostIP": "192.0.2.1",
        "startTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": since} for kind in kinds],
        "containerStatuses": [running],
    }


Current = Mapping[str, dict[str, Any]]
"""The pods as they are before a round, by name."""
Made = tuple[str, str, Any, str]
"""Method, path, body, content type."""


@dataclass(frozen=True, slots=True)
class Case:
    """Requests that are alike. Their bodies are made before anything is measured."""

    name: str
    requests: Callable[[int, Current], Iterable[Made]]
    """Of a round."""
    per: int = 1
    """The measured time is divided by this: how many objects each request has."""
    rounds: int = ROUNDS
    accept: str = JSON


def _posts(prefix: str, count: int) -> Callable[[int, Current], Iterable[Made]]:
    return lambda turn, _: (("POST", PODS, pod(f"{prefix}{turn}-{number}"), JSON) for number in range(count))


def _deletes(prefix: str, count: int) -> Callable[[int, Current], Iterable[Made]]:
    return lambda turn, _: (("DELETE", f"{PODS}/{prefix}{turn}-{number}", None, JSON) for number in range(count))


def _each(
    method: str, body: Callable[[int, dict[str, Any]], Any], content_type: str = JSON, suffix: str = ""
) -> Callable[[int, Current], Iterable[Made]]:
    """One request for each of ``COUNT`` pods: ``body(round, the pod as it is)``."""

    def requests(turn: int, current: Current) -> Iterable[Made]:
        for number in range(COUNT):
            name = f"p0-{number}"
            yield method, f"{PODS}/{name}{suffix}", body(turn, current[name]), content_type

    return requests


def _again(count: int) -> Callable[[int, Current], Iterable[Made]]:
    return lambda _turn, _current: [("GET", PODS, None, JSON)] * count


def _nothing(turn: int, now: dict[str, Any]) -> None:
    return None


def _noted(kind: str) -> Callable[[int, dict[str, Any]], Any]:
    """An annotation that changes in each round."""
    if kind == "json":
        return lambda turn, _: [{"op": "add", "path": "/metadata/annotations", "value": {"note": f"json-{turn}"}}]
    return lambda turn, _: {"metadata": {"annotations": {"note": f"{kind}-{turn}"}}}


def _updated(turn: int, now: dict[str, Any]) -> Any:
    return {**now, "metadata": {**now["metadata"], "annotations": {"note": f"update-{turn}"}}}


def _applied(turn: int, now: dict[str, Any]) -> Any:
    metadata = {"name": now["metadata"]["name"], "labels": {"turn": f"t{turn}"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def _applied_status(turn: int, now: dict[str, Any]) -> Any:
    return {**_applied(turn, now), "status": {"reason": f"Turn{turn}"}}


CASES = (
    Case("create", _posts("c", COUNT)),
    Case("delete", _deletes("c", COUNT)),
    Case("fill", _posts("p", LISTED), rounds=1),
    Case("get", _each("GET", _nothing)),
    Case("get_protobuf", _each("GET", _nothing), accept=PROTOBUF),
    Case("patch_strategic", _each("PATCH", _noted("strategic"), PATCHES["strategic"])),
    Case("patch_merge", _each("PATCH", _noted("merge"), PATCHES["merge"])),
    Case("patch_json", _each("PATCH", _noted("json"), PATCHES["json"])),
    Case("apply", _each("PATCH", _applied, PATCHES["apply"], "?fieldManager=bench&force=true")),
    Case(
        "status_strategic",
        _each("PATCH", lambda turn, _: {"status": status(turn)}, PATCHES["strategic"], "/status"),
    ),
    Case("status_merge", _each("PATCH", lambda turn, _: {"status": status(turn + 3)}, PATCHES["merge"], "/status")),
    Case("status_apply", _each("PATCH", _applied_status, PATCHES["apply"], "/status?fieldManager=node&force=true")),
    Case("update", _each("PUT", _updated)),
    Case("update_status", _each("PUT", lambda turn, now: {**now, "status": status(turn)}, suffix="/status")),
    Case("list", _again(10), per=LISTED),
    Case("list_protobuf", _again(10), per=LISTED, accept=PROTOBUF),
    Case("list_table", _again(2), per=LISTED, accept=TABLE),
)


@asynccontextmanager
async def _server() -> AsyncIterator[APIServer]:
    clock = SystemClock()
    config = APIServerConfig(disabled_admission_plugins=("ServiceAccount",))
    server = APIServer(store=MemoryStore(clock), clock=clock, config=config, rng=random.Random(1))
    await server.start()
    try:
        yield server
    finally:
        await server.close()


_PEER = Peer(user="admin", groups=("system:masters",))


def _request(method: str, path: str, body: Any, content_type: str, accept: str) -> Request:
    path, _, query = path.partition("?")
    return Request(
        method=method,
        path=path,
        query={name: [value] for name, _, value in (pair.partition("=") for pair in query.split("&"))} if query else {},
        headers={"content-type": content_type, "accept": accept, "user-agent": "bench/1"},
        body=b"" if body is None else json.dumps(body, separators=(",", ":")).encode(),
        peer=_PEER,
    )


async def _asked(server: APIServer, request: Request) -> Response:
    response = await server.handle(request)
    assert response.status < 300, (request.method, request.path, response.status, response.body[:400])
    if response.stream is not None:
        async for _ in response.stream:
            pass
    return response


async def _cost_us(server: APIServer, case: Case) -> float:
    best_us = float("inf")
    for turn in range(case.rounds):
        listed = await server.handle(_request("GET", PODS, None, JSON, JSON))
        current = {item["metadata"]["name"]: item for item in listed.content["items"]}
        requests = [_request(*made, case.accept) for made in case.requests(turn, current)]
        gc.collect()
        began_s = time.process_time()
        for request in requests:
            await _asked(server, request)
        best_us = min(best_us, (time.process_time() - began_s) / len(requests) / case.per * 1e6)
    return best_us


async def _fan_out_us(server: APIServer, accept: str, writes: int = 50) -> float:
    """CPU of one delivery of a change to one of ``WATCHERS``, the write's own share with it."""
    watch = Request(method="GET", path=PODS, query={"watch": ["1"], "resourceVersion": ["0"], "limit": ["1"]}, headers={"accept": accept, "user-agent": "bench/1"}, peer=_PEER)  # fmt: skip
    seen = [0] * WATCHERS
    watches = [(await server.handle(watch)).watch for _ in range(WATCHERS)]
    wanted = asyncio.Event()

    async def prime(position: int) -> None:
        found: Any = watches[position]
        while not found.is_live:
            await anext(found)

        def ready() -> None:
            seen[position] += len(found.take() or ())
            if position == WATCHERS - 1 and seen[position] >= writes:
                wanted.set()

        found.listen(ready)

    await asyncio.gather(*(prime(position) for position in range(WATCHERS)))
    requests = [
        _request("PATCH", f"{PODS}/p0-0/status", {"status": status(number)}, PATCHES["merge"], JSON)
        for number in range(writes)
    ]
    began_s = time.process_time()
    for request in requests:
        await _asked(server, request)
    await asyncio.wait_for(wanted.wait(), 30)
    took_s = time.process_time() - began_s
    for found in watches:
        await found.aclose()  # type: ignore[union-attr]
    return took_s / writes / WATCHERS * 1e6


async def _measure() -> dict[str, float]:
    gc.set_threshold(50_000, 20, 50)  # as the program does
    results: dict[str, float] = {}
    async with _server() as server:
        for case in CASES:
            results[f"requests/{case.name}/us"] = await _cost_us(server, case)
        results["requests/deliver_json/us"] = await _fan_out_us(server, JSON)
        results["requests/deliver_protobuf/us"] = await _fan_out_us(server, PROTOBUF)
    return results


def run() -> dict[str, float]:
    """Results by ``case/metric``."""
    return asyncio.run(_measure())


if __name__ == "__main__":
    for name, number in run().items():
        print(f"{name:50} {number:12,.1f}", file=sys.stdout)
