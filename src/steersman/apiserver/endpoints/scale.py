"""``scale``: the number of replicas of a workload, as a Scale of autoscaling/v1.

To add a kind: one row in ``_REPLICAS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from steersman.apiserver import objectmeta, scaling
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.decoding import decode, private_copy
from steersman.apiserver.endpoints.api import Endpoint, expected_definition
from steersman.apiserver.endpoints.apply import APPLY_PATCH, configuration
from steersman.apiserver.endpoints.patch import check_media_type, check_strictly, mechanism
from steersman.apiserver.options import WriteOptions, write_options
from steersman.apiserver.served import Served
from steersman.apiserver.updating import MAIN, Strategy, check_uid, update_object
from steersman.meta.errors import BadRequest, Invalid, NotFound, invalid
from steersman.meta.objects import Object
from steersman.meta.resources import (
    DEPLOYMENTS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    STATEFULSETS,
    Resource,
)
from steersman.meta.selectors import label_selector_of, label_selector_of_map
from steersman.meta.wire import Response
from steersman.schema.structural import compiled

_DEFINITION = scaling.DEFINITION
KINDS: tuple[Resource, ...] = (DEPLOYMENTS, REPLICASETS, REPLICATIONCONTROLLERS, STATEFULSETS)


def scale_of(obj: Object) -> Object:
    """The Scale of a workload. Its version is the workload's, so that it locks it."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    selector = spec.get("selector")
    if obj["kind"] == "ReplicationController":
        text = str(label_selector_of_map(selector))
    else:
        text = str(label_selector_of(selector)) if selector is not None else ""
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = spec.get("replicas") or 0
    current: Object = {"replicas": status.get("replicas") or 0}
    if text:
        current["selector"] = text
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: metadata[field] for field in kept if field in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": current,
    }


def _scaled(scale: Object, old: Object, managed_fields: Any) -> Object:
    """``old`` with the Scale's replicas and version, and these managed fields. Raises ``Invalid``."""
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        errors = [invalid("spec.replicas", replicas, "must be greater than or equal to 0")]
        raise Invalid.of("Scale", "autoscaling", scale["metadata"].get("name") or "", errors)
    metadata = {**old["metadata"], "resourceVersion": scale["metadata"].get("resourceVersion") or ""}
    if scale["metadata"].get("uid"):
        metadata["uid"] = scale["metadata"]["uid"]
    metadata.pop("managedFields", None)
    if managed_fields:
        metadata["managedFields"] = managed_fields
    return {**old, "metadata": metadata, "spec": {**(old.get("spec") or {}), "replicas": replicas}}


def _view(served: Served, workload: Object) -> Object:
    return scale_of(workload)


def _adopt(served: Served, scale: Object, workload: Object) -> Object:
    return _scaled(scale, workload, workload["metadata"].get("managedFields"))


_STRATEGY = Strategy(
    subresource="scale", prepare=MAIN.prepare, errors=MAIN.errors, unconditional=False, view=_view, adopt=_adopt
)


async def get_scale(api: API, served: Served, call: Call) -> Response:
    stored = await api.objects.get(served.key(call.info.namespace, call.info.name))
    if stored is None:
        raise NotFound.of(served.resource, call.info.name)
    return scaling.answer(api, call, scale_of(served.obj(await served.loaded(stored))))


async def update_scale(api: API, served: Served, call: Call) -> Response:
    options = write_options(call, "UpdateOptions")
    expected = expected_definition(api, "autoscaling", "v1", "Scale", _DEFINITION)
    scale = decode(call, expected, options.field_validation)
    metadata = scale.setdefault("metadata", {})
    objectmeta.match_namespace(metadata, call.info.namespace, served.kind)
    objectmeta.match_name(metadata, call.info.name)

    def replaced(old: Object) -> Object:
        check_uid(served, metadata.get("uid"), old["metadata"])
        entries = scaling.updated(api, call, scale_of(old), scale, old, options)
        return _scaled(scale, old, entries)

    return await _update(api, served, call, replaced, options)


async def patch_scale(api: API, served: Served, call: Call) -> Response:
    if check_media_type(call, _DEFINITION) == APPLY_PATCH:
        return await _apply_scale(api, served, call)
    options = write_options(call, "PatchOptions")
    body = mechanism(call, options, _DEFINITION)

    def patched(old: Object) -> Object:
        before = scale_of(old)
        before["metadata"].pop("resourceVersion", None)
        result = body.apply(before)
        if body.keeps_kind:
            result = {**result, "apiVersion": before["apiVersion"], "kind": before["kind"]}
        elif (result.get("apiVersion"), result.get("kind")) != (scaling.API_VERSION, "Scale"):
            raise BadRequest("the patched object is not a Scale of autoscaling/v1")
        unknown: list[str] = []
        scale: Object = private_copy(compiled(_DEFINITION).decode(result, unknown))
        check_strictly(call, options, body, result, unknown)
        return _scaled(scale, old, scaling.updated(api, call, before, scale, old, options))

    return await _update(api, served, call, patched, options)


async def _apply_scale(api: API, served: Served, call: Call) -> Response:
    options = write_options(call, "PatchOptions", is_apply=True)
    config = configuration(call, options)

    def applied(old: Object) -> Object:
        before = scale_of(old)
        before["metadata"].pop("resourceVersion", None)
        result, entries = scaling.applied(api, call, before, config, old, options)
        objectmeta.match_namespace(result["metadata"], call.info.namespace, served.kind)
        objectmeta.match_name(result["metadata"], call.info.name)
        return _scaled(compiled(_DEFINITION).decode(result), old, entries)

    return await _update(api, served, call, applied, options)


async def _update(
    api: API, served: Served, call: Call, scaled: Callable[[Object], Object], options: WriteOptions
) -> Response:
    outcome = await update_object(
        api, served, call, scaled, options, strategy=_STRATEGY, default=False, has_managed_fields=True
    )
    return scaling.answer(api, call, scale_of(served.obj(outcome.entity)))


VERBS: Mapping[str, Endpoint] = {"get": get_scale, "update": update_scale, "patch": patch_scale}
ROWS: Mapping[tuple[str, str, str], Mapping[str, Endpoint]] = {
    (resource.group, resource.plural, "scale"): VERBS for resource in KINDS
}
