"""Pods and containers for the HTTPS server, from the workers and the runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from steersman.kubelet import podspec
from steersman.kubelet.inspector import Inspector
from steersman.kubelet.pod_worker import PodWorker
from steersman.kubelet.runtimes.api import RuntimeServiceError
from steersman.kubelet.server_api import ContainerLocation, PodLookup
from steersman.meta import objects
from steersman.meta.errors import BadRequest, InternalError, NotFound
from steersman.meta.objects import Object

_PULLS: Final = {
    "ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"
}  # fmt: skip


class PodLookupTable:
    """Reads; changes nothing."""

    def __init__(self, *, node_name: str, workers: Mapping[str, PodWorker], inspector: Inspector) -> None:
        self._node_name = node_name
        self._workers = workers
        self._inspector = inspector

    def node_name(self) -> str:
        return self._node_name

    def pods(self) -> Sequence[Object]:
        return [_with_status(worker) for worker in self._workers.values() if not worker.machine.is_gone]

    def find_pod(self, namespace: str, name: str, uid: str = "") -> Object | None:
        worker = self._find(namespace, name, uid)
        return _with_status(worker) if worker is not None else None

    async def find_container(
        self, namespace: str, name: str, container: str, *, uid: str = "", previous: bool = False
    ) -> ContainerLocation:
        worker = self._require(namespace, name, uid)
        spec = podspec.find_container(worker.pod, container)
        if spec is None:
            raise NotFound(f'container "{container}" not found in pod "{name}"')
        try:
            record = await self._inspector.inspect(worker.uid)
        except RuntimeServiceError as error:
            raise InternalError(str(error)) from error
        shown = _status_of(worker, container)
        history = [item for item in record.history(container) if item.state != "CREATED"]
        if previous:
            last = ((shown.get("lastState") or {}).get("terminated") or {}).get("containerID") or ""
            history = [item for item in history if last.endswith(f"://{item.id}")]
            if not history:
                raise BadRequest(f'previous terminated container "{container}" in pod "{name}" not found')
        if not history:
            raise BadRequest(f'container "{container}" in pod "{name}" is {_why_not(shown)}')
        found = history[0]
        return ContainerLocation(
            container_id=found.id,
            sandbox_id=found.sandbox_id,
            state=found.state,
            restart_count=found.restart_count,
            log_path=found.status.log_path,
            tty=bool(spec.spec.get("tty")),
            stdin=bool(spec.spec.get("stdin")),
        )

    def log_paths(self) -> dict[str, str]:
        """Of the containers that are known, by their ids; empty paths for those without."""
        return {
            item.id: item.status.log_path
            for worker in self._workers.values()
            for item in worker.machine.record.containers
        }

    async def find_sandbox(self, namespace: str, name: str, *, uid: str = "") -> str:
        worker = self._require(namespace, name, uid)
        sandbox = worker.machine.record.sandbox
        if sandbox is None or sandbox.state != "READY":
            raise NotFound(f"failed to find sandboxes for pod {name}")
        return sandbox.id

    def _require(self, namespace: str, name: str, uid: str) -> PodWorker:
        worker = self._find(namespace, name, uid)
        if worker is None:
            raise NotFound(f'pod "{name}" does not exist')
        return worker

    def _find(self, namespace: str, name: str, uid: str) -> PodWorker | None:
        """The newest of that name; a static pod is asked for by its mirror's uid, which the kubelet does not go by."""
        found = None
        for worker in self._workers.values():
            pod = worker.pod
            if objects.name(pod) == name and objects.namespace(pod) == namespace:
                if uid and uid == worker.uid:
                    return worker
                if not uid or podspec.is_static(pod):
                    found = worker
        return found


def _with_status(worker: PodWorker) -> Object:
    return {**worker.pod, "status": worker.machine.status}


def _status_of(worker: PodWorker, container: str) -> Mapping[str, Any]:
    """As the pod's status has it; empty where it has nothing yet."""
    fields = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    entries = (entry for field in fields for entry in worker.machine.status.get(field) or ())
    return next((entry for entry in entries if entry["name"] == container), {})


def _why_not(status: Mapping[str, Any]) -> str:
    """There are no logs, in upstream's words."""
    if not status:
        return "not available"
    if status["state"].get("terminated"):
        return "terminated"
    reason = (status["state"].get("waiting") or {}).get("reason") or ""
    return f"waiting to start: {_PULLS.get(reason, reason)}" if reason else "waiting to start - no logs yet"


def _conforms(table: PodLookupTable) -> PodLookup:
    return table
