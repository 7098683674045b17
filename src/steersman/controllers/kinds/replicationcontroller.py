"""ReplicationController: a ReplicaSet with an older selector.

watches: ReplicationControllers; Pods, by controller.
owns: Pods.
writes: Pods (create, delete, adopt, release), ReplicationControllers/status, Events.
invariants: those of ``controllers.replicas``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from steersman.client.informer import Change
from steersman.controllers import replicas
from steersman.controllers.runtime import Context, Controller, Result, Watch
from steersman.meta.resources import REPLICATIONCONTROLLERS, Resource
from steersman.meta.selectors import NOTHING, LabelSelector, label_selector_of_map

NAME = "replicationcontroller-controller"
RC_WATCH = Watch(resource=REPLICATIONCONTROLLERS)
WATCHES = (RC_WATCH, replicas.POD_WATCH)

plan = replicas.plan


def selector_of(owner: Mapping[str, Any]) -> LabelSelector:
    """The plain map of labels; the server defaults it to the template's, and an empty one selects nothing."""
    match_labels = (owner.get("spec") or {}).get("selector")
    return label_selector_of_map(match_labels) if match_labels else NOTHING


class ReplicationControllerController:
    """Reconciles one ReplicationController by key."""

    def __init__(self, context: Context) -> None:
        self._replication = replicas.Replication(context, RC_WATCH, selector=selector_of, reports_terminating=False)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        return self._replication.concerned(resource, change)

    async def reconcile(self, key: str) -> Result:
        return await self._replication.reconcile(key)


def _conforms(context: Context) -> Controller:
    return ReplicationControllerController(context)
