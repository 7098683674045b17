"""Quotas before a server: however many create at once, no quota is exceeded, and nobody is refused what there is."""

from __future__ import annotations

import asyncio
import random

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.admission.configuration import AdmissionConfigurationError
from steersman.apiserver.admission.resourcequota import limited_resources
from steersman.apiserver.component import APIServer
from steersman.client.api import Client
from steersman.meta.errors import APIError, Conflict, Forbidden
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, PODS, RESOURCEQUOTAS, SERVICES
from tests.apiserver.builders import config_map, pod


async def _quota(client: Client, name: str = "q", **hard: str) -> Object:
    limits = {key.replace("__", "."): value for key, value in hard.items()}
    made = await client.create(
        RESOURCEQUOTAS, {"metadata": {"name": name, "namespace": "default"}, "spec": {"hard": limits}}
    )
    made = {**made, "status": {"hard": limits, "used": dict.fromkeys(limits, "0")}}
    return await client.update(RESOURCEQUOTAS, made, subresource="status")


async def _used(client: Client, name: str = "q") -> Object:
    used: Object = (await client.get(RESOURCEQUOTAS, name, namespace="default"))["status"]["used"]
    return used


async def test_creations_at_once_never_exceed_a_quota(client: Client) -> None:
    await _quota(client, pods="7", configmaps="3")
    outcomes = await asyncio.gather(
        *(client.create(PODS, pod(f"p{index}")) for index in range(40)),
        *(client.create(CONFIGMAPS, config_map(f"c{index}")) for index in range(20)),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(outcome, Forbidden) for outcome in refused)
    assert len(refused) == 60 - 10
    assert len((await client.list(PODS, namespace="default")).items) == 7
    assert await _used(client) == {"pods": "7", "configmaps": "3"}


async def test_creations_at_once_share_writes(server: APIServer, client: Client) -> None:
    await _quota(client, configmaps="100")
    before = server.objects.revision
    await asyncio.gather(*(client.create(CONFIGMAPS, config_map(f"c{index}")) for index in range(50)))
    assert server.objects.revision - before < 50 + 10


async def test_another_writer_of_the_status_is_noticed(client: Client) -> None:
    await _quota(client, pods="10")
    rng = random.Random(3)
    stop = asyncio.Event()

    async def count() -> None:
        """As the controller does: write what there is."""
        while not stop.is_set():
            quota = await client.get(RESOURCEQUOTAS, "q", namespace="default")
            found = len((await client.list(PODS, namespace="default")).items)
            if int(quota["status"]["used"]["pods"]) < found:
                try:
                    status = {**quota["status"], "used": {"pods": str(found)}}
                    await client.update(RESOURCEQUOTAS, {**quota, "status": status}, subresource="status")
                except Conflict:
                    continue
            await asyncio.sleep(0)

    async def create(index: int) -> bool:
        for _ in range(rng.randrange(20)):
            await asyncio.sleep(0)
        try:
            await client.create(PODS, pod(f"p{index}"))
        except APIError:
            return False
        return True

    counter = asyncio.ensure_future(count())
    created = sum(await asyncio.gather(*(create(index) for index in range(60))))
    stop.set()
    await counter
    assert created == len((await client.list(PODS, namespace="default")).items) <= 10
    assert int((await _used(client))["pods"]) >= created


async def test_who_gives_up_midway_does_not_stop_the_others(client: Client, clock: FakeClock) -> None:
    await _quota(client, configmaps="40")
    tasks = [asyncio.ensure_future(client.create(CONFIGMAPS, config_map(f"c{index}"))) for index in range(30)]
    for turn in range(12):
        await asyncio.sleep(0)
        tasks[turn * 2].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    done = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(done) >= 18
    assert all(
        isinstance(outcome, asyncio.CancelledError) for outcome in outcomes if isinstance(outcome, BaseException)
    )
    await client.create(CONFIGMAPS, config_map("last"))
    found = (await client.list(CONFIGMAPS, namespace="default")).items
    assert len(found) <= int((await _used(client))["configmaps"]) <= 40


async def test_every_quota_of_a_namespace_counts(client: Client) -> None:
    await _quota(client, "small", pods="1")
    await _quota(client, "big", pods="5")
    await client.create(PODS, pod("a"))
    with pytest.raises(Forbidden, match="exceeded quota: small"):
        await client.create(PODS, pod("b"))
    assert await _used(client, "big") == {"pods": "1"}


async def test_a_quota_whose_status_is_not_known_yet_limits_nothing(client: Client) -> None:
    await client.create(
        RESOURCEQUOTAS, {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": {"pods": "0"}}}
    )
    await client.create(PODS, pod("a"))


async def test_updates_that_grow_are_charged(client: Client) -> None:
    await _quota(client, services="2", services__nodeports="1")
    service = {
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {"type": "ClusterIP", "ports": [{"name": "x", "port": 80}, {"name": "y", "port": 81}]},
    }
    made = await client.create(SERVICES, service)
    with pytest.raises(Forbidden) as caught:
        await client.update(SERVICES, {**made, "spec": {**made["spec"], "type": "NodePort"}})
    assert caught.value.message == (
        'services "a" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, '
        "limited: services.nodeports=1"
    )


async def test_generated_names_are_named_in_refusals(client: Client) -> None:
    await _quota(client, pods="0")
    made = pod("")
    made["metadata"] = {"generateName": "web-", "namespace": "default"}
    with pytest.raises(Forbidden, match=r'pods "web-\w{5}" is forbidden: exceeded quota'):
        await client.create(PODS, made)


async def test_dry_runs_charge_nothing(client: Client) -> None:
    await _quota(client, configmaps="1")
    path = "/api/v1/namespaces/default/configmaps"
    body = b'{"metadata":{"name":"a"}}'
    for _ in range(2):
        answer = await client.request(
            "POST", path, query={"dryRun": "All"}, body=body, headers={"content-type": "application/json"}
        )
        assert answer.status == 201
    assert await _used(client) == {"configmaps": "0"}


def test_the_configuration_is_read_or_refused() -> None:
    found = limited_resources(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "ResourceQuotaConfiguration",
            "limitedResources": [
                {"resource": "pods", "matchScopes": [{"scopeName": "PriorityClass", "operator": "In", "values": ["a"]}]}
            ],
        }
    )
    assert [(entry.plural, entry.match_scopes[0].listed) for entry in found] == [("pods", ("a",))]
    assert limited_resources(None) == ()
    with pytest.raises(AdmissionConfigurationError, match="not supported"):
        limited_resources({"apiVersion": "v7"})
    with pytest.raises(AdmissionConfigurationError, match="unknown fields mach"):
        limited_resources(
            {"apiVersion": "apiserver.config.k8s.io/v1", "limitedResources": [{"resource": "pods", "mach": 1}]}
        )
