"""What a pod's state machine is told (events) and what it asks for (instructions).

An instruction with a ``key`` is work: it runs once at a time, and its end comes back as ``Finished`` together with what
the runtime reports afterwards. The others (``Record``, ``Publish``, ``Cancel``) are carried out at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from msgspec import Struct

from steersman.kubelet.allocation import Actuated, Amounts
from steersman.kubelet.container_status import StartFailure
from steersman.kubelet.pod_conditions import PendingResize
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.probe_results import ProbeResults
from steersman.kubelet.records import ContainerRecord, PodRecord
from steersman.kubelet.resizing import Resize
from steersman.kubelet.status import Verdict
from steersman.meta.objects import Object


class MountVolumes(Struct, frozen=True, kw_only=True):
    """Make every volume of the pod ready, and the pod's directories and cgroup before it."""

    key: ClassVar[str] = "volumes"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSandbox:
    attempt: int
    amounts: Amounts = field(default=Amounts(), compare=False)
    """What the pod's cgroup is made with."""
    key: ClassVar[str] = "sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartContainer:
    """Pull the image where its policy says so, create and start the container, run its postStart hook."""

    container: PodContainer
    restart_count: int | None
    """None: no container of that name is known to the runtime, its log directory may know better."""
    amounts: Amounts = field(default=Amounts(), compare=False)
    """What its cgroup is made with."""
    key: ClassVar[str] = "start"


class RunPreStop(Struct, frozen=True, kw_only=True):
    """Run the preStop hook, at most for ``timeout_s``."""

    record: ContainerRecord
    timeout_s: float

    @property
    def key(self) -> str:
        return f"preStop/{self.record.id}"


class StopContainer(Struct, frozen=True, kw_only=True):
    record: ContainerRecord
    grace_s: float

    @property
    def key(self) -> str:
        return f"stop/{self.record.id}/{self.grace_s:g}"


class RemoveContainer(Struct, frozen=True, kw_only=True):
    record: ContainerRecord

    @property
    def key(self) -> str:
        return f"remove/{self.record.id}"


class StopSandbox(Struct, frozen=True, kw_only=True):
    sandbox_id: str

    @property
    def key(self) -> str:
        return f"stopSandbox/{self.sandbox_id}"


class ResizePod(Struct, frozen=True, kw_only=True):
    """Set the cgroups of running containers and of the pod to what the pod was granted."""

    resize: Resize
    sandbox_id: str
    key: ClassVar[str] = "resize"


class TearDown(Struct, frozen=True, kw_only=True):
    """Unmount the pod's volumes and remove its cgroup: nothing of it runs any more."""

    key: ClassVar[str] = "tearDown"


Work = (
    MountVolumes
    | CreateSandbox
    | StartContainer
    | RunPreStop
    | StopContainer
    | RemoveContainer
    | StopSandbox
    | ResizePod
    | TearDown
)


class Cancel(Struct, frozen=True, kw_only=True):
    """Stop the work of this key where it stands; its ``Finished`` still comes."""

    key: str


class Record(Struct, frozen=True, kw_only=True):
    """An event about the pod, or about one of its containers."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    container: str = ""


class Publish(Struct, frozen=True, kw_only=True):
    """The pod's status changed."""

    status: Object


class Remember(Struct, frozen=True, kw_only=True):
    """Write down what the pod is set to now, for the kubelet that comes after this one."""

    actuated: Actuated
    as_granted: bool = False
    """It is what was granted."""


Instruction = Work | Cancel | Record | Publish | Remember


class PodUpdated(Struct, frozen=True, kw_only=True):
    """The pod as its source has it now, with the resources that it was granted."""

    pod: Object
    pending: PendingResize | None = None
    """Its source asks for others."""
    granted: bool = False
    """It was granted others just now."""


class RuntimeReported(Struct, frozen=True, kw_only=True):
    record: PodRecord


class ProbesReported(Struct, frozen=True, kw_only=True):
    results: ProbeResults


class Finished(Struct, frozen=True, kw_only=True):
    """Work has ended, and what the runtime has of the pod since."""

    work: Work
    record: PodRecord | None
    """None when the runtime could not be asked, or has nothing to do with the work."""
    failure: StartFailure | None = None
    runtime_was_lost: bool = False
    """It failed because the runtime did not answer, which does again."""


class ResourcesSet(Struct, frozen=True, kw_only=True):
    """A step of a resize was carried out."""

    actuated: Actuated


class Terminate(Struct, frozen=True, kw_only=True):
    """The pod has to stop: evicted, refused, or gone from its source. Without ``verdict`` it is simply removed."""

    verdict: Verdict | None = None
    grace_s: float | None = None


class TimePassed(Struct, frozen=True, kw_only=True):
    """Something the machine asked to be woken for may be due."""


class ReferenceChanged(Struct, frozen=True, kw_only=True):
    """An object that the pod refers to appeared or changed: what failed for want of it is tried again at once."""


Event = (
    PodUpdated | RuntimeReported | ProbesReported | Finished | ResourcesSet | Terminate | TimePassed | ReferenceChanged
)


def pre_stop_hook(container: PodContainer | None) -> Mapping[str, Any] | None:
    """The container's preStop handler."""
    if container is None:
        return None
    hook: Mapping[str, Any] | None = (container.spec.get("lifecycle") or {}).get("preStop")
    return hook
