"""Managed fields of a Scale: those of its workload that are about the number of replicas, and back.

Source: upstream's ScaleHandler (apimachinery, managedfields).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steersman.apiserver import ownership, respond
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.options import WriteOptions
from steersman.apiserver.served import Served, Unstored
from steersman.meta.objects import Object, with_metadata
from steersman.meta.wire import Response
from steersman.schema.groups.autoscaling import scale
from steersman.schema.managedfields import fieldset, managers, operations
from steersman.schema.managedfields.fieldset import MalformedFields
from steersman.schema.managedfields.managers import Managers, Owned, identity
from steersman.schema.managedfields.typed import type_of

API_VERSION = "autoscaling/v1"
DEFINITION = "io.k8s.api.autoscaling.v1.Scale"
SUBRESOURCE = "scale"
_SERVED = Served(scale.KIND)
_PATH = "spec.replicas"
_REPLICAS = fieldset.of_paths(_PATH)
_REPLICAS_PATH = ("f:spec", "f:replicas")


def answer(api: API, call: Call, scale: Object) -> Response:
    """A Scale, as the client wants it represented."""
    return respond.entity(call, _SERVED, Unstored(scale), now_s=api.clock.now())


def updated(
    api: API, call: Call, before: Object, after: Object, workload: Object, options: WriteOptions, *, path: str = _PATH
) -> Any:
    """The workload's managed fields after its Scale was replaced or patched; ``path`` is that of its replicas."""
    parents = _managers(workload)
    tracked = operations.update(
        with_metadata(before, managedFields=_of_scale(parents, path)),
        after,
        manager=ownership.manager_of(call, options),
        api_version=API_VERSION,
        subresource=SUBRESOURCE,
        now=api.clock.now(),
        structure=type_of(DEFINITION),
    )
    return _of_workload(parents, tracked, workload, path)


def applied(
    api: API, call: Call, before: Object, config: Object, workload: Object, options: WriteOptions, *, path: str = _PATH
) -> tuple[Object, Any]:
    """The Scale after ``config`` was applied to it, and the workload's managed fields. Raises ``ApplyConflict``."""
    ownership.check_kind(config, API_VERSION, "Scale")
    parents = _managers(workload)
    scale = operations.apply(
        with_metadata(before, managedFields=_of_scale(parents, path)),
        config,
        manager=ownership.manager_of(call, options),
        api_version=API_VERSION,
        force=bool(options.force),
        subresource=SUBRESOURCE,
        now=api.clock.now(),
        structure=type_of(DEFINITION),
    )
    return scale, _of_workload(parents, scale, workload, path)


def _managers(workload: Object) -> Managers:
    try:
        return managers.decode(workload["metadata"].get("managedFields"))
    except MalformedFields:
        return {}


def _steps(path: str) -> tuple[str, ...]:
    return tuple(f"f:{name}" for name in path.split("."))


def _of_scale(parents: Managers, path: str) -> Sequence[Object]:
    return managers.encode(
        {
            identity(key.manager, key.operation, API_VERSION, key.subresource): Owned(
                fields=_REPLICAS, api_version=API_VERSION, time=owned.time
            )
            for key, owned in parents.items()
            if fieldset.has(owned.fields, _steps(path))
        }
    )


def _of_workload(parents: Managers, scale: Object, workload: Object, path: str) -> Any:
    """Managers that do not own the Scale's replicas any more lose the workload's; new ones get them, without a time."""
    entries = scale["metadata"].get("managedFields")
    owners = {key for key, owned in managers.decode(entries).items() if fieldset.has(owned.fields, _REPLICAS_PATH)}
    result: Managers = {}
    replicas = fieldset.of_paths(path)
    for key, owned in parents.items():
        if fieldset.has(owned.fields, _steps(path)):
            of_scale = identity(key.manager, key.operation, API_VERSION, key.subresource)
            if of_scale not in owners:
                owned = owned.with_fields(fieldset.difference(owned.fields, replicas))
            owners.discard(of_scale)
        if owned.fields:
            result[key] = owned
    for key in owners:
        parent = identity(key.manager, key.operation, workload["apiVersion"], key.subresource)
        result[parent] = Owned(fields=replicas, api_version=workload["apiVersion"])
    return managers.encode(result)
