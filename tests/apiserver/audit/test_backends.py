"""Where events go: files that are rotated, servers that fail, buffers that fill."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from steersman.aio.clock import FakeClock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.audit.api import Lenient, Union
from steersman.apiserver.audit.buffering import BatchOptions, Buffered
from steersman.apiserver.audit.configuration import AuditConfig, AuditWebhook
from steersman.apiserver.audit.event import AuditEvent
from steersman.apiserver.audit.logfile import LogBackend, RotatedFile, RotationOptions
from steersman.apiserver.audit.metrics import AuditMetrics
from steersman.apiserver.audit.policy import parse
from steersman.apiserver.audit.truncation import TruncateOptions, Truncating
from steersman.apiserver.audit.webhook import WebhookBackend
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.client.transport import Unreachable
from steersman.meta.errors import InternalError
from steersman.meta.resources import CONFIGMAPS
from steersman.meta.wire import Request, Response
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.builders import config_map


def event(number: int = 0, size_bytes: int = 0) -> AuditEvent:
    fields: dict[str, Any] = {"level": "Request", "auditID": str(number), "stage": "ResponseComplete"}
    if size_bytes:
        fields["requestObject"] = "x" * size_bytes
    return AuditEvent(fields)


class Kept:
    """A backend that keeps what it gets; it fails and stalls as a test says."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.events: list[AuditEvent] = []
        self.answer = True
        self.held: asyncio.Event | None = None
        self.is_closed = False

    async def process(self, events: Sequence[AuditEvent]) -> bool:
        if self.held is not None:
            await self.held.wait()
        self.batches.append([found.fields["auditID"] for found in events])
        self.events += events
        return self.answer

    def start(self, tasks: TaskGroup) -> None:
        return None

    async def close(self) -> None:
        self.is_closed = True


class Receiver:
    """A transport that answers with one status after the other."""

    def __init__(self, *answers: int | Unreachable) -> None:
        self._answers = list(answers)
        self.requests: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if self._answers else 200
        if isinstance(answer, Unreachable):
            raise answer
        return Response(status=answer)

    async def open(self, request: Request) -> Response:
        return await self.send(request)

    async def close(self) -> None:
        return None


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> AuditMetrics:
    return AuditMetrics(registry)


async def test_a_full_file_is_put_aside(tmp_path: Path, clock: FakeClock, metrics: AuditMetrics) -> None:
    path = tmp_path / "logs" / "audit.log"
    options = RotationOptions(max_size_megabytes=1, max_backups=2)
    backend = LogBackend(RotatedFile(path, options, clock=clock), form="json", metrics=metrics)
    for number in range(8):
        assert await backend.process([event(number, 600_000)])
        await clock.advance(1.5)
    await backend.close()
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "audit-2026-01-01T00-00-09.000.log",
        "audit-2026-01-01T00-00-10.500.log",
        "audit.log",
    ]
    assert json.loads(path.read_text())["auditID"] == "7"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_old_files_go_and_others_are_compressed(tmp_path: Path, clock: FakeClock, metrics: AuditMetrics) -> None:
    path = tmp_path / "audit.log"
    bystander = tmp_path / "audit-notes.log"
    bystander.write_text("mine")
    options = RotationOptions(max_size_megabytes=1, max_age_days=2, max_backups=0, compress=True)
    backend = LogBackend(RotatedFile(path, options, clock=clock), form="json", metrics=metrics)
    for number in range(5):
        await backend.process([event(number, 900_000)])
        await clock.advance(86_400)
    await backend.close()
    backups = sorted(file for file in tmp_path.iterdir() if file.name.startswith("audit-20"))  # noqa: ASYNC240
    assert [file.name for file in backups] == [f"audit-2026-01-0{day}T00-00-00.000.log.gz" for day in (3, 4, 5)]
    assert json.loads(gzip.decompress(backups[-1].read_bytes()))["auditID"] == "3"
    assert bystander.exists()


async def test_a_log_goes_on_where_it_ended(tmp_path: Path, clock: FakeClock, metrics: AuditMetrics) -> None:
    path = tmp_path / "audit.log"
    for number in range(2):
        backend = LogBackend(RotatedFile(path, RotationOptions(), clock=clock), form="json", metrics=metrics)
        await backend.process([event(number)])
        await backend.close()
    assert [json.loads(line)["auditID"] for line in path.read_text().splitlines()] == ["0", "1"]


async def test_a_disk_that_is_full_is_counted(
    clock: FakeClock, registry: CollectorRegistry, metrics: AuditMetrics
) -> None:
    backend = LogBackend(RotatedFile(Path("/dev/full"), RotationOptions(), clock=clock), form="json", metrics=metrics)
    assert not await backend.process([event(), event()])
    assert registry.get_sample_value("apiserver_audit_error_total", {"plugin": "log"}) == 2
    assert await Lenient(backend).process([event()])
    await backend.close()


async def test_batches_are_sent_when_full_or_old(clock: FakeClock, metrics: AuditMetrics) -> None:
    kept = Kept()
    backend = Buffered(kept, BatchOptions(max_size=3, max_wait_s=30, throttle=False), clock=clock, metrics=metrics)
    tasks = TaskGroup("test")
    backend.start(tasks)
    await backend.process([event(number) for number in range(4)])
    await clock.settle()
    assert kept.batches == [["0", "1", "2"]]
    await clock.advance(29)
    assert len(kept.batches) == 1
    await clock.advance(2)
    assert kept.batches == [["0", "1", "2"], ["3"]]
    await backend.process([event(4)])
    await backend.close()
    assert kept.batches[-1] == ["4"], "what waits when the server ends is sent"
    assert kept.is_closed
    await tasks.close()


