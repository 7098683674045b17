"""Versions of an object share what did not change between them; what was stored is never changed afterwards."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from steersman.apiserver.component import APIServer
from steersman.client.api import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, Client
from steersman.meta.objects import Object
from steersman.meta.resources import DEPLOYMENTS, PODS, Resource
from tests.apiserver.builders import deployment, pod

APPLY = "application/apply-patch+yaml"
_PATCHES: dict[str, Any] = {
    STRATEGIC_MERGE_PATCH: lambda n: {"metadata": {"labels": {"n": f"v{n}"}}, "spec": {"terminationGracePeriodSeconds": 1}},
    MERGE_PATCH: lambda n: {"metadata": {"annotations": {f"n{n % 3}": str(n)}}},
    JSON_PATCH: lambda n: [{"op": "add", "path": "/metadata/labels", "value": {"json": str(n)}}],
    APPLY: lambda n: {"metadata": {"labels": {"applied": f"v{n}"}}},
}  # fmt: skip


def _status(number: int) -> Object:
    return {"status": {"conditions": [{"type": "Ready", "status": str(bool(number % 2))}], "message": f"m{number}"}}


async def _write(client: Client, resource: Resource, live: Object, number: int, rng: random.Random) -> None:
    path = resource.path("default", live["metadata"]["name"])
    kind = rng.choice([*_PATCHES, "update", "status", "update status"])
    headers = {"content-type": kind if kind in _PATCHES else "application/json"}
    if kind == "update":
        noted = {**live, "metadata": {**live["metadata"], "annotations": {"updated": str(number)}}}
        await client.request("PUT", path, headers=headers, body=json.dumps(noted).encode())
    elif kind == "update status":
        told = {**live, **_status(number)} if resource == PODS else live
        await client.request("PUT", f"{path}/status", headers=headers, body=json.dumps(told).encode())
    elif kind == "status":
        body = _status(number) if resource == PODS else {"status": {"replicas": number}}
        headers["content-type"] = STRATEGIC_MERGE_PATCH
        await client.request("PATCH", f"{path}/status", headers=headers, body=json.dumps(body).encode())
    else:
        body = _PATCHES[kind](number)
        if kind == APPLY:
            body |= {"apiVersion": live["apiVersion"], "kind": live["kind"]}
        elif kind == STRATEGIC_MERGE_PATCH and resource != PODS:
            body = {"spec": {"replicas": number}}
        query = {"fieldManager": "test", "force": "true"} if kind == APPLY else {}
        await client.request("PATCH", path, headers=headers, body=json.dumps(body).encode(), query=query)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("resource", "made"), [(PODS, pod("a", node="n")), (DEPLOYMENTS, deployment())])
async def test_no_write_changes_what_was_stored_before(
    server: APIServer, client: Client, resource: Resource, made: Object, seed: int
) -> None:
    rng = random.Random(seed)
    await client.create(resource, made)
    changes = server.objects.watch(f"/registry/{resource.plural}/", start_revision=1)
    for number in range(40):
        live = await client.get(resource, "a", namespace="default")
        await _write(client, resource, live, number, rng)
    events = await anext(changes)
    assert len(events) > 20
    for event in events:
        assert event.stored.obj == msgspec.json.decode(event.stored.json), event.stored
