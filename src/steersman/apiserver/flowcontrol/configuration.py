"""Keeps a controller in step with the FlowSchemas and PriorityLevelConfigurations, and these in order.

Two tasks follow the objects in the store; one digests all of them together whenever any has changed and writes whether a
schema's level exists (condition ``Dangling``); one looks after the objects that every cluster has, once a minute.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Collection

from steersman.aio.backoff import Backoff
from steersman.aio.broadcast import Overrun
from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.admission.api import Reader
from steersman.apiserver.flowcontrol import bootstrap
from steersman.apiserver.flowcontrol.controller import PriorityAndFairness
from steersman.client.api import APPLY_PATCH, Client
from steersman.meta import objects, times
from steersman.meta.errors import AlreadyExists, APIError, Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import FLOWSCHEMAS, PRIORITYLEVELCONFIGURATIONS, Resource
from steersman.store.api import CompactedError, StoreUnavailable
from steersman.store.objects import ObjectStore

log = logging.getLogger(__name__)

CONSUMER = "api-priority-and-fairness-config-consumer-v1"
PRODUCER = "api-priority-and-fairness-config-producer-v1"
ENSURE_S = 60.0
_UPDATES_A_MINUTE = 6
"""Status updates of one schema: servers that disagree about it do not fight for long."""
_KEPT = ((PRIORITYLEVELCONFIGURATIONS, bootstrap.levels()), (FLOWSCHEMAS, bootstrap.schemas()))


class FlowConfiguration:
    """The configuration of flow control of one server."""

    def __init__(
        self,
        control: PriorityAndFairness,
        *,
        store: ObjectStore,
        reader: Reader,
        client: Client,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._control = control
        self._store = store
        self._reader = reader
        self._client = client
        self._producer = client.with_user_agent(PRODUCER)
        self._clock = clock
        self._rng = rng
        self._changed = asyncio.Event()
        self._updates: dict[str, deque[float]] = {}

    async def start(self, tasks: TaskGroup) -> None:
        """Make the objects of every cluster, go by what there is, and keep it so."""
        await self._ensure()
        await self._digest()
        clock = self._clock
        backoff = Backoff(initial_s=0.2, cap_s=60.0)
        for resource, _ in _KEPT:
            tasks.spawn(self._follow(resource), name=f"follow-{resource.plural}")
        tasks.supervise(self._digest_changes, name="flow-configuration", clock=clock, backoff=backoff)
        tasks.spawn(self._ensure_again(), name="flow-objects")
        tasks.spawn(self._control.run(), name="flow-control")
        tasks.spawn(self._control.lend(), name="seat-lending")

    # -- what consumes the objects

    async def _follow(self, resource: Resource) -> None:
        prefix = f"/registry/{resource.plural}/"
        start_revision = self._store.revision
        while True:
            subscription = self._store.watch(prefix, start_revision=start_revision)
            try:
                async for _ in subscription:
                    self._changed.set()
            except (CompactedError, Overrun) as error:
                log.warning("following %s anew: %s", resource.plural, error)
                start_revision = self._store.revision
                self._changed.set()
            else:
                return
            finally:
                subscription.close()

    async def _digest_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            wait_s = await self._digest()
            if wait_s:
                try:
                    await self._clock.wait_for(self._changed.wait(), wait_s)
                except TimeoutError:
                    self._changed.set()

    async def _digest(self) -> float:
        """Go by all objects as they are; seconds after which to do so again, 0 where that is not needed."""
        levels = self._reader.list(PRIORITYLEVELCONFIGURATIONS)
        schemas = self._reader.list(FLOWSCHEMAS)
        self._control.configure(levels, schemas)
        outcomes = await asyncio.gather(*(self._update_status(schema) for schema in schemas))
        return max(outcomes, default=0.0)

    async def _update_status(self, schema: Object) -> float:
        wanted = dangling(schema, self._control.levels.keys(), self._clock.now())
        if wanted is None:
            return 0.0
        name = objects.name(schema)
        if self._updates_too_often(name):
            return 30.0 + self._rng.random() * 45.0
        applied = {
            "apiVersion": FLOWSCHEMAS.api_version,
            "kind": FLOWSCHEMAS.kind,
            "metadata": {"name": name},
            "status": {"conditions": [wanted]},
        }
        try:
            await self._client.patch(
                FLOWSCHEMAS,
                name,
                applied,
                subresource="status",
                patch_type=APPLY_PATCH,
                field_manager=CONSUMER,
                force=True,
            )
        except (NotFound, Conflict):
            return 0.0  # it has changed meanwhile: the change is on its way here
        return 0.0

    def _updates_too_often(self, name: str) -> bool:
        now_s = self._clock.monotonic()
        updates = self._updates.setdefault(name, deque())
        while updates and now_s - updates[0] > 60.0:
            updates.popleft()
        if len(updates) >= _UPDATES_A_MINUTE:
            return True
        updates.append(now_s)
        return False

    # -- what produces them

    async def _ensure_again(self) -> None:
        while True:
            await self._clock.sleep(ENSURE_S)
            try:
                await self._ensure()
            except (APIError, StoreUnavailable) as error:
                log.warning("objects of flow control could not be brought up to date: %s", error)

    async def _ensure(self) -> None:
        for resource, wanted in _KEPT:
            await asyncio.gather(*(self._ensure_one(resource, entry) for entry in wanted))
        for resource, wanted in reversed(_KEPT):
            for obj in self._reader.list(resource):
                if bootstrap.is_unwanted(obj, wanted):
                    await self._remove(resource, obj)

    async def _ensure_one(self, resource: Resource, wanted: Object) -> None:
        current = self._reader.get(resource, "", objects.name(wanted))
        try:
            if current is None:
                await self._producer.create(resource, wanted)
                return
            revised = bootstrap.revised(current, wanted)
            if revised is not None:
                await self._producer.update(resource, revised)
        except (AlreadyExists, Conflict, NotFound):
            return  # somebody else was there first; it is looked at again

    async def _remove(self, resource: Resource, obj: Object) -> None:
        try:
            await self._client.delete(resource, objects.name(obj), resource_version=objects.resource_version(obj))
        except (Conflict, NotFound):
            return


def dangling(schema: Object, levels: Collection[str], now_s: float) -> Object | None:
    """The condition that the schema should have; None where it has it. ``levels`` are the names of those that exist."""
    name = ((schema.get("spec") or {}).get("priorityLevelConfiguration") or {}).get("name") or ""
    is_found = name in levels
    refers = f'This FlowSchema references the PriorityLevelConfiguration object named "{name}"'
    wanted: Object = {
        "type": "Dangling",
        "status": "False" if is_found else "True",
        "reason": "Found" if is_found else "NotFound",
        "message": f"{refers} and it exists" if is_found else f"{refers} but there is no such object",
    }
    current = objects.condition(schema, "Dangling") or {}
    if all(current.get(field) == value for field, value in wanted.items()):
        return None
    return {**wanted, "lastTransitionTime": times.format_time(now_s)}
