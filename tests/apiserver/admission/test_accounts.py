"""What is kept of calls: metrics, and annotations of audit events."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from steersman.aio.clock import FakeClock
from steersman.apiserver.component import APIServer
from steersman.client.api import Client
from steersman.meta.errors import APIError
from steersman.meta.resources import CONFIGMAPS
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.admission.conftest import Configure, rule, webhook
from tests.apiserver.auditlog import AuditLogFile
from tests.apiserver.builders import config_map
from tests.apiserver.conftest import CONFIG
from tests.apiserver.webhookserver import WebhookServer, add, allow, deny, patch

CREATES = [rule(operations=["CREATE"])]


@pytest.fixture
def audited(tmp_path: Path) -> AuditLogFile:
    return AuditLogFile(tmp_path / "audit.log")


@pytest.fixture
async def server(clock: FakeClock, audited: AuditLogFile) -> AsyncIterator[APIServer]:
    config = replace(CONFIG, audit=audited.config)
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    yield server
    await server.close()


async def create(client: Client) -> None:
    try:
        await client.create(CONFIGMAPS, config_map("a"))
    except APIError:
        return


async def metrics(client: Client) -> dict[str, float]:
    response = await client.request("GET", "/metrics")
    lines = (line for line in response.body.decode().splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_mutations_are_annotated(
    client: Client, hooks: WebhookServer, mutating: Configure, audited: AuditLogFile
) -> None:
    hooks.replies["one"] = patch(add("/data/one", "yes"))
    hooks.replies["two"] = lambda request: {"allowed": True, "auditAnnotations": {"why": "because", "not a key": "x"}}
    hooks.replies["three"] = deny("no")
    await mutating(
        webhook(hooks, "one", rules=CREATES),
        webhook(hooks, "two", rules=CREATES),
        webhook(hooks, "three", rules=CREATES),
    )
    await create(client)
    found = {
        key: value
        for key, value in audited.last("create", "configmaps").items()
        if "webhook" in key or "example.com" in key
    }
    assert found.pop("two.example.com/why") == "because"
    one = {"configuration": "mutating", "webhook": "one.example.com"}
    decoded = {key: msgspec.json.decode(value) for key, value in found.items()}
    assert decoded == {
        "patch.webhook.admission.k8s.io/round_0_index_0": {
            **one,
            "patch": [{"op": "add", "path": "/data/one", "value": "yes"}],
            "patchType": "JSONPatch",
        },
        "mutation.webhook.admission.k8s.io/round_0_index_0": {**one, "mutated": True},
        "mutation.webhook.admission.k8s.io/round_0_index_1": {**one, "webhook": "two.example.com", "mutated": False},
        "mutation.webhook.admission.k8s.io/round_0_index_2": {**one, "webhook": "three.example.com", "mutated": False},
    }


async def test_failing_open_is_annotated_and_counted(
    client: Client, hooks: WebhookServer, mutating: Configure, validating: Configure, audited: AuditLogFile
) -> None:
    hooks.replies["broken"] = lambda request: {"uid": "wrong"}
    await mutating(webhook(hooks, "broken", rules=CREATES, failurePolicy="Ignore"))
    await validating(webhook(hooks, "broken", rules=CREATES, failurePolicy="Ignore"))
    await create(client)
    prefix = "failed-open."
    opened = {key: value for key, value in audited.last("create", "configmaps").items() if key.startswith(prefix)}
    assert opened == {
        "failed-open.mutation.webhook.admission.k8s.io/round_0_index_0": "broken.example.com",
        "failed-open.validating.webhook.admission.k8s.io/round_0_index_0": "broken.example.com",
    }
    found = await metrics(client)
    for kind in ("admit", "validating"):
        name = f'apiserver_admission_webhook_fail_open_count{{name="broken.example.com",type="{kind}"}}'
        assert found[name] == 1


async def test_calls_are_measured_and_rejections_counted(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    hooks.replies |= {"good": allow, "strict": deny("no", code=418)}
    await validating(webhook(hooks, "good", rules=CREATES), webhook(hooks, "strict", rules=CREATES))
    await create(client)
    found = await metrics(client)
    prefix = "apiserver_admission_webhook"
    good = 'name="good.example.com",operation="CREATE",rejected="false",type="validating"'
    strict = 'name="strict.example.com",operation="CREATE",rejected="true",type="validating"'
    assert found[f"{prefix}_admission_duration_seconds_count{{{good}}}"] == 1
    assert found[f"{prefix}_admission_duration_seconds_count{{{strict}}}"] == 1
    assert found[f'{prefix}_request_total{{code="200",{good}}}'] == 1
    assert found[f'{prefix}_request_total{{code="418",{strict}}}'] == 1
    labels = 'error_type="no_error",name="strict.example.com",operation="CREATE",rejection_code="418",type="validating"'
    assert found[f"{prefix}_rejection_count{{{labels}}}"] == 1


async def test_failed_calls_are_counted_apart_from_denials(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    hooks.replies["broken"] = lambda request: {"uid": "wrong"}
    await validating(webhook(hooks, "broken", rules=CREATES))
    await create(client)
    labels = (
        'error_type="calling_webhook_error",name="broken.example.com",operation="CREATE",rejection_code="503",'
        'type="validating"'
    )
    assert (await metrics(client))[f"apiserver_admission_webhook_rejection_count{{{labels}}}"] == 1


async def test_match_conditions_are_measured(client: Client, hooks: WebhookServer, validating: Configure) -> None:
    conditions = [{"name": "c", "expression": "object.metadata.name == 'other'"}]
    await validating(webhook(hooks, "check", rules=CREATES, matchConditions=conditions))
    await create(client)
    found = await metrics(client)
    prefix, labels = "apiserver_admission_match_condition", 'kind="webhook",name="check.example.com",operation="CREATE"'
    assert found[f'{prefix}_exclusions_total{{{labels},type="validate"}}'] == 1
    assert found[f'{prefix}_evaluation_seconds_count{{{labels},type="validating"}}'] == 1


async def test_every_plugin_and_both_steps_are_measured(client: Client) -> None:
    before = await metrics(client)
    await create(client)
    after = await metrics(client)
    for name in (
        'step_admission_duration_seconds_count{operation="CREATE",rejected="false",type="admit"}',
        'step_admission_duration_seconds_count{operation="CREATE",rejected="false",type="validate"}',
        'controller_admission_duration_seconds_count{name="NamespaceLifecycle",operation="CREATE",rejected="false",'
        'type="admit"}',
        'controller_admission_duration_seconds_bucket{name="NamespaceLifecycle",operation="CREATE",rejected="false",'
        'type="admit",le="+Inf"}',
        'step_admission_duration_seconds_summary_count{operation="CREATE",rejected="false",type="admit"}',
    ):
        full = f"apiserver_admission_{name}"
        assert after[full] == before.get(full, 0) + 1
