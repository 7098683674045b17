"""ReplicaSet: so many pods of one template, no more and no fewer.

watches: ReplicaSets; Pods, by controller.
owns: Pods.
writes: Pods (create, delete, adopt, release), ReplicaSets/status, Events.
invariants: those of ``controllers.replicas``; a ReplicaSet that is being deleted creates, deletes, adopts and releases nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from steersman.client.informer import Change
from steersman.controllers import replicas
from steersman.controllers.dependents import selector_of
from steersman.controllers.pods import by_controller
from steersman.controllers.runtime import Context, Controller, Result, Watch
from steersman.meta.resources import REPLICASETS, Resource

NAME = "replicaset-controller"
REPLICASET_WATCH = Watch(resource=REPLICASETS, indexers={"controller": by_controller})
WATCHES = (REPLICASET_WATCH, replicas.POD_WATCH)

plan = replicas.plan


class ReplicaSetController:
    """Reconciles one ReplicaSet by key."""

    def __init__(self, context: Context) -> None:
        self._replication = replicas.Replication(
            context, REPLICASET_WATCH, selector=selector_of, reports_terminating=True
        )

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        return self._replication.concerned(resource, change)

    async def reconcile(self, key: str) -> Result:
        return await self._replication.reconcile(key)


def _conforms(context: Context) -> Controller:
    return ReplicaSetController(context)
