"""What the kubelet's HTTPS server asks the kubelet for: its pods, and where the containers of one are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from steersman.meta.objects import Object


class ContainerLocation(Struct, frozen=True, kw_only=True):
    """One container of a pod as the runtime knows it."""

    container_id: str
    sandbox_id: str
    state: str
    """CRI's: ``CREATED``, ``RUNNING``, ``EXITED``, ``UNKNOWN``."""
    restart_count: int
    log_path: str
    """Absolute path of its log file in CRI format; empty where the runtime keeps none."""
    tty: bool = False
    stdin: bool = False


class PodLookup(Protocol):
    """The server's view of the kubelet. Everything is answered from memory unless it says otherwise."""

    def pods(self) -> Sequence[Object]:
        """Every pod bound to this node, static ones too, each with its newest status (``GET /pods``)."""

    def find_pod(self, namespace: str, name: str, uid: str = "") -> Object | None:
        """The pod with its newest status. A static pod is found under its mirror pod's name; ``uid`` may be either's."""

    async def find_container(
        self, namespace: str, name: str, container: str, *, uid: str = "", previous: bool = False
    ) -> ContainerLocation:
        """The newest container of that name, or the one before it (``previous``), asked of the runtime.

        Raises ``NotFound`` where the pod has no such container or is not here, or ``BadRequest`` with upstream's message:
        ``container "c" in pod "p" is waiting to start: ContainerCreating``, ``previous terminated container "c" in pod "p"
        not found``.
        """

    async def find_sandbox(self, namespace: str, name: str, *, uid: str = "") -> str:
        """Id of the pod's ready sandbox, for port-forward. Raises ``NotFound``."""

    def node_name(self) -> str: ...
