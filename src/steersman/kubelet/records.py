"""What the runtime reports of one pod, in the order in which the kubelet thinks about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from steersman.kubelet.runtimes.containers import ContainerState, ContainerStatus
from steersman.kubelet.runtimes.sandboxes import PodSandboxStatus

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
CONTAINER_HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"
POD_GRACE = "io.kubernetes.pod.terminationGracePeriod"
POD_DELETION_GRACE = "io.kubernetes.pod.deletionGracePeriod"


class ContainerRecord(Struct, frozen=True, kw_only=True):
    """One container as the runtime has it, running or dead."""

    sandbox_id: str
    status: ContainerStatus

    @property
    def id(self) -> str:
        return self.status.id

    @property
    def name(self) -> str:
        return self.status.labels.get(CONTAINER_NAME) or self.status.metadata.name

    @property
    def state(self) -> ContainerState:
        return self.status.state

    @property
    def exit_code(self) -> int:
        return self.status.exit_code

    @property
    def restart_count(self) -> int:
        return int(self.status.annotations.get(RESTART_COUNT) or self.status.metadata.attempt)

    @property
    def hash(self) -> str:
        """Of the spec it was created from; empty for one that another agent made without it."""
        return self.status.annotations.get(CONTAINER_HASH, "")

    @property
    def started_at_s(self) -> float:
        return self.status.started_at_ns / 1e9

    @property
    def finished_at_s(self) -> float:
        return self.status.finished_at_ns / 1e9


class PodRecord(Struct, frozen=True, kw_only=True):
    """All sandboxes and containers of one pod, newest first."""

    uid: str
    name: str = ""
    namespace: str = ""
    taken_at_s: float = 0.0
    """Monotonic time at which the runtime was asked: what happened later may be missing."""
    listed_at_s: float = 0.0
    """The same of everything the pod has; what is newer was learnt of one sandbox or container alone."""
    sandboxes: tuple[PodSandboxStatus, ...] = ()
    containers: tuple[ContainerRecord, ...] = ()

    @property
    def sandbox(self) -> PodSandboxStatus | None:
        """The newest."""
        return self.sandboxes[0] if self.sandboxes else None

    @property
    def ips(self) -> tuple[str, ...]:
        sandbox = self.sandbox
        return sandbox.ips if sandbox is not None and sandbox.state == "READY" else ()

    def latest(self, name: str) -> ContainerRecord | None:
        """The newest container of that name."""
        return next((record for record in self.containers if record.name == name), None)

    def history(self, name: str) -> Iterator[ContainerRecord]:
        """Every container of that name, newest first."""
        return (record for record in self.containers if record.name == name)

    @property
    def fingerprint(self) -> frozenset[tuple[str, str]]:
        """Ids and states of everything: the same as long as nothing happens."""
        return frozenset(
            {*((box.id, box.state) for box in self.sandboxes), *((item.id, item.state) for item in self.containers)}
        )

    def with_sandbox(self, status: PodSandboxStatus, taken_at_s: float) -> PodRecord:
        """With that sandbox as it is now, and all else as it was."""
        others = (box for box in self.sandboxes if box.id != status.id)
        return self._with((*others, status), self.containers, taken_at_s)

    def with_container(self, record: ContainerRecord, taken_at_s: float) -> PodRecord:
        """With that container as it is now, and all else as it was."""
        others = (item for item in self.containers if item.id != record.id)
        return self._with(self.sandboxes, (*others, record), taken_at_s)

    def _with(
        self, sandboxes: Sequence[PodSandboxStatus], containers: Sequence[ContainerRecord], taken_at_s: float
    ) -> PodRecord:
        found = pod_record(self.uid, sandboxes, containers, taken_at_s=taken_at_s)
        return replace(found, listed_at_s=self.listed_at_s)

    def running(self) -> Iterator[ContainerRecord]:
        """What has to be stopped before the pod is: running, or in a state the runtime does not know."""
        return (record for record in self.containers if record.state in ("RUNNING", "UNKNOWN"))

    def in_current_sandbox(self, record: ContainerRecord) -> bool:
        return self.sandbox is not None and record.sandbox_id == self.sandbox.id


def pod_record(
    uid: str, sandboxes: Sequence[PodSandboxStatus], containers: Sequence[ContainerRecord], *, taken_at_s: float = 0.0
) -> PodRecord:
    """A record in order: newest first, by attempt and creation."""
    ordered = tuple(sorted(sandboxes, key=lambda box: (box.created_at_ns, box.metadata.attempt), reverse=True))
    labels: Mapping[str, str] = ordered[0].labels if ordered else containers[0].status.labels if containers else {}
    return PodRecord(
        uid=uid,
        name=ordered[0].metadata.name if ordered else labels.get(POD_NAME, ""),
        namespace=ordered[0].metadata.namespace if ordered else labels.get(POD_NAMESPACE, ""),
        taken_at_s=taken_at_s,
        listed_at_s=taken_at_s,
        sandboxes=ordered,
        containers=tuple(
            sorted(containers, key=lambda item: (item.status.created_at_ns, item.restart_count), reverse=True)
        ),
    )
