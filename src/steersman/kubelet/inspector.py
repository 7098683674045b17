"""Asks the runtime about pods: one of them in full, one thing of it, or all of them in brief."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from steersman.aio.clock import Clock
from steersman.kubelet import records
from steersman.kubelet.records import ContainerRecord, PodRecord, pod_record
from steersman.kubelet.runtimes.api import NotFound, RuntimeService
from steersman.kubelet.runtimes.containers import Container, ContainerFilter, ContainerStatus
from steersman.kubelet.runtimes.sandboxes import PodSandbox, PodSandboxFilter, PodSandboxStatus
from steersman.kubelet.termination_message import termination_message

Fingerprint = frozenset[tuple[str, str]]
"""Ids and states of a pod's sandboxes and containers: differs when something happened."""


class PodBrief(Struct, frozen=True, kw_only=True):
    """One pod in a listing of everything."""

    uid: str
    name: str
    namespace: str
    fingerprint: Fingerprint
    sandboxes: tuple[PodSandbox, ...]
    containers: tuple[Container, ...]


class Touched(Struct, frozen=True, kw_only=True):
    """All of a pod that some work has changed: a container in a sandbox or, where that is empty, the sandbox."""

    sandbox_id: str
    container_id: str = ""


class Inspector:
    """Reads a runtime; changes nothing."""

    def __init__(self, runtime: RuntimeService, *, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock
        self._briefs: dict[str, PodBrief] = {}

    async def inspect(self, uid: str, known: PodRecord | None = None) -> PodRecord:
        """Everything the runtime has of the pod. What is in the same state as in ``known`` is taken from there: it does not
        change. Raises ``RuntimeServiceError``."""
        taken_at_s = self._clock.monotonic()
        labels = {records.POD_UID: uid}
        sandboxes = await self._runtime.list_pod_sandboxes(PodSandboxFilter(labels=labels))
        containers = await self._runtime.list_containers(ContainerFilter(labels=labels))
        statuses: list[PodSandboxStatus] = []
        for box in sandboxes:
            status = _known_sandbox(known, box) or await self._sandbox(box.id)
            if status is not None:
                statuses.append(status)
        found: list[ContainerRecord] = []
        for row in containers:
            record = _known_container(known, row) or await self._container(row.id, row.sandbox_id)
            if record is not None:
                found.append(record)
        return pod_record(uid, statuses, found, taken_at_s=taken_at_s)

    async def look_at(self, touched: Touched, before: Callable[[], PodRecord]) -> PodRecord | None:
        """``before()`` with what was touched as it is now; None where that is gone, or where ``before()`` has become newer
        than this. Raises ``RuntimeServiceError``."""
        taken_at_s = self._clock.monotonic()
        if touched.container_id:
            container = await self._container(touched.container_id, touched.sandbox_id)
            known = before()
            if container is None or known.taken_at_s > taken_at_s:
                return None
            return known.with_container(container, taken_at_s)
        sandbox = await self._sandbox(touched.sandbox_id)
        known = before()
        if sandbox is None or known.taken_at_s > taken_at_s:
            return None
        return known.with_sandbox(sandbox, taken_at_s)

    async def list_all(self) -> Mapping[str, PodBrief]:
        """Every pod in the runtime, by uid. Raises ``RuntimeServiceError``."""
        boxes: dict[str, list[PodSandbox]] = defaultdict(list)
        rows: dict[str, list[Container]] = defaultdict(list)
        for box in await self._runtime.list_pod_sandboxes():
            boxes[box.labels.get(records.POD_UID) or box.metadata.uid].append(box)
        for row in await self._runtime.list_containers():
            uid = row.labels.get(records.POD_UID)
            if uid:
                rows[uid].append(row)
        self._briefs = {
            uid: _brief(uid, tuple(boxes.get(uid, ())), tuple(rows.get(uid, ())), self._briefs.get(uid))
            for uid in {*boxes, *rows}
        }
        return self._briefs

    async def _sandbox(self, sandbox_id: str) -> PodSandboxStatus | None:
        try:
            return await self._runtime.pod_sandbox_status(sandbox_id)
        except NotFound:
            return None

    async def _container(self, container_id: str, sandbox_id: str) -> ContainerRecord | None:
        try:
            status = await self._runtime.container_status(container_id)
        except NotFound:
            return None
        return ContainerRecord(sandbox_id=sandbox_id, status=await with_termination_message(status))


async def with_termination_message(status: ContainerStatus) -> ContainerStatus:
    """``status`` with what the container left behind as its last words, where it has ended."""
    if status.state != "EXITED":
        return status
    path = status.annotations.get(records.TERMINATION_MESSAGE_PATH)
    host = next((mount.host_path for mount in status.mounts if mount.container_path == path), "")
    if not host and not status.log_path:
        return status
    policy = status.annotations.get(records.TERMINATION_MESSAGE_POLICY) or "File"
    message = await asyncio.to_thread(
        termination_message,
        Path(host) if host else None,
        Path(status.log_path) if status.log_path else None,
        from_logs=policy == "FallbackToLogsOnError" and status.exit_code != 0,
    )
    if not message:
        return status
    return replace(status, message=f"{status.message}: {message}" if status.message else message)


def _known_sandbox(known: PodRecord | None, box: PodSandbox) -> PodSandboxStatus | None:
    boxes = known.sandboxes if known is not None else ()
    return next((status for status in boxes if (status.id, status.state) == (box.id, box.state)), None)


def _known_container(known: PodRecord | None, row: Container) -> ContainerRecord | None:
    if known is None or row.state == "UNKNOWN":
        return None
    return next((record for record in known.containers if (record.id, record.state) == (row.id, row.state)), None)


def _brief(
    uid: str, sandboxes: tuple[PodSandbox, ...], containers: tuple[Container, ...], before: PodBrief | None
) -> PodBrief:
    """``before`` itself where it still holds."""
    if before is not None and (before.sandboxes, before.containers) == (sandboxes, containers):
        return before
    name = namespace = ""
    if sandboxes:
        name, namespace = sandboxes[0].metadata.name, sandboxes[0].metadata.namespace
    elif containers:
        labels = containers[0].labels
        name, namespace = labels.get(records.POD_NAME, ""), labels.get(records.POD_NAMESPACE, "")
    return PodBrief(
        uid=uid,
        name=name,
        namespace=namespace,
        fingerprint=frozenset(
            {*((box.id, box.state) for box in sandboxes), *((row.id, row.state) for row in containers)}
        ),
        sandboxes=sandboxes,
        containers=containers,
    )