async def test_a_full_buffer_loses_events_and_counts_them(
    clock: FakeClock, registry: CollectorRegistry, metrics: AuditMetrics
) -> None:
    kept = Kept()
    backend = Buffered(kept, BatchOptions(buffer_size=2, max_size=10, throttle=False), clock=clock, metrics=metrics)
    assert await backend.process([event(number) for number in range(5)])
    assert registry.get_sample_value("apiserver_audit_error_total", {"plugin": "buffered"}) == 3
    tasks = TaskGroup("test")
    backend.start(tasks)
    await clock.settle()
    await backend.close()
    assert kept.batches == [["0", "1"]]
    await tasks.close()


async def test_the_rate_of_batches_is_limited(clock: FakeClock, metrics: AuditMetrics) -> None:
    kept = Kept()
    options = BatchOptions(max_size=1, throttle_qps=1.0, throttle_burst=2)
    backend = Buffered(kept, options, clock=clock, metrics=metrics)
    tasks = TaskGroup("test")
    backend.start(tasks)
    await backend.process([event(number) for number in range(5)])
    sent = []
    for _ in range(5):
        await clock.settle()
        sent.append(len(kept.batches))
        await clock.advance(1.0)
    assert sent == [2, 3, 4, 5, 5]
    await backend.close()
    await tasks.close()


async def test_a_slow_receiver_holds_up_no_batch(clock: FakeClock, metrics: AuditMetrics) -> None:
    kept = Kept()
    kept.held = asyncio.Event()
    backend = Buffered(kept, BatchOptions(max_size=1, throttle=False), clock=clock, metrics=metrics)
    tasks = TaskGroup("test")
    backend.start(tasks)
    await backend.process([event(0), event(1)])
    await clock.settle()
    assert len(backend._sending) == 2
    kept.held.set()
    await backend.close()
    assert sorted(kept.batches) == [["0"], ["1"]]
    await tasks.close()


async def test_large_events_lose_their_objects_and_larger_ones_are_lost(
    registry: CollectorRegistry, metrics: AuditMetrics
) -> None:
    kept = Kept()
    options = TruncateOptions(enabled=True, max_event_bytes=1000, max_batch_bytes=1500)
    backend = Truncating(kept, options, metrics=metrics)
    huge = AuditEvent({**event(2).fields, "requestURI": "x" * 2000})
    assert await backend.process([event(0, 850), event(1, 5000), huge, event(3, 850)])
    assert kept.batches == [["0", "1"], ["3"]]
    assert kept.events[1].fields["annotations"] == {"audit.k8s.io/truncated": "true"}
    assert "requestObject" not in kept.events[1].fields
    assert registry.get_sample_value("apiserver_audit_error_total", {"plugin": "truncate"}) == 1


async def test_a_webhook_gets_lists_and_is_tried_again(clock: FakeClock, metrics: AuditMetrics) -> None:
    receiver = Receiver(Unreachable("refused"), 500, 403)
    backend = WebhookBackend(lambda: receiver, initial_backoff_s=10, clock=clock, rng=random.Random(7), metrics=metrics)
    sending = asyncio.ensure_future(backend.process([event(0), event(1)]))
    await clock.settle()
    assert len(receiver.requests) == 1
    await clock.advance(9)
    assert len(receiver.requests) == 1
    await clock.advance(60)
    assert await sending
    assert len(receiver.requests) == 4
    request = receiver.requests[-1]
    assert (request.method, request.query) == ("POST", {"timeout": ["30s"]})
    body = json.loads(request.body)
    assert (body["kind"], body["apiVersion"]) == ("EventList", "audit.k8s.io/v1")
    assert [item["auditID"] for item in body["items"]] == ["0", "1"]


async def test_a_webhook_that_never_answers_loses_events(
    clock: FakeClock, registry: CollectorRegistry, metrics: AuditMetrics
) -> None:
    receiver = Receiver(*[500] * 9)
    backend = WebhookBackend(lambda: receiver, initial_backoff_s=1, clock=clock, rng=random.Random(7), metrics=metrics)
    sending = asyncio.ensure_future(backend.process([event()]))
    await clock.advance(600)
    assert not await sending
    assert len(receiver.requests) == 5
    assert registry.get_sample_value("apiserver_audit_error_total", {"plugin": "webhook"}) == 1


async def test_every_backend_gets_every_event() -> None:
    first, second = Kept(), Kept()
    second.answer = False
    assert not await Union([first, second]).process([event()])
    assert first.batches == second.batches == [["0"]]


@pytest.mark.parametrize("mode", ["blocking", "blocking-strict"])
async def test_strictly_recorded_requests_fail_where_nothing_is_recorded(clock: FakeClock, mode: Any) -> None:
    receiver = Receiver()
    rules = [{"level": "None", "users": ["system:apiserver"]}, {"level": "Metadata"}]
    policy = parse({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules})
    webhook = AuditWebhook(connect=lambda: receiver, mode=mode, initial_backoff_s=0)
    config = APIServerConfig(audit=AuditConfig(policy=policy, webhook=webhook))
    server = APIServer(store=MemoryStore(clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    client = Client(InProcessTransport(server.handle))
    await client.create(CONFIGMAPS, config_map())
    assert len(receiver.requests) == 2, "the request has waited for both of its events to be recorded"
    receiver._answers = [500] * 5
    creating = asyncio.ensure_future(client.create(CONFIGMAPS, config_map("b")))
    await clock.settle()
    if mode == "blocking":
        assert (await creating)["metadata"]["name"] == "b"
    else:
        with pytest.raises(InternalError, match="failed to store audit event"):
            await creating
        assert [item["metadata"]["name"] for item in (await client.list(CONFIGMAPS, namespace="default")).items] == [
            "a"
        ]
    await server.close()
